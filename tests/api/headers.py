"""The public headers: each compiles alone, as C and as C++; what they declare is what the library exports.

python3 headers.py SOURCE_ROOT BUILT_HEADERS LIBRARY CC CXX   (CXX may be `none`); writes TAP."""
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


def compiles(compiler, language, standard, root, built, header):
    source = f'#include <tapegrad/{header}>\n#include <tapegrad/{header}>\nint nothing;\n'
    p = subprocess.run([*compiler.split(), '-x', language, f'-std={standard}', '-Wall', '-Wextra', '-Wpedantic', '-Werror',
                        '-fsyntax-only', '-I', os.path.join(root, 'include'), '-I', built, '-'],
                       input=source, capture_output=True, text=True)
    report(p.returncode == 0, f'{header} as {standard}', p.stderr)


def difference(a, b):
    return f"only in the first: {', '.join(sorted(a - b)) or '-'}; only in the second: {', '.join(sorted(b - a)) or '-'}"


def main(root, built, library, cc, cxx):
    names = headers(root)
    for name in names:
        compiles(cc, 'c', 'c11', root, built, name)
        if cxx != 'none':
            compiles(cxx, 'c++', 'c++17', root, built, name)

    nm = subprocess.run(['nm', '-D', '--defined-only', library], capture_output=True, text=True, check=True).stdout
    exported = {line.split()[-1].split('@')[0] for line in nm.splitlines()}
    public = declared(root, names)
    report(public == exported, 'declared and exported', difference(public, exported))
    print(f'1..{count}')


main(*sys.argv[1:6])
