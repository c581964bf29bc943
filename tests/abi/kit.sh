#!/bin/sh
# kit.sh TAPEGRAD PLUGINS BLIS_DIR HAVE_BLIS ONEDNN_DIR HAVE_ONEDNN: what the conformance kit says of backends that are
# right, and of those that are wrong in one way each.
set -u
tool=$1 plugins=$2 blis=$3 have_blis=$4 onednn=$5 have_onednn=$6
unset TAPEGRAD_BACKEND TAPEGRAD_REPORT TAPEGRAD_FALLBACK TAPEGRAD_BACKEND_PATH BLIS_ARCH_TYPE
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0:handle_segv=0:handle_sigill=0"
n=0

# expect WHAT STATUS TEXT ARGUMENT...: the kit's status, and the text somewhere in what it prints.
expect() {
    what=$1 status=$2 text=$3
    shift 3
    n=$((n + 1))
    output=$("$tool" kit "$@" 2>&1)
    got=$?
    if [ "$got" = "$status" ] && case $output in *"$text"*) true ;; *) false ;; esac; then
        echo "ok $n - $what"
    else
        echo "not ok $n - $what"
        echo "status $got, expected $status with '$text':" >&2
        echo "$output" >&2
    fi
}

# says_once WHAT TEXT ARGUMENT...: TEXT is in one line of what the kit prints.
says_once() {
    what=$1 text=$2
    shift 2
    n=$((n + 1))
    lines=$("$tool" kit "$@" 2>&1 | grep -c -- "$text")
    if [ "$lines" = 1 ]; then echo "ok $n - $what"; else echo "not ok $n - $what: $lines"; fi
}

# flawed NAME TEXT: a plug-in that the kit must not pass.
flawed() {
    expect "$1" 1 "$2" --backend "$plugins/$1.so"
}

expect "a good one" 0 "neg                          f32     9 passed, 0 failed, 0 declined, 36 runs" \
    --backend "$plugins/good.so"
expect "one that refuses" 0 " declined, 0 runs: it is Monday" --backend "$plugins/refuses.so"
expect "one that declines" 0 " 0 failed, " --backend "$plugins/declines.so"
expect "one that declines, run all the same" 0 "neg                          f32     9 passed" \
    --backend "$plugins/declines.so" --declined
expect "one that cannot do what it declines" 0 "9 declined, 0 runs: others are faster" \
    --backend "$plugins/cannot.so" --declined --operator neg
expect "one that does not say why not" 1 "neg: prepare failed: " --backend "$plugins/mute.so" --declined
expect "an operator of a later version" 0 "note of a later version, version 1: this library has no such operator" \
    --backend "$plugins/good.so"
expect "notes can fail" 1 "FAIL of a later version" --backend "$plugins/good.so" --strict
expect "by name" 0 ", 0 failed, " --backend reference --operator softmax
expect "one operator" 1 "good has no kernel for 'exp'" --backend "$plugins/good.so" --operator exp
says_once "one operator, once" "FAIL" --backend "$plugins/good.so" --operator exp
expect "an unknown operator" 1 "there is no operator 'none'" --backend reference --operator none
says_once "an unknown operator, once" "FAIL" --backend reference --operator none
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp "$plugins/good.so" "$folder"
export TAPEGRAD_BACKEND_PATH="$folder"
expect "an operator on every backend: a plug-in" 0 "good $folder/good.so: library" --operator neg
expect "an operator on every backend: the reference" 0 "reference: library" --operator neg
expect "an operator that only the reference has" 0 "exp   " --operator exp
says_once "an operator that only the reference has, once" ": library" --operator exp
expect "an unknown operator on every backend" 1 "there is no operator 'none'" --operator none
cp "$plugins/wrong.so" "$folder"
expect "an operator on every backend, one of them wrong" 1 "the reference in f64: " --operator neg
unset TAPEGRAD_BACKEND_PATH
flawed nullentry "its entry returned NULL"
flawed noentry "it exports no tg_backend_entry"
flawed othermajor "it was built for plug-in ABI 2.0, this library has 1."
flawed smallstruct "its description has"
flawed norun "its kernel 1 is incomplete"
flawed openfails "it could not be opened: the quantum processor is asleep"
flawed preparefails "neg: prepare failed: the mould is broken"
flawed runfails "neg: run failed: a fuse has blown"
flawed hugescratch "neg: prepare asks for"
flawed writesafter "neg wrote outside: byte 1 after its output 0 of"
flawed writesbefore "neg wrote outside: byte 9 before its output 0 of"
flawed smallscratch "neg wrote outside: byte 1 after its scratch of 16 bytes"
flawed smallsaved "neg wrote outside: byte 1 after its saved memory of 8 bytes"
expect "one that saves" 0 ", 0 failed, " --backend "$plugins/keeps.so"
flawed writessaved "relu_backward changed its forward's saved memory"
flawed changesinput "neg changed its input 0"
flawed allocates "run of neg allocates: 100 bytes from the host"
flawed unsteady "neg gave other bits in a second run: output 0"
flawed wrong "the reference in f64: "
flawed leavesgaps "the reference in f64: "
flawed crashes "in run of neg"
expect "a file that is none" 1 "is no plug-in's file" --backend "$plugins/none.so"
expect "an unknown name" 1 'unknown backend "fpga"' --backend fpga
expect "no backend" 2 "--backend is missing"
expect "an unknown argument" 2 "the kit knows no --frobnicate" --frobnicate
if [ "$have_blis" = 1 ]; then
    expect "BLIS" 0 ", 0 failed, " --backend "$blis/blis.so"
    expect "BLIS, the small products too" 0 "linear                       f64  " --backend "$blis/blis.so" --declined
fi
if [ "$have_onednn" = 1 ]; then
    for operator in matmul linear softmax softmax_backward layer_norm_backward batch_norm_backward max_pool reorder; do
        expect "oneDNN's $operator, whatever it declines" 0 ", 0 failed, " --backend "$onednn/onednn.so" --declined \
            --operator "$operator"
    done
fi
echo "1..$n"
