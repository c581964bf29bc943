"""Counts all test cases of a `meson test` run: python3 count_results.py BUILD_FOLDER

Prints `N passed, N failed, N skipped`; exit status 0 only where tests ran and none failed. A TAP program counts as
many cases as it reports, any other program as one. A program that crashed, hung, stopped before its plan was done,
failed without a failed case, or did not run at all is one failed case more.
"""
import json
import os
import re
import sys

CASE = re.compile(r'(not )?ok\b(?:[^#\\]|\\.)*(?:#\s*(SKIP|TODO)\b)?', re.IGNORECASE)
PLAN = re.compile(r'1\.\.(\d+)')


def count_tap(text):
    """(passed, failed, skipped, whole): whole where the plan is there and as many cases as it says"""
    passed = failed = skipped = 0
    plan = None
    for line in text.splitlines():
        if m := PLAN.match(line):
            plan = int(m[1])
        elif m := CASE.match(line):
            directive = (m[2] or '').upper()
            if directive == 'TODO' or (directive == 'SKIP' and not m[1]):
                skipped += 1
            elif m[1]:
                failed += 1
            else:
                passed += 1
    return passed, failed, skipped, plan == passed + failed + skipped


def main(build):
    with open(os.path.join(build, 'meson-info', 'intro-tests.json'), encoding='utf-8') as f:
        tests = json.load(f)
    protocol = {tuple(t['cmd']): t.get('protocol', 'exitcode') for t in tests}
    results = []
    log = os.path.join(build, 'meson-logs', 'testlog.json')
    if os.path.exists(log):
        with open(log, encoding='utf-8', errors='replace') as f:
            results = [json.loads(line) for line in f if line.strip()]

    total = [0, 0, 0]
    for r in results:
        result = r['result']
        good = result in ('OK', 'EXPECTEDFAIL', 'SKIP')
        if protocol.get(tuple(r.get('command', ()))) == 'tap':
            passed, failed, skipped, whole = count_tap(r.get('stdout', ''))
            if passed + failed + skipped == 0 and result == 'SKIP':
                skipped = 1
            elif not whole or (not good and failed == 0):
                failed += 1
                print(f"{r['name']}: {result}, {'after its last case' if whole else 'before its plan was done'}")
        else:
            passed, failed, skipped = int(good and result != 'SKIP'), int(not good), int(result == 'SKIP')
        total = [a + b for a, b in zip(total, (passed, failed, skipped))]
    missing = len(tests) - len(results)
    if missing > 0:
        print(f'{missing} of {len(tests)} test programs did not run')
        total[1] += missing
    elif not tests:
        print('there are no tests')
        total[1] += 1
    print('{} passed, {} failed, {} skipped'.format(*total))
    return total[1] != 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1]))
