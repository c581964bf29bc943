#!/bin/sh
# strict.sh TAPEGRAD PLUGINS SWAP_FOLDER: the chain 'good,rest' is an error exactly where the kit's list has the operator
# and 'good' does not run it.
set -u
tool=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
unset TAPEGRAD_REPORT BLIS_ARCH_TYPE
export TAPEGRAD_BACKEND_PATH="$2:$3" TAPEGRAD_BACKEND=good,rest TAPEGRAD_FALLBACK=error
export TAPEGRAD_TEST_KIT="$folder/kit" ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0"
n=0

# expect WHAT STATUS TEXT: of training a small network
expect() {
    n=$((n + 1))
    output=$("$tool" bench tiny 2>&1)
    got=$?
    if [ "$got" = "$2" ] && case $output in *"$3"*) true ;; *) false ;; esac; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        echo "status $got, expected $2 with '$3': $output" >&2
    fi
}

expect "no list" 1 "it offers no kernels"
echo "none of it" >"$folder/kit"
expect "an empty list" 1 "it offers no kernels"
echo "neg                          f32     9 passed, 0 failed, 0 declined, 36 runs" >"$folder/kit"
expect "others run on the rest" 0 "good,rest,reference"
echo "linear                       f32     0 passed, 0 failed, 9 declined, 0 runs" >>"$folder/kit"
echo "linear                       f64     9 passed, 0 failed, 0 declined, 36 runs" >>"$folder/kit"
expect "no kernel in this dtype" 0 "good,rest,reference"
echo "linear                       f32     9 passed, 0 failed, 0 declined, 36 runs" >>"$folder/kit"
expect "refused though the list has it" 1 "linear("
echo "1..$n"
