"""What the runner says about files that are cut short, corrupt, or wrong: a `fail` with its reason, never a crash.

python3 bad_files.py RUNNER GOLDEN_CASE_FOLDER; writes TAP."""
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

runner, folder = sys.argv[1:3]
count = 0


def report(good, what):
    global count
    count += 1
    print(f"{'ok' if good else 'not ok'} {count} - {what}")


def run(*args):
    p = subprocess.run([runner, '--backend', 'reference', *args], capture_output=True, text=True, timeout=60)
    lines = p.stdout.splitlines()
    return p.returncode, lines[0] if lines else '', lines[-1] if lines else ''


def read(name):
    with open(os.path.join(folder, name + '.safetensors'), 'rb') as f:
        data = f.read()
    n = struct.unpack('<Q', data[:8])[0]
    return json.loads(data[8:8 + n]), data[8 + n:]


def join(header, body):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack('<Q', len(text)) + text + body


def main(tmp):
    path = os.path.join(tmp, 'case.safetensors')

    def fails(data, what, reason=''):
        with open(path, 'wb') as f:
            f.write(data)
        status, first, last = run(path)
        good = status == 1 and first.startswith('fail case: ') and reason in first and last == '0 passed, 1 failed, 0 skipped'
        report(good, what if good else f'{what}: status {status}: {first}')

    def changed(name, change):
        header, body = read(name)
        case = json.loads(header['__metadata__']['case'])
        change(header, case)
        if '__metadata__' in header and 'case' in header['__metadata__']:
            header['__metadata__']['case'] = json.dumps(case)
        return join(header, body)

    header, body = read('Linear-train-000')
    whole = join(header, body)
    fails(b'', 'an empty file')
    for cut in (1, 7, 8, 9, 100, len(whole) - len(body) - 1, len(whole) - len(body), len(whole) - 8, len(whole) - 1):
        fails(whole[:cut], f'cut short at {cut} of {len(whole)} bytes')
    fails(join(b'{' * 20, b''), 'a header that is no JSON')
    fails(struct.pack('<Q', 1 << 62) + whole[8:], 'a header length that lies')
    fails(join({'__metadata__': {}}, b''), 'no case', "no metadata named 'case'")
    fails(join({'__metadata__': {'case': '{"kind": '}}, b''), 'a case that is no JSON', 'JSON')
    fails(join({'__metadata__': {'case': '[]'}}, b''), 'a case that is no object', "no 'kind'")
    fails(join({'__metadata__': {'case': '{"kind": "module"}'}}, b''), 'a module case without a module')
    fails(join({'__metadata__': {'case': '{"kind": "op"}'}}, b''), 'an operator case without an operator')
    fails(join({'__metadata__': {'case': '{"kind": "training"}'}}, b''), 'a training case without a model')
    fails(changed('Linear-train-000', lambda h, c: c.update(mode='both')), 'a mode that there is not')
    fails(changed('Linear-train-000', lambda h, c: c['inputs'].update(input={'tensor': 'nobody'})), 'a tensor that is not there', 'nobody')
    fails(changed('Linear-train-000', lambda h, c: c['arguments'].update(in_features=11)), 'another shape than the file has', 'shape')
    fails(changed('Linear-train-000', lambda h, c: c['arguments'].update(in_features=-1)), 'an argument out of its range')
    fails(changed('training-mlp_bn-modes', lambda h, c: c['script'][0].update(batch=99)), 'a batch that is not there', 'batch.99')
    fails(changed('training-mlp_bn-modes', lambda h, c: c['script'][1].update(module='7.7')), 'a module that is not there')
    fails(changed('training-mlp_bn-modes', lambda h, c: c.update(script=3)), 'a script that is no list')

    def wrong_value(data_header, body, name):
        at = data_header[name]['data_offsets'][0]
        return join(data_header, body[:at] + struct.pack('<d', 1e3) + body[at + 8:])
    for name in ('output', 'grad_input.input', 'grad_param.weight'):
        fails(wrong_value(header, body, name), f'a wrong {name}', name)
    h, b = read('softmax-000')
    for name in ('grad_input.input', 'gradgrad_input.input', 'gradgrad_grad_output'):
        fails(wrong_value(h, b, name), f'a wrong {name}', name)
    h, b = read('BatchNorm1d-train-000')
    fails(wrong_value(h, b, 'buffer_after.running_var'), 'a wrong buffer_after', 'running_var')
    h, b = read('training-mlp_bn-modes')
    for name in ('after.0.loss', 'after.5.param.0.weight', 'after.8.output'):
        fails(wrong_value(h, b, name), f'a wrong {name}', name)

    status, first, _ = run(os.path.join(tmp, 'nowhere.safetensors'))
    report(status == 1 and first.startswith('fail nowhere: '), 'a path that is not there')
    os.mkdir(os.path.join(tmp, 'empty'))
    status, _, last = run(os.path.join(tmp, 'empty'))
    report(status == 0 and last == '0 passed, 0 failed, 0 skipped', 'an empty folder')
    report(run()[0] == 2 and run('--dtype', 'f16', path)[0] == 2 and run('--what', path)[0] == 2, 'a wrong command line')

    random.seed(1)
    crashes = []
    names = [n[:-len('.safetensors')] for n in sorted(os.listdir(folder)) if n.endswith('.safetensors')]
    for i in range(60):
        data = bytearray(join(*read(names[i % len(names)])))
        for _ in range(1 + i % 4):
            data[random.randrange(min(len(data), 1500))] = random.randrange(256)
        with open(path, 'wb') as f:
            f.write(data)
        status = run(path)[0]
        if status not in (0, 1):
            crashes.append((names[i % len(names)], i, status))
    report(not crashes, f'60 files with flipped bytes {crashes if crashes else ""}')
    print(f'1..{count}')


with tempfile.TemporaryDirectory() as folder_for_files:
    main(folder_for_files)
