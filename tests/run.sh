#!/bin/sh
# Builds in build-tests/ and runs every test. The last line is `N passed, N failed, N skipped`, counted over all
# test cases; the exit status is 0 only where none failed. Arguments go to `meson setup` (-Db_sanitize=address, …).
set -eu

cd "$(dirname "$0")/.."
sh tools/install-packages.sh tests

if ! sh tools/build.sh build-tests --buildtype=debugoptimized "$@"; then
    echo "the build failed"
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
fi
rm -f build-tests/meson-logs/testlog.json
meson test -C build-tests --no-rebuild --print-errorlogs --timeout-multiplier 3 || :
python3 tests/support/count_results.py build-tests
