#!/bin/sh
# out_of_tree.sh BUILD SOURCE: installs the library to a prefix of its own, builds examples/backend_plugin/ there with
# nothing but what was installed, and runs it.
set -u
build=$1 source=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
unset TAPEGRAD_BACKEND TAPEGRAD_BACKEND_PATH TAPEGRAD_REPORT TAPEGRAD_FALLBACK DESTDIR LD_LIBRARY_PATH
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0:verify_asan_link_order=0"
n=0

# expect WHAT TEXT COMMAND...: status 0, and the text somewhere in what it prints.
expect() {
    what=$1 text=$2
    shift 2
    n=$((n + 1))
    if output=$("$@" 2>&1) && case $output in *"$text"*) true ;; *) false ;; esac; then
        echo "ok $n - $what"
    else
        echo "not ok $n - $what"
        echo "expected success with '$text':" >&2
        echo "$output" >&2
    fi
}

expect "the library is installed" "" env DESTDIR="$folder" meson install -C "$build" --no-rebuild
pc=$(find "$folder" -name tapegrad.pc)
tool=$(find "$folder" -path '*/bin/tapegrad')
prefix=$(sed -n 's/^prefix=//p' "$pc")
sed -i "s|^prefix=.*|prefix=$folder$prefix|" "$pc"
export PKG_CONFIG_PATH="${pc%/*}"
cp -R "$source/examples/backend_plugin" "$folder/plugin"
expect "the plug-in is set up" "tapegrad found: YES" meson setup "$folder/plugin/build" "$folder/plugin" -Dwerror=true
expect "the plug-in builds" "plain.so" ninja -C "$folder/plugin/build" -v
export TAPEGRAD_BACKEND_PATH="$folder/plugin/build" TAPEGRAD_BACKEND=plain
expect "it is loaded" "plain        loaded, in the chain  library plain C  kernels loops (2 operators)" "$tool" backends
export TAPEGRAD_REPORT="$folder/report"
expect "the kit passes it" " passed, 0 failed, " env -u TAPEGRAD_BACKEND "$tool" kit --backend "$folder/plugin/build/plain.so"
# Anomaly mode looks at every operator: batch_norm and relu are two.
expect "a network runs on it" "plain,reference" env TAPEGRAD_ANOMALY=1 "$tool" bench tiny
expect "and its kernels ran" "plain" grep -E '^relu +plain ' "$folder/report"
unset TAPEGRAD_REPORT TAPEGRAD_BACKEND_PATH
expect "it is installed beside the others" "" meson install -C "$folder/plugin/build" --no-rebuild
expect "and found there" "plain,reference" "$tool" backends
echo "1..$n"
