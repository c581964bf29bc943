"""Writes torch_names.txt, beside this file: python3 make_torch_names.py (with PyTorch installed)

The public names by module, which docs/from-pytorch.md stands on: classes line by line with their arguments, then the
functions; NAME=OTHER where the documentation calls it an alias."""
import inspect
import os
import re
import textwrap

import torch
import torch.nn.functional

MODULES = [torch, torch.Tensor, torch.nn, torch.nn.functional, torch.nn.init, torch.nn.utils, torch.linalg, torch.special,
           torch.optim, torch.optim.lr_scheduler, torch.optim.swa_utils, torch.func, torch.autograd,
           torch.autograd.functional, torch.utils.checkpoint, torch.utils.data, torch.nn.attention, torch.nn.Module,
           torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler, torch.nn.Transformer]
WITH_CLASSES = [torch.nn, torch.optim, torch.optim.lr_scheduler, torch.optim.swa_utils, torch.utils.data]


def prefix(module):
    if inspect.isclass(module) and not module.__module__.startswith('torch._'):
        name = f'{module.__module__}.{module.__name__}'
        return {'torch.nn.modules.module.Module': 'torch.nn.Module',
                'torch.nn.modules.transformer.Transformer': 'torch.nn.Transformer',
                'torch.optim.optimizer.Optimizer': 'torch.optim.Optimizer'}.get(name, name)
    return 'torch.Tensor' if module is torch.Tensor else module.__name__


def plain(value):
    """A default as Python writes it; None for what is no number, text, list or tuple of these."""
    return repr(value) if isinstance(value, (bool, int, float, str, tuple, list, type(None))) else None


def arguments(cls):
    try:
        parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    except (TypeError, ValueError):
        return ''
    text = []
    for p in parameters:
        star = {p.VAR_POSITIONAL: '*', p.VAR_KEYWORD: '**'}.get(p.kind, '')
        default = '' if p.default is p.empty else '=' + (plain(p.default) or '...')
        text.append(star + p.name + default)
    return '(' + ', '.join(text) + ')'


def alias_of(thing):
    """'torch.cat', where that is all the documentation has to say."""
    m = re.search(r'^\s*Alias (?:for|of) :\w+:`~?(?:torch\.)?([\w.]+)', thing.__doc__ or '', re.MULTILINE)
    return m and m.group(1).removesuffix('()')


def is_listed(module, name, thing):
    """Functions, what is called like one (no_grad), dtypes, a class's own members; nothing that works in place."""
    if name[0].isupper() or (module in (torch, torch.Tensor) and name[-1] == '_'):
        return False
    return callable(thing) or inspect.isclass(module) or isinstance(thing, torch.dtype)


def names_of(module):
    """Functions and methods in one list, classes in another."""
    functions, classes = ['T'] if module is torch.Tensor else [], []
    for name in sorted(set(dir(module)) - set(dir(torch.nn.Module) if module is torch.nn.Transformer else [])):
        thing = getattr(module, name, None)
        if name.startswith('_'):
            continue
        if inspect.isclass(thing) and name[0].isupper():
            if module in WITH_CLASSES and thing.__module__.startswith('torch'):
                classes.append(name + arguments(thing))
        elif is_listed(module, name, thing):
            other = alias_of(thing)
            is_alias = other and other.rsplit('.', 1)[-1] != name
            functions.append(f'{name}={other.rsplit(".", 1)[-1]}' if is_alias else name)
    return sorted(functions), sorted(classes)


with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'torch_names.txt'), 'w', encoding='utf-8') as f:
    f.write(f'# PyTorch {torch.__version__.split("+")[0]}, by make_torch_names.py\n')
    for module in MODULES:
        functions, classes = names_of(module)
        f.write(f'\n[{prefix(module)}]\n')
        f.writelines(line + '\n' for line in classes + textwrap.wrap(' '.join(functions), 118, break_on_hyphens=False))
