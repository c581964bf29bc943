"""Counts all test cases of `meson test` runs: python3 count_results.py BUILD_FOLDER [SETUP...]

Prints `N passed, N failed, N skipped`: of the whole suite, and of its tests of the suite 'swap' again under each setup,
whose line comes before with its name. Exit status 0 only where tests ran and none failed. A TAP program counts as
many cases as it reports, any other program as one. A program that crashed, hung, stopped before its plan was done,
failed without a failed case, or did not run at all is one failed case more.
"""
import json
import os
import re
import sys

CASE = re.compile(r'(not )?ok\b(?:[^#\\]|\\.)*(?:#\s*(SKIP|TODO)\b)?', re.IGNORECASE)
PLAN = re.compile(r'1\.\.(\d+)')
SENTENCE = '{} passed, {} failed, {} skipped'


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


def count_result(r, tap):
    """[passed, failed, skipped] of one program"""
    result = r['result']
    good = result in ('OK', 'EXPECTEDFAIL', 'SKIP')
    if not tap:
        return [int(good and result != 'SKIP'), int(not good), int(result == 'SKIP')]
    passed, failed, skipped, whole = count_tap(r.get('stdout', ''))
    if passed + failed + skipped == 0 and result == 'SKIP':
        skipped = 1
    elif not whole or (not good and failed == 0):
        failed += 1
        print(f"{r['name']}: {result}, {'after its last case' if whole else 'before its plan was done'}")
    return [passed, failed, skipped]


def count_run(build, setup, tests):
    """[passed, failed, skipped] of one run of these tests"""
    protocol = {tuple(t['cmd']): t.get('protocol', 'exitcode') for t in tests}
    results = []
    log = os.path.join(build, 'meson-logs', f'testlog-{setup}.json' if setup else 'testlog.json')
    if os.path.exists(log):
        with open(log, encoding='utf-8', errors='replace') as f:
            results = [json.loads(line) for line in f if line.strip()]
    total = [0, 0, 0]
    for r in results:
        one = count_result(r, protocol.get(tuple(r.get('command', ()))) == 'tap')
        total = [a + b for a, b in zip(total, one)]
    missing = len(tests) - len(results)
    if missing > 0:
        print(f'{missing} of {len(tests)} test programs did not run')
        total[1] += missing
    elif not tests:
        print('there are no tests')
        total[1] += 1
    return total


def main(build, setups):
    with open(os.path.join(build, 'meson-info', 'intro-tests.json'), encoding='utf-8') as f:
        tests = json.load(f)
    swapped = [t for t in tests if any(s.split(':')[-1] == 'swap' for s in t['suite'])]
    total = count_run(build, None, tests)
    for setup in setups:
        again = count_run(build, setup, swapped)
        print(f'again on {setup}:', SENTENCE.format(*again))
        total = [a + b for a, b in zip(total, again)]
    print(SENTENCE.format(*total))
    return total[1] != 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1], sys.argv[2:]))
