#!/bin/sh
# kit.sh TAPEGRAD NAME FILE FOLDER: the backend passes the kit, and FILE says what it has kernels for.
set -eu
unset TAPEGRAD_BACKEND TAPEGRAD_FALLBACK BLIS_ARCH_TYPE
export TAPEGRAD_BACKEND_PATH="$4" ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0:handle_segv=0:handle_sigill=0"
"$1" kit --backend "$2" >"$3.new" || {
    grep -v '^note' "$3.new"
    exit 1
}
mv "$3.new" "$3"
tail -n 1 "$3"
