#!/bin/sh
# missing.sh LIBTAPEGRAD FUZZ [TAPEGRAD]: a library without the module of samples beside it: what needs them says so, and
# fails.
set -u
library=$1 fuzz=$2 tool=${3:-}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
unset TAPEGRAD_BACKEND TAPEGRAD_REPORT TAPEGRAD_FALLBACK TAPEGRAD_BACKEND_PATH
cp "$library" "$folder/libtapegrad.so.0"
export LD_LIBRARY_PATH="$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0"
n=0

# expect WHAT STATUS TEXT COMMAND...
expect() {
    what=$1 status=$2 text=$3
    shift 3
    n=$((n + 1))
    output=$("$@" 2>&1)
    got=$?
    if [ "$got" = "$status" ] && case $output in *"$text"*) true ;; *) false ;; esac; then
        echo "ok $n - $what"
    else
        echo "not ok $n - $what"
        echo "status $got, expected $status with '$text': $output" >&2
    fi
}

expect "the fuzzer" 1 "the samples of operator neg: $folder/" "$fuzz" --calls 10 --operator neg
if [ "$tool" ]; then
    expect "the kit" 1 "FAIL the samples of operator neg: $folder/" "$tool" kit --backend reference --operator neg
    expect "a layer's entry" 0 "an example cannot be made: " "$tool" layers Linear
fi
echo "1..$n"
