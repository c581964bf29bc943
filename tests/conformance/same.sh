#!/bin/sh
# same.sh CONFORMANCE CASES [CHAIN]: in f32 the same golden cases pass on the chain, or the environment's, as on the
# reference, and none fails.
set -eu
reference=$("$1" --backend reference --dtype f32 "$2") || {
    printf '%s\n' "$reference" | grep '^fail'
    exit 1
}
status=0
swapped=$("$1" ${3:+--backend "$3"} --dtype f32 "$2") || status=$?
if [ $status != 0 ] || [ "$reference" != "$swapped" ]; then
    printf '%s\n' "$swapped" | grep '^fail' ||
        echo "other cases pass: $(printf '%s\n' "$swapped" | tail -n 1)," \
            "on the reference $(printf '%s\n' "$reference" | tail -n 1)"
    exit 1
fi
printf '%s\n' "$reference" | grep -q '^pass' # there were some
printf '%s\n' "$reference" | tail -n 1
