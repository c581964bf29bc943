"""The tables of docs/from-pytorch.md, from the headers and from what the tapegrad command says of its registries.

    python3 docs/from_pytorch.py SOURCE_ROOT TAPEGRAD CC PAGE      writes PAGE: docs/from-pytorch.md with the tables made
                                                                   anew between its markers
    python3 docs/from_pytorch.py --check SOURCE_ROOT TAPEGRAD CC   TAP: on that page nothing is missing, and every name
                                                                   exists; docs/ says nothing that it does not say
TAPEGRAD is the command, CC the C compiler's, which expands the macros of tests/conformance.

What is new needs no line in docs/: `ninja docs/from-pytorch.md` writes the complete page in the build folder. The one in
docs/ may lack its row until `ninja from-pytorch` is called, and the test says so; what is there must be as it would be made.

A C function's PyTorch names are those that the comment above it mentions (torch.nn.functional.pad), or the name that its
own begins with (tg_sum_dims: sum), wherever PyTorch 2.14.1 has it: tests/golden/torch_names.txt. What the adapters in
tests/conformance call for other operators is added."""
import os
import re
import subprocess
import sys

COMMENT = r'/\*(?:[^*]|\*(?!/))*\*/'
TOKEN = re.compile(rf'(?P<comment>{COMMENT})|^TG_API (?P<result>[^;{{]*?)(?P<name>tg_\w+)\((?P<args>[^;]*?)\);'
                   r'|^#define (?P<macro>tg_\w+)\((?P<margs>[^)]*)\)(?P<body>(?:[^\n]*\\\n)*[^\n]*)', re.MULTILINE)
SPACES = {'torch': 'torch.', 'torch.Tensor': 'x.', 'torch.nn.functional': 'F.', 'torch.linalg': 'torch.linalg.',
          'torch.special': 'torch.special.'}

# Python's own operators, and other ways to say it.
PYTHON = {
    'neg': '-x', 'abs': 'abs(x)', 'add': 'a + b', 'sub': 'a - b', 'mul': 'a * b', 'div': 'a / b', 'pow': 'a ** b',
    'floor_divide': 'a // b', 'remainder': 'a % b', 'matmul': 'a @ b', 'eq': 'a == b', 'ne': 'a != b', 'lt': 'a < b',
    'le': 'a <= b', 'gt': 'a > b', 'ge': 'a >= b', 'add_scalar': 'x + s', 'sub_scalar': 'x - s', 'mul_scalar': 'x * s',
    'div_scalar': 'x / s', 'pow_scalar': 'x ** s', 'rsub_scalar': 's - x', 'rdiv_scalar': 's / x', 'rpow_scalar': 's ** x',
    'slice': 'x[i:j:k]', 'select': 'x[i]', 'index_select': 'x[index]', 'masked_select': 'x[mask]', 'reshape_dims': 'x.view', 't': 'x.T',
}


class Function:
    def __init__(self, name, args, result, comment, section, header, macro=False):
        self.name, self.result, self.comment, self.section, self.header = name, result, comment, section, header
        self.args, self.macro = args, macro

    def call(self):
        return f"{self.name}({', '.join(self.args)})"


def argument_names(text):
    names = []
    for arg in re.split(r',', re.sub(r'\s+', ' ', text)):
        m = re.search(r'(\w+)(?:\[\w*\])*\s*$', arg)
        if arg.strip() == '...':
            names.append('…')
        elif m and m.group(1) != 'void':
            names.append(m.group(1))
    return names


def plain(comment):
    """A comment's text in one line."""
    return re.sub(r'\s+', ' ', re.sub(r'^\s*\*', ' ', comment[2:-2], flags=re.MULTILINE)).strip()


class Header:
    """What a header declares, in order, each with the comment that it stands under and with its section's title."""

    def __init__(self, path):
        self.name = os.path.basename(path)
        with open(path, encoding='utf-8') as f:
            text = f.read()
        self.functions, section, comment, line, at_top = [], '', '', -1, True
        for m in TOKEN.finditer(text):
            here = text.count('\n', 0, m.start())
            if m['comment']:
                said = plain(m['comment'])
                title = re.match(r'-- ([^:.;]*)(.*)', said)
                if title:
                    section, comment = re.sub(r'\s*-+$', '', title.group(1)).strip(), ''
                elif here == line:  # behind a declaration: its own
                    self.functions[-1].comment = said
                elif said != 'clang-format off' and said != 'clang-format on':
                    comment = said
                if at_top:
                    self.title, at_top = re.match(r'[^.:]*', said).group(0), False
                    comment = ''
            elif m['name']:
                self.add(m['name'], m['args'], m['result'].strip(), comment, section)
            elif 'TG_AT(' not in m['body']:
                self.add(m['macro'], m['margs'], '', comment, section, True)
            line = text.count('\n', 0, m.end())

    def add(self, name, args, result, comment, section, macro=False):
        self.functions.append(Function(name, argument_names(args), result, comment, section, self.name, macro))


class Torch:
    """PyTorch's public names: of each module its functions, its classes with their arguments, and aliases."""

    def __init__(self, path):
        self.functions, self.classes, self.aliases = {}, {}, {}
        module = None
        with open(path, encoding='utf-8') as f:
            for line in f:
                line = line.rstrip('\n')
                if line.startswith('['):
                    module = line[1:-1]
                    self.functions[module], self.classes[module] = set(), {}
                elif '(' in line:
                    self.classes[module][line.split('(')[0]] = line[line.index('(') + 1:-1]
                elif module and not line.startswith('#'):
                    for name, _, other in (word.partition('=') for word in line.split()):
                        self.functions[module].add(name)
                        if other and module != 'torch.nn.Module':
                            self.aliases[name] = other

    def has(self, dotted):
        module, _, name = dotted.rpartition('.')
        return dotted in self.functions or name in {*self.functions.get(module, ()), *self.classes.get(module, ())}

    def spaces_of(self, base):
        return [s for s in SPACES if base in self.functions[s]]


def mentioned(comment, torch):
    """The functions that a comment names: "torch.nn.functional.conv1d, conv2d", "max_pool1d, 2d, 3d"."""
    found = []
    for m in re.finditer(r'torch((?:\.\w+)+)((?:(?:,| and) (?:linalg\.)?\w+)*)', comment):
        first = 'torch' + m.group(1)
        module, _, base = first.rpartition('.')
        names = [first]
        for word in re.findall(r'[\w.]+', m.group(2)):
            digit = re.match(r'\dd$', word)
            word = re.sub(r'.d$', word, base) if digit else word
            names.append(f'torch.{word}' if '.' in word else f'{module}.{word}')
        if re.match(r'(, and)? so on', comment[m.end():]):
            names += [re.sub(r'.d$', d, n) for n in list(names) for d in ('2d', '3d')]
        found += [n for n in names if n.rpartition('.')[0] in SPACES and torch.has(n)]
    return found


def bare(name):
    return name.replace('_', '').lower()


def stem_names(function, torch):
    """Where PyTorch has a function that this one's name begins with."""
    words = function.name.removeprefix('tg_').split('_')
    everywhere = {}
    for space in SPACES:
        for n in (n for n in torch.functions[space] if n[-1] != '_'):
            everywhere.setdefault(bare(n), set()).add(f'{space}.{n}')
    for k in range(len(words), 0, -1):
        found = everywhere.get(''.join(words[:k]))
        if found:
            return sorted(found)
    return []


def related(function, name):
    """Is it this function of several under a comment that the comment's name means?"""
    ours, base = bare(function.name.removeprefix('tg_')), bare(name.rpartition('.')[2])
    base = re.sub(r'\dd$', '', base)
    return ours.startswith(base) or base.startswith(re.sub(r'\dd$', '', ours))


def named_in_comments(functions, torch):
    """Of several functions under one comment, a name is that of the one that is called so, or of all that begin so."""
    explicit = {f.name: [] for f in functions}
    groups = {}
    for f in functions:
        groups.setdefault((f.header, f.section, f.comment), []).append(f)
    for (_, _, comment), group in groups.items():
        for n in mentioned(comment, torch):
            same = [f for f in functions if (f.header, f.section) == (group[0].header, group[0].section) and
                    bare(f.name.removeprefix('tg_')) == bare(n.rpartition('.')[2])]
            for f in same or (group if len(group) == 1 else [g for g in group if related(g, n)]):
                explicit[f.name].append(n)
    return explicit


def name_functions(functions, torch, adapters):
    """Each function's PyTorch names."""
    explicit = named_in_comments(functions, torch)
    claimed = {n: f for f in explicit for n in explicit[f]}
    result = {}
    for f in functions:
        names = list(explicit[f.name])
        more = [f'torch.Tensor.{b}' for b in {n.rpartition('.')[2] for n in names}] if names else []
        if any(not n.startswith('torch.nn.') for n in names):
            more += [f'{s}.{n.rpartition(".")[2]}' for n in names for s in SPACES]
        more = more or stem_names(f, torch)
        if any(n in claimed and n.startswith('torch.nn.') for n in more):
            more = [n for n in more if not n.startswith('torch.') or n.count('.') > 1]
        for n in more:
            base = bare(n.rpartition('.')[2])
            ours = [bare(f.name.removeprefix('tg_')), bare(claimed.get(n, f.name).removeprefix('tg_'))]
            free = n not in claimed or all(name.startswith(base) for name in ours)
            if n not in names and torch.has(n) and free:
                names.append(n)
        result[f.name] = names
    on_page = {n for names in result.values() for n in names}
    for n, called in adapters.items():
        n = f'torch.{n}' if torch.has(f'torch.{n}') else f'torch.Tensor.{n}'
        for f in called if torch.has(n) and n not in on_page else ():
            result[f].append(n)
    return result


def spelled(names, function, torch):
    """`a + b`, `torch.sum`, `x.sum`, `F.softmax`, and the aliases in torch."""
    order, bases = list(SPACES), {n.rpartition('.')[2] for n in names if not n.startswith('torch.special.')}
    names = sorted((n for n in set(names) if not (n.startswith('torch.special.') and n.rpartition('.')[2] in bases)),
                   key=lambda n: (n.rpartition('.')[2], order.index(n.rpartition('.')[0])))
    also = sorted(a for a, of in torch.aliases.items() for n in names
                  if n == f'torch.{of}' and a in torch.functions['torch'] and f'torch.{a}' not in names)
    text = [f"`{SPACES[n.rpartition('.')[0]]}{n.rpartition('.')[2]}`" for n in names]
    python = PYTHON.get(function.name.removeprefix('tg_'))
    return ', '.join(dict.fromkeys(([f'`{python}`'] if python else []) + text + [f'`torch.{a}`' for a in also]))


def in_code(calls):
    return '<br>'.join(f'`{c}`' for c in calls)


def in_capitals(text):
    return text[:1].upper() + text[1:]


def function_tables(headers, torch, adapters):
    """One table a section of the operators' headers; functions with the same PyTorch names share a row."""
    functions = [f for h in headers for f in h.functions if not f.macro and not f.name.endswith('_defaults')]
    macros = {f.name: f for h in headers for f in h.functions if f.macro}
    names = name_functions(functions, torch, adapters)
    out = []
    for h in (h for h in headers if h.name != 'ops.h'):
        for section in dict.fromkeys(f.section for f in h.functions):
            rows = {}
            for f in (f for f in functions if f.header == h.name and f.section == section):
                short = macros.get(re.sub(r'_(dims|n)$', '', f.name))
                calls = rows.setdefault(spelled(names[f.name], f, torch), [])
                calls += [short.call(), f.call()] if short else [f.call()]
            out += ['', f'#### {in_capitals(section)} (`{h.name}`)', '', '| PyTorch | Tapegrad |', '| --- | --- |']
            out += [f'| {left} | {in_code(dict.fromkeys(calls))} |' for left, calls in rows.items()]
    return out, names


def called_by_adapters(root, cc):
    """What tests/conformance calls for each of PyTorch's operators: {"nn.functional.pad": {"tg_pad"}}."""
    folder, found = os.path.join(root, 'tests', 'conformance'), {}
    for name in sorted(n for n in os.listdir(folder) if re.match(r'adapters_\w+\.c$', n)):
        text = subprocess.run([*cc.split(), '-E', '-P', '-DTG_NO_LOCATION', '-I', os.path.join(root, 'include'),
                               os.path.join(folder, name)], capture_output=True, text=True, check=True).stdout
        braces = r'\{[^{}]*\}'
        for _ in range(4):
            braces = rf'\{{(?:[^{{}}]|{braces})*\}}'
        bodies = dict(re.findall(rf'\n(?:static )?[\w* ]+?(\w+)\([^;{{}}()]*\)\s*({braces})', text))

        def calls(function, seen):
            seen.add(function)
            words = set(re.findall(r'\b(\w+)\s*[(,)]', bodies[function]))
            return {w for w in words if w.startswith('tg_')}.union(*(calls(w, seen) for w in words & set(bodies) - seen))

        table = text[text.rindex('const adapter adapters_'):]
        for op, function in re.findall(r'\{"([\w.]+)",\s*(\w+)\}', table):
            found[re.sub(r'^(max|min)\.binary$', r'\1', op)] = calls(function, set())
    return found


# -- registries --------------------------------------------------------------------------------------------------------


def registry(tool, what):
    """What `tapegrad WHAT` lists: the arguments by the name."""
    # libgomp keeps its teams, and that would be the exit status under a sanitizer.
    environment = dict(os.environ, TAPEGRAD_BACKEND='reference',
                       ASAN_OPTIONS=os.environ.get('ASAN_OPTIONS', '') + ':detect_leaks=0')
    text = subprocess.run([tool, what], capture_output=True, text=True, check=True, env=environment).stdout
    found = {}
    for line in text.splitlines():
        name, depth, k = line.split('(')[0], 0, line.index('(')
        for k in range(k, len(line)):
            depth += {'(': 1, ')': -1}.get(line[k], 0)
            if depth == 0:
                break
        found[name] = line[len(name) + 1:k]
    return found


def arguments(text):
    """[(name, default or None)] of "a, b=1, c=(1, 2)"."""
    found, depth, word = [], 0, ''
    for c in text + ',':
        depth += {'(': 1, ')': -1, '[': 1, ']': -1}.get(c, 0)
        if c == ',' and depth == 0:
            name, eq, default = word.strip().partition('=')
            if name:
                found.append((name, default if eq else None))
            word = ''
        else:
            word += c
    return found


def constructors(headers, prefix):
    """By the name without prefix, underscores and _with, _n: functions and macros."""
    found = {}
    for h in headers:
        for f in h.functions:
            if f.name.startswith(prefix):
                stem = re.sub(r'_(with|n|create)$', '', f.name.removeprefix(prefix))
                found.setdefault(bare(stem), []).append(f)
    return found


def constructors_of(cls, found):
    """tg_nn_max_pool_with is MaxPool1d's, too."""
    own = sorted(found.get(bare(cls), []), key=lambda f: (f.name.endswith('_with'), not f.macro))
    return own + [f for f in found.get(re.sub(r'\dd$', '', bare(cls)), []) if f not in own and f.name.endswith('_with')]


def is_own(cls, functions):
    """A class that PyTorch has not, which its prototype's comment says: "Scale is not in PyTorch"."""
    return any(re.search(rf'\b{cls}\b[^.;]*\bnot in PyTorch\b', f.comment) for f in functions)


def by_name_only(cls, headers):
    return any(re.search(rf'[Bb]y name[^.]*\b{cls}\b', f.comment) or re.search(rf'\b{cls}\b[^.]*by name', f.comment)
               for h in headers for f in h.functions)


def taken(f, arguments_of_class):
    """A macro's dots are what the class requires."""
    required = [a for a, default in arguments_of_class if default is None]
    return [*f.args[:-1], *required] if f.macro and f.args[-1] == '…' and required else f.args


def not_taken(cls, arguments_of_class, functions):
    """The arguments that no constructor takes; one without a name in common is taken for the one at its place."""
    short = [f for f in functions if not f.name.endswith('_with')]
    if len(short) < len(functions) or not short or short[0].args[1:] == ['options']:
        return []
    sizes = ('length', 'depth', 'height', 'width')
    left = [a for a, _ in arguments_of_class if a != 'inplace']
    required = [a for a, default in arguments_of_class if default is None]
    for f in short:
        for k, p in enumerate(taken(f, arguments_of_class)[1:]):
            at_place = arguments_of_class[k][0] if k < len(arguments_of_class) else None
            first = p in sizes and f.args[k] not in sizes  # height, width: one size
            for a in (p, at_place if k == 0 or at_place in required or first else None):
                if a in left:
                    left.remove(a)
                    break
    return left


def layer_tables(headers, classes):
    out, found = [], constructors(headers, 'tg_nn_')
    home = {}
    for cls in classes:
        fs = constructors_of(cls, found)
        home.setdefault(next((h.name for h in headers if any(f.header == h.name for f in fs)), ''), []).append((cls, fs))
    used = {f.name for fs in home.values() for _, of in fs for f in of}
    for h in headers:
        if h.name not in home:
            continue
        out += ['', f'#### {h.title} (`{h.name}`)', '', '| torch.nn | Tapegrad | by name only |', '| --- | --- | --- |']
        for cls, fs in home[h.name]:
            own = arguments(classes[cls])
            calls = in_code(f"{f.name}({', '.join(taken(f, own))})" for f in fs)
            name = '–' if is_own(cls, h.functions) else f'`nn.{cls}`'
            out.append(f"| {name} | {calls} | {', '.join(f'`{a}`' for a in not_taken(cls, own, fs))} |")
        out += [f'| – | `{f.call()}` |  |' for f in h.functions if f.result == 'tg_module *' and f.name not in used]
    rest = home.get('', [])
    if rest:
        out += ['', '#### By name only', '', '| torch.nn | Tapegrad |', '| --- | --- |']
        out += [f'| `nn.{cls}({classes[cls]})` | `tg_module_create(rt, "{cls}", …)` |' for cls, _ in rest]
    return out


def with_required(cls, text, torch):
    """What torch requires and no registry can hold: functions, other schedulers."""
    own = [a for a, _ in arguments(text)]
    required = [a for a, default in arguments(torch.classes['torch.optim.lr_scheduler'].get(cls, '')) if default is None]
    return ', '.join([a for a in required if a not in own and a != 'optimizer'] + ([text] if text else []))


def training_tables(optim, scheduler, optimizers, schedulers, torch):
    out = ['', '#### torch.optim (`optim.h`)', '', '| torch.optim | Tapegrad | its options |', '| --- | --- | --- |']
    found = constructors([optim], 'tg_optim_')
    for cls, text in optimizers.items():
        f = found.get(bare(cls), [])
        defaults = [g for g in optim.functions if g.name == f'tg_{bare(cls)}_defaults']
        name = cls if is_own(cls, optim.functions) else f'optim.{cls}'
        out.append(f"| `{name}({text})` | {in_code(g.call() for g in f)} | "
                   f"{', '.join(f'`{g.name}()`' for g in defaults)} |")
    out += ['', '#### torch.optim.lr_scheduler (`scheduler.h`)', '', '| lr_scheduler | Tapegrad |', '| --- | --- |']
    found = constructors([scheduler], 'tg_lr_')
    for cls, text in schedulers.items():
        made = found.pop(bare(re.sub(r'LR|Scheduler', '', cls)), [])
        out.append(f"| `{cls}({with_required(cls, text, torch)})` | {in_code(g.call() for g in made)} |")
    rest = [g for gs in found.values() for g in gs if g.result == 'tg_scheduler *' and not g.name.endswith('_create')]
    return out + [f'| – | `{g.call()}` |' for g in rest]


# What has no meaning here, or is another way to say something else.
NOT_TAKEN = {'device', 'dtype', 'size_average', 'reduce', 'params', 'optimizer', 'foreach', 'fused', 'capturable',
             'differentiable'}


def as_number(text):
    try:
        return float(text)
    except ValueError:
        return text


def same_default(theirs, ours):
    """(1) is 1, an empty list None, a word that stands for None it, too."""
    if theirs in ('None', '...') and ours in ('None', '()', "'none'"):
        return True
    values = [[as_number(v.strip()) for v in t.strip('()').split(',')] if t else t for t in (theirs, ours)]
    return values[0] == values[1]


def argument_differences(registered, torchs):
    """Where the registry's arguments are not PyTorch's."""
    rows = []
    for cls, text in registered.items():
        if cls not in torchs:
            continue
        ours, theirs = dict(arguments(text)), [a for a in arguments(torchs[cls]) if a[0] not in NOT_TAKEN]
        if any(a.startswith('*') for a, _ in theirs):
            continue
        missing = [f'`{a}`' for a, _ in theirs if a not in ours]
        more = [f'`{a}`' for a in ours if a not in dict(theirs)]
        other = [f'`{a}={ours[a]}`' for a, d in theirs if a in ours and d != '...' and not same_default(d, ours[a])]
        if missing or more or other:
            rows.append(f"| `{cls}` | {', '.join(missing)} | {', '.join(more)} | {', '.join(other)} |")
    return ['', '#### Where the arguments are not the same', '',
            '| class | PyTorch\'s, not here | here alone | another default |', '| --- | --- | --- | --- |', *rows] if rows else []


class Sources:
    def __init__(self, root, tool, cc):
        self.root, self.folder = root, os.path.join(root, 'include', 'tapegrad')
        self.all = [Header(os.path.join(self.folder, n)) for n in sorted(os.listdir(self.folder)) if n.endswith('.h')]
        by_name = {h.name: h for h in self.all}
        order = re.findall(r'#include <tapegrad/(ops_\w+\.h)>', self.text('ops.h'))
        self.ops = [by_name[n] for n in ['ops.h', *order] if n in by_name and 'location' not in n]
        order = re.findall(r'#include <tapegrad/(layers_\w+\.h)>', self.text('layers.h'))
        self.layers = [by_name[n] for n in order if n in by_name and 'location' not in n]
        self.optim, self.scheduler = by_name['optim.h'], by_name['scheduler.h']
        self.torch = Torch(os.path.join(root, 'tests', 'golden', 'torch_names.txt'))
        self.classes, self.optimizers = registry(tool, 'layers'), registry(tool, 'optimizers')
        self.schedulers = registry(tool, 'schedulers')
        public = {f.name for h in self.ops for f in h.functions}
        self.adapters = {op: called & public for op, called in called_by_adapters(root, cc).items()}

    def text(self, header):
        with open(os.path.join(self.folder, header), encoding='utf-8') as f:
            return f.read()

    def tables(self):
        functions, self.names = function_tables(self.ops, self.torch, self.adapters)
        classes = self.torch.classes
        layers = layer_tables(self.layers, self.classes) + argument_differences(self.classes, classes['torch.nn'])
        training = training_tables(self.optim, self.scheduler, self.optimizers, self.schedulers, self.torch)
        training += argument_differences(dict(self.optimizers, **self.schedulers),
                                         dict(classes['torch.optim'], **classes['torch.optim.lr_scheduler']))
        return {'port.py': self.port('port.py', 'python', 'class Net', 'torch.manual_seed'),
                'port.c': self.port('port.c', 'c', '/* class Net', '/* -- the same steps'),
                'layers': layers, 'training': training, 'functions': functions}

    def port(self, name, language, begin, end):
        """The model of an example."""
        with open(os.path.join(self.root, 'examples', name), encoding='utf-8') as f:
            text = f.read()
        return ['', f'```{language}', *text[text.index(begin):text.index(end)].rstrip().split('\n'), '```']


def table_on(page, name):
    """Where its lines stand on the page, these, and how many it says there are."""
    m = re.search(rf'<!-- {name}: made by docs/from_pytorch.py -->\n(.*?)\n\n<!-- end of {name}(?:: (\d+) lines)? -->', page,
                  re.DOTALL)
    if not m:
        raise SystemExit(f'the page has no place for {name}')
    return m.span(), m.group(1).split('\n'), int(m.group(2) or -1)


def with_tables(page, tables):
    for name, lines in tables.items():
        (begin, end), _, _ = table_on(page, name)
        page = (page[:begin] + f'<!-- {name}: made by docs/from_pytorch.py -->\n' + '\n'.join(lines) +
                f'\n\n<!-- end of {name}: {len(lines)} lines -->' + page[end:])
    return page


# -- the test ----------------------------------------------------------------------------------------------------------


def without_constructor(s):
    """Registered classes that no constructor makes and no header calls by name only; those that torch has not."""
    wrong = []
    found = constructors(s.layers, 'tg_nn_')
    for cls in s.classes:
        if not constructors_of(cls, found) and not by_name_only(cls, s.layers):
            wrong.append(f'nn.{cls} has no constructor')
    all_of = {'torch.nn': (s.classes, s.layers), 'torch.optim': (s.optimizers, [s.optim]),
              'torch.optim.lr_scheduler': (s.schedulers, [s.scheduler])}
    for what, (classes, headers) in all_of.items():
        own = [f for h in headers for f in h.functions]
        wrong += [f'{cls} is no class of {what}, and no comment says that it is not in PyTorch' for cls in classes
                  if (cls in s.torch.classes[what]) == is_own(cls, own)]
    rows = training_tables(s.optim, s.scheduler, s.optimizers, s.schedulers, s.torch)
    return wrong + [f'no constructor: {line}' for line in rows if line.startswith('| `') and ' | `tg_' not in line]


def not_on_page(s, page):
    """Public constructors and operators that the page does not have."""
    makes = ('tg_module *', 'tg_optimizer *', 'tg_scheduler *')
    made = [f for h in [*s.layers, s.optim, s.scheduler] for f in h.functions if f.result in makes]
    public = [f.name for f in made] + [f.name for h in s.ops for f in h.functions]
    return [name for name in public if not re.search(rf'\b{name}\b', page)]


def without_name(s):
    own = {f.name for h in s.ops for f in h.functions if 'ot in PyTorch' in f.comment}
    return [f for f in s.names if not s.names[f] and f.removeprefix('tg_') not in PYTHON and f not in own]


def adapters_missing(s):
    """Operators of PyTorch that tests/conformance calls, under another function or none."""
    wrong = []
    for op, called in s.adapters.items():
        name = f'torch.{op}' if s.torch.has(f'torch.{op}') else f'torch.Tensor.{op}'
        on_page = {f for f in s.names if name in s.names[f]}
        own = [f for f in on_page if bare(f).startswith('tg' + bare(op.rpartition('.')[2]))]
        if s.torch.has(name) and called and not on_page & called and not own:
            wrong.append(f'{op} ({", ".join(sorted(called))})')
    return wrong


def unknown_names(s, page):
    """C names that no header has, and Python names that PyTorch has not."""
    code = re.findall(r'```\w*\n(.*?)```', page, re.DOTALL)
    code += re.findall(r'`([^`\n]+)`', re.sub(r'```.*?```', '', page, flags=re.DOTALL))
    known = set(re.findall(r'\w+', ' '.join(s.text(n) for n in os.listdir(s.folder))))
    words = {w for c in code for w in re.findall(r'\b(?:tg|TG)_\w+', c)}
    wrong = sorted(w for w in words if w not in known and not w.endswith('_'))
    modules = {'nn': 'torch.nn', 'F': 'torch.nn.functional', 'x': 'torch.Tensor', 'optim': 'torch.optim'}
    dotted = re.compile(r'(?<![\w.>])((?:torch|nn|F|x|optim)(?:\.\w+)+)')
    for name in sorted({n for c in code for n in dotted.findall(c)}):
        first, _, rest = name.partition('.')
        full = f'{modules.get(first, first)}.{rest}'
        places = [full, full.rstrip('_'), full.replace('torch.optim.', 'torch.optim.lr_scheduler.')]
        if not any(s.torch.has(p) for p in places) and rest not in ('h', 'x'):  # optim.h, batch.x
            wrong.append(name)
    return wrong


def wrong_in_docs(page, tables):
    """Lines of docs/'s tables that would not be made so or not be made there, and what was lost from them by hand."""
    wrong = []
    for name, made in tables.items():
        _, lines, said = table_on(page, name)
        at = 0
        for line in lines:
            if line in made[at:]:
                at = made.index(line, at) + 1
            else:
                wrong.append(line)
        if said != len(lines):
            wrong.append(f'{name} has {len(lines)} lines and says that it has {said}')
        if name.startswith('port.') and lines != made:
            wrong.append(f'{name} is not what examples/ has')
    return wrong


def not_yet_in_docs(page, tables):
    return [line for name, made in tables.items() for line in made if line and line not in table_on(page, name)[1]]


def read(path):
    with open(path, encoding='utf-8') as f:
        return f.read()


def check(root, tool, cc):
    s = Sources(root, tool, cc)
    tables, docs = s.tables(), read(os.path.join(root, 'docs', 'from-pytorch.md'))
    page = with_tables(docs, tables)
    one_less = page.replace('tg_nn_linear(', '(').replace('tg_softmax(', '(')
    row = next(line for line in table_on(page, 'layers')[1] if '`nn.Linear`' in line)
    without = page.replace(row + '\n', '')
    wrong_row = page.replace(row, row.replace('in_features', 'inputs'))
    cases = [
        ('each registered class has a constructor and is one of PyTorch\'s, or says that it is none', without_constructor(s)),
        ('each constructor and each operator is on the page', not_on_page(s, page)),
        ('each operator has a name in PyTorch', without_name(s)),
        ('what the conformance adapters call is on the page', adapters_missing(s)),
        ('each name on the page exists', unknown_names(s, page)),
        ('docs/ has nothing that would not be made so: `ninja from-pytorch` writes it', wrong_in_docs(docs, tables)),
        ('a missing function would be seen', {'tg_nn_linear', 'tg_softmax'} ^ set(not_on_page(s, one_less))),
        ('a name that is none would be seen',
         {'tg_nosuch', 'torch.nosuch', 'nn.No'} ^ set(unknown_names(s, page + '\n`tg_nosuch`, `torch.nosuch`, `nn.No`'))),
        ('a row that is not right, or lost, would be seen in docs/',
         [] if len(wrong_in_docs(wrong_row, tables)) == len(wrong_in_docs(without, tables)) == 1 else ['it is not']),
        ('a row that is not there yet would be seen in docs/', {row} ^ set(not_yet_in_docs(without, tables))),
    ]
    for n, (what, wrong) in enumerate(cases, 1):
        wrong = sorted(wrong) if isinstance(wrong, set) else wrong
        print(f"{'not ok' if wrong else 'ok'} {n} - {what}{': ' + '; '.join(wrong[:5])[:400] if wrong else ''}")
    missing, last = not_yet_in_docs(docs, tables), len(cases) + 1
    why = f' # SKIP it lacks {len(missing)}, which `ninja from-pytorch` writes; the first: {missing[0]}' if missing else ''
    print(f'ok {last} - docs/ has each line of the page{why}')
    print(f'1..{last}')


def write(root, tool, cc, path):
    page = with_tables(read(os.path.join(root, 'docs', 'from-pytorch.md')), Sources(root, tool, cc).tables())
    with open(path, 'w', encoding='utf-8') as f:
        f.write(page)


if __name__ == '__main__':
    if len(sys.argv) != 5:
        raise SystemExit(__doc__)
    if sys.argv[1] == '--check':
        check(*sys.argv[2:])
    else:
        write(*sys.argv[1:])
