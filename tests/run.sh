#!/bin/sh
# Builds in build-tests/ and runs every test, then those that any backend must pass again on each. The last line is
# `N passed, N failed, N skipped`, counted over all test cases of all runs; the exit status is 0 only where none failed.
# Arguments go to `meson setup` (-Db_sanitize=address, …).
set -eu

cd "$(dirname "$0")/.."
sh tools/install-packages.sh tests

if ! sh tools/build.sh build-tests --buildtype=debugoptimized "$@"; then
    echo "the build failed"
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
fi
rm -f build-tests/meson-logs/testlog*.json
run() {
    meson test -C build-tests --no-rebuild --print-errorlogs --timeout-multiplier 3 "$@" || :
}
run
setups=$(cat build-tests/tests/swap/setups 2>/dev/null) || :
for setup in $setups; do
    run --suite swap --setup "$setup" --quiet
done
# shellcheck disable=SC2086
python3 tests/support/count_results.py build-tests $setups
