"""Runs examples/fashion_mnist on small data of its own: python3 fashion_mnist.py PROGRAM. Reports TAP."""
import gzip
import os
import random
import re
import struct
import subprocess
import sys
import tempfile

PROGRAM = os.path.abspath(sys.argv[1])
LAST = re.compile(r'test accuracy (\d+\.\d\d) % after (\d+) epochs \(backend (\w+)\)')
number = failed = 0


def case(name, good, why=''):
    global number, failed
    number += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {number} - fashion_mnist:{name}", flush=True)
    if not good:
        print(f'{name}: {why}', file=sys.stderr)


def run(*arguments, **environment):
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=False,
                          env={**os.environ, **environment})
    return done.returncode, done.stdout.splitlines(), done.stderr


def idx(values, *dims):
    return struct.pack('>BBBB', 0, 0, 8, len(dims)) + struct.pack(f'>{len(dims)}I', *dims) + bytes(values)


def write(folder, name, content):
    with (gzip.open if name.endswith('.gz') else open)(os.path.join(folder, name), 'wb') as f:
        f.write(content)


def make_data(folder):
    """Ten classes: a bright row each, in noise."""
    rng = random.Random(1)
    for name, n in (('train', 1281), ('t10k', 500)):
        labels = [rng.randrange(10) for _ in range(n)]
        images = [min(255, rng.randrange(90) + 60 * (y == label)) for label in labels for y in range(10) for _ in range(6)]
        suffix = '.gz' if name == 't10k' else ''
        write(folder, f'{name}-images-idx3-ubyte{suffix}', idx(images, n, 10, 6))
        write(folder, f'{name}-labels.idx1-ubyte{suffix}', idx(labels, n))


def proof(lines):
    return [line.split(':', 1)[1] for line in lines if 'evaluating: parameters' in line]


def main(folder):
    data = ['--data', folder]
    for arguments in (['--nonsense'], ['--epochs'], ['--epochs', '0'], ['--epochs', '2x'], ['--model', 'cnn'], ['--lr', 'nan'],
                      ['--optimizer', 'sg'], ['--batch', '-3'], ['more'],
                      ['--load', 'm', '--curve', 'c.svg']):
        code, out, err = run(*arguments)
        case('usage ' + ' '.join(arguments), code == 2 and not out and 'usage:' in err, f'{code} {out} {err}')
    code, out, err = run('--data', os.path.join(folder, 'none'))
    case('no data', code == 1 and 'dataset-fashion-mnist' in err, f'{code} {err}')
    code, out, err = run(*data, TAPEGRAD_BACKEND='nonsense')
    case('unknown backend', code == 1 and 'reference' in err, f'{code} {err}')

    model, curve = os.path.join(folder, 'm.safetensors'), os.path.join(folder, 'c.svg')
    accuracy, runs = {}, {}
    for backend, threads in (('reference', '1'), ('reference', '2'), (None, '2')):
        environment = {'TAPEGRAD_NUM_THREADS': threads, **({'TAPEGRAD_BACKEND': backend} if backend else {})}
        code, out, err = run(*data, '--epochs', '3', '--seed', '5', '--save', model, '--curve', curve, **environment)
        last = LAST.fullmatch(out[-1]) if out else None
        name = f'{backend or "default chain"}, {threads} threads'
        case(name, code == 0 and last and last[2] == '3' and float(last[1]) > 90, f'{code} {out} {err}')
        case(name + ': evaluating changes nothing', len(set(proof(out))) == 1 and len(proof(out)) == 2, out)
        accuracy[backend, threads] = last and last[1]
        runs[backend, threads] = proof(out)
    case('the same bits with 1 and 2 threads', runs['reference', '1'] == runs['reference', '2'], runs)
    with open(curve, encoding='utf-8') as f:
        case('curves', f.read().count('<path class="curve"') == 3)
    for backend in (None, 'reference'):
        code, out, err = run(*data, '--load', model, **({'TAPEGRAD_BACKEND': backend} if backend else {}))
        case(f'load on {backend or "the default chain"}',
             code == 0 and f'test accuracy {accuracy[None, "2"]} %' in out[-1], f'{code} {out} {err}')
    for arguments in (['--model', 'simple'], ['--optimizer', 'adam'], ['--optimizer', 'adamw', '--schedule', 'constant']):
        code, out, err = run(*data, '--epochs', '1', *arguments)
        case(' '.join(arguments), code == 0 and LAST.fullmatch(out[-1]), f'{code} {out} {err}')
    code, out, err = run(*data, '--epochs', '1', '--batch', '1')
    case('a batch of one in train mode', code == 1 and 'BatchNorm1d' in err, f'{code} {err}')
    for option in ('--save', '--curve'):
        for path, why in ((os.path.join(folder, 'none', 'm'), 'No such file'), (folder, 'directory'), ('', 'No such file'),
                          (os.path.join(model, 'm'), 'Not a directory')):
            code, out, err = run(*data, option, path)
            case(f'{option} is checked before training: {why}', code == 2 and not out and why in err and option in err,
                 f'{code} {out} {err}')
    with open(model, 'r+b') as f:
        f.truncate(1000)
    code, out, err = run(*data, '--load', model)
    case('a model cut short', code == 1 and 'cut short' in err, f'{code} {err}')
    write(folder, 'train-images-idx3-ubyte', idx(bytes(100), 1281, 10, 6))
    code, out, err = run(*data)
    case('an image file cut short', code == 1 and 'cut short' in err, f'{code} {err}')
    print(f'1..{number}')
    return failed != 0


with tempfile.TemporaryDirectory() as temporary:
    make_data(temporary)
    sys.exit(main(temporary))
