#!/bin/sh
# links.sh READELF TAPEGRAD_PC LIBTAPEGRAD [PLUGIN...]: the core needs no vendor's library, a plug-in exports one symbol,
# and tapegrad.pc names nothing twice.
set -eu
readelf=$1 pc=$2 library=$3
shift 3

twice=$(sed -n 's/^Libs.private://p' "$pc" | tr ' ' '\n' | sort | uniq -d | grep . || true)
if [ "$twice" ]; then
    echo "$pc has twice: $twice"
    exit 1
fi

needed=$("$readelf" -d "$library" | grep NEEDED)
echo "$needed"
case $needed in
*blis* | *dnnl* | *blas*)
    echo "libtapegrad needs a vendor's library"
    exit 1
    ;;
esac

for plugin; do
    # What a sanitizer adds, and clang for OpenMP, is not ours.
    exported=$("$readelf" --dyn-syms -W "$plugin" |
        awk '$5 == "GLOBAL" && $7 != "UND" && $8 !~ /^(__asan|__odr_asan|__ubsan|__gcov|__sancov|\.gomp_)/ { print $8 }')
    echo "$plugin exports: $exported"
    [ "$exported" = tg_backend_entry ] || exit 1
    case $("$readelf" -d "$plugin" | grep NEEDED) in
    *tapegrad*)
        echo "the plug-in needs libtapegrad"
        exit 1
        ;;
    esac
done
