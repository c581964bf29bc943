"""Writes the macros that note the caller's place, one for each function of a family of public headers that can fail.

python3 locations.py FAMILY HEADER...   FAMILY: ops, layers"""
import re
import sys

DECLARATION = re.compile(r'TG_API\b([^;{]*?)\b(tg_\w+)\s*\(')


def functions(path):
    with open(path, encoding='utf-8') as f:
        text = re.sub(r'/\*.*?\*/', ' ', f.read(), flags=re.DOTALL)
    text = re.sub(r'^\s*#.*?(?<!\\)$', '', text, flags=re.MULTILINE | re.DOTALL)
    return [name for result, name in DECLARATION.findall(text) if not result.strip().endswith('_options')]


family, headers = sys.argv[1], sys.argv[2:]
guard = f'TAPEGRAD_{family.upper()}_LOCATION_H'
names = sorted({name for path in headers for name in functions(path)})
print(f'/* Made from the headers that it is included by. */\n#ifndef {guard}\n#define {guard}\n')
print('\n'.join(f'#define {n}(...) TG_AT({n}(__VA_ARGS__))' for n in names))
print('\n#endif')
