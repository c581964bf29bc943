#!/bin/sh
# missing.sh TAPEGRAD FOLDER NAME LIBRARY: the plug-in FOLDER/NAME.so, whose library LIBRARY is not on this machine (here:
# a copy that asks for one of another name), is a line in `tapegrad backends` and out of the default chain.
set -u
tool=$1 name=$3 library=$4
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
unset TAPEGRAD_BACKEND TAPEGRAD_REPORT TAPEGRAD_FALLBACK
export TAPEGRAD_BACKEND_PATH="$folder" ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0"
gone=$(printf '%s' "$library" | sed 's/^lib./lib0/')
LC_ALL=C sed "s/$library\.so/$gone.so/g" "$2/$name.so" >"$folder/$name.so"
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

expect "listed, with what is missing" 0 "not loaded: $gone.so" "$tool" backends
expect "a program runs without it" 0 "reference" "$tool" bench tiny
expect "asked for, it is an error" 1 "backend \"$name\" of TAPEGRAD_BACKEND cannot be used: $gone.so" \
    env TAPEGRAD_BACKEND="$name" "$tool" bench tiny
cp "$2/$name.so" "$folder/$name.so" # the same way, whole
expect "with its library" 0 "$name" env TAPEGRAD_BACKEND="$name" TAPEGRAD_FALLBACK=allow "$tool" bench tiny
echo "1..$n"
