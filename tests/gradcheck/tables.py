"""The tables of rows and of the reference's kernels, from the sources as the preprocessor leaves them: every row that is
no view has a kernel, every kernel has a row, and every row is applied by something: a public function, or a rule.

python3 tables.py SOURCE_ROOT CC; writes TAP."""
import glob
import os
import re
import subprocess
import sys

count = 0


def report(good, what, why=''):
    global count
    count += 1
    print(f"{'ok' if good else 'not ok'} {count} - {what}{'' if good else ': ' + why[:1000]}")


def preprocessed(root, compiler, path):
    p = subprocess.run([*compiler.split(), '-E', '-P', '-fopenmp', '-std=c11', '-D_GNU_SOURCE', '-DTG_NO_LOCATION', '-DTG_PLUGIN_DIR=""',
                        '-I', root, '-I', os.path.join(root, 'include'), '-I', os.path.join(root, 'tests'), path], capture_output=True, text=True)
    if p.returncode:
        sys.exit(f'{path}: {p.stderr}')
    return re.sub(r'"\s+"', '', p.stdout)  # literals that stand beside each other are one


# variable, then the braces' text: rows end at the first "};"
DEFINITION = re.compile(r'\btg_operator\s+(row_\w+|\w+)\s*=\s*\{(.*?)\}\s*;', re.DOTALL)
TABLE = re.compile(r'\btg_operator\s*\*\s*const\s+tg_ops_\w+\s*\[\s*\]\s*=\s*\{(.*?)\}\s*;', re.DOTALL)
DECLARATION = re.compile(r'\btg_operator\s+\w+(\s*,\s*\w+)*\s*;')
KERNEL = re.compile(r'\.op\s*=\s*"(\w+)"')


def rows_of(text):
    """{name: (variable, is a view)} of what the tables list."""
    listed = set(re.findall(r'\w+', ' '.join(TABLE.findall(text))))
    found = {}
    for variable, body in DEFINITION.findall(text):
        name = re.search(r'\.name\s*=\s*"(\w+)"', body)
        if name and variable in listed:
            found[name.group(1)] = (variable, 'TG_OP_VIEW' in body)
    return found, listed - {v for v, _ in found.values()} - {'NULL', 'void'}


def uses(texts):
    """What is left where a row is applied: no tables, no definitions' heads, no declarations."""
    left = []
    for text in texts:
        text = DECLARATION.sub(' ', TABLE.sub(' ', text))
        text = re.sub(r'\btg_operator\s+(\w+)\s*=', ' ', text)
        left.append(re.sub(r'\.(name|op)\s*=\s*"\w+"', ' ', text))
    return set(re.findall(r'"?\w+"?', ' '.join(left)))


def faults(families, others, kernels):
    rows, words = {}, uses(families + others)
    out = []
    local = [(rows_of(text), uses([text])) for text in families]
    for (found, unknown), own in local:
        out += [f'{v}: its name is not found in its table' for v in sorted(unknown) if v.startswith('row_')]
        for name, (variable, view) in found.items():
            rows[name] = view
            if variable not in own and f'"{name}"' not in words:
                out.append(f'{name}: nothing applies it')
    names = [k for text in kernels for k in KERNEL.findall(text)]
    out += [f'{n}: a row without a kernel' for n, view in rows.items() if not view and n not in names]
    out += [f'{n}: a view with a kernel' for n, view in rows.items() if view and n in names]
    out += [f'{n}: a kernel without a row' for n in sorted(set(names) - set(rows))]
    out += [f'{n}: two kernels' for n in sorted(set(names)) if names.count(n) > 1]
    return sorted(out), len(rows), len(names)


BAD_ROWS = '''
static const tg_operator row_orphan = { .name = "orphan" , .n_in = 1 };
static const tg_operator row_bare = { .name = "bare" , .n_in = 1 };
tg_tensor *f(void) { return g(&row_bare, "made_by_name"); }
const tg_operator *const tg_ops_bad[] = { &row_orphan, &row_bare, ((void *)0), };
'''
BAD_KERNELS = 'const tg_kernel k[] = { {.op = "orphan"}, {.op = "alone"}, {.op = "orphan"} };'


def main():
    root, compiler = sys.argv[1], sys.argv[2]
    bad, _, _ = faults([BAD_ROWS], [], [BAD_KERNELS])
    expected = ['alone: a kernel without a row', 'bare: a row without a kernel', 'orphan: nothing applies it',
                'orphan: two kernels']
    report(bad == expected, 'bad tables are found', str(bad))
    def read(*folders):
        return [preprocessed(root, compiler, p) for f in folders for p in sorted(glob.glob(os.path.join(root, f, '*.c')))]
    # "reorder" is for the kit, which makes a backend's own inputs with it.
    found, n_rows, n_kernels = faults(read('autograd/operators'), read('autograd', 'layers', 'training', 'tests/support'),
                                      read('backends/reference'))
    report(n_rows > 100 and n_kernels > 100, f'{n_rows} rows, {n_kernels} kernels', 'fewer than there must be')
    report(not found, 'every row has its kernel and its use', '; '.join(found))
    print(f'1..{count}')
    sys.exit(bool(bad != expected or found))


main()
