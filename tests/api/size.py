"""The library, stripped, stays below a megabyte: docs/decisions/0005-size.md says what it weighs.

python3 size.py LIBRARY STRIP REASON; writes TAP. REASON, where it is not empty, is why this build says nothing."""
import os
import subprocess
import sys
import tempfile

LIMIT = 1 << 20

library, strip, reason = sys.argv[1:4]
if reason:
    print(f'1..0 # SKIP {reason}')
    sys.exit(0)
with tempfile.TemporaryDirectory() as folder:
    stripped = os.path.join(folder, 'stripped')
    subprocess.run([strip, '-o', stripped, library], check=True)
    size = os.path.getsize(stripped)
print('1..1')
print(f'# {size} bytes')
print('ok 1 - below a megabyte' if size < LIMIT else f'not ok 1 - {size} bytes, expected less than {LIMIT}')
