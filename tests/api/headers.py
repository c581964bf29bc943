"""The public headers: each compiles alone, as C and as C++; what they declare is what the library exports, and what
exported.txt lists; ops_location.h has a macro for each function of the ops headers.

python3 headers.py SOURCE_ROOT LIBRARY CC CXX   (CXX may be `none`); writes TAP.
python3 headers.py --list SOURCE_ROOT           writes what exported.txt should be.
python3 headers.py --locations SOURCE_ROOT      writes what ops_location.h should be."""
import os
import re
import subprocess
import sys

DECLARATION = re.compile(r'TG_API\b[^;{]*?\b(tg_\w+)\s*\(')
count = 0


def report(good, what, why=''):
    global count
    count += 1
    print(f"{'ok' if good else 'not ok'} {count} - {what}{'' if good else ': ' + ' '.join(why.split())[:300]}")


def strip_comments(text):
    return re.sub(r'/\*.*?\*/', ' ', text, flags=re.DOTALL)


def headers(root):
    folder = os.path.join(root, 'include', 'tapegrad')
    return sorted(n for n in os.listdir(folder) if n.endswith('.h'))


def declared(root, names):
    found = set()
    for name in names:
        with open(os.path.join(root, 'include', 'tapegrad', name), encoding='utf-8') as f:
            text = strip_comments(f.read())
        text = re.sub(r'^\s*#.*?(?<!\\)$', '', text, flags=re.MULTILINE | re.DOTALL)
        found |= set(DECLARATION.findall(text))
    return found


def compiles(compiler, language, standard, root, header):
    source = f'#include <tapegrad/{header}>\n#include <tapegrad/{header}>\nint nothing;\n'
    p = subprocess.run([*compiler.split(), '-x', language, f'-std={standard}', '-Wall', '-Wextra', '-Wpedantic', '-Werror',
                        '-fsyntax-only', '-I', os.path.join(root, 'include'), '-'],
                       input=source, capture_output=True, text=True)
    report(p.returncode == 0, f'{header} as {standard}', p.stderr)


def difference(a, b):
    return f"only in the first: {', '.join(sorted(a - b)) or '-'}; only in the second: {', '.join(sorted(b - a)) or '-'}"


LOCATIONS = '''/* The macros that note the caller's place, one for each function of the ops headers; tests/api/headers.py --locations
 * writes this file. Included by ops.h. */
#ifndef TAPEGRAD_OPS_LOCATION_H
#define TAPEGRAD_OPS_LOCATION_H

{}

#endif
'''


def locations(root):
    operators = declared(root, [n for n in headers(root) if re.match(r'ops_(?!location)', n)])
    return LOCATIONS.format('\n'.join(f'#define {n}(...) TG_AT({n}(__VA_ARGS__))' for n in sorted(operators)))


def main(root, library, cc, cxx):
    names = headers(root)
    for name in names:
        compiles(cc, 'c', 'c11', root, name)
        if cxx != 'none':
            compiles(cxx, 'c++', 'c++17', root, name)

    nm = subprocess.run(['nm', '-D', '--defined-only', library], capture_output=True, text=True, check=True).stdout
    exported = {line.split()[-1].split('@')[0] for line in nm.splitlines()}
    public = declared(root, names)
    report(public == exported, 'declared and exported', difference(public, exported))
    with open(os.path.join(root, 'tests', 'api', 'exported.txt'), encoding='utf-8') as f:
        listed = set(f.read().split())
    report(listed == exported, 'exported.txt and exported', difference(listed, exported))

    with open(os.path.join(root, 'include', 'tapegrad', 'ops_location.h'), encoding='utf-8') as f:
        macros = f.read()
    report(macros == locations(root), 'ops_location.h', 'it is not what --locations writes')
    print(f'1..{count}')


if sys.argv[1] == '--list':
    print('\n'.join(sorted(declared(sys.argv[2], headers(sys.argv[2])))))
elif sys.argv[1] == '--locations':
    print(locations(sys.argv[2]), end='')
else:
    main(*sys.argv[1:5])
