#!/bin/sh
# Installs what is needed to build Tapegrad and run its examples; with `tests`, also what its tests need:
#
#     sh tools/install-packages.sh [tests]
#
# On Debian and its like it calls apt, and only where something is missing. Elsewhere it names what is missing and
# stops. TAPEGRAD_NO_INSTALL=1 skips all of it.
set -eu

[ "${TAPEGRAD_NO_INSTALL:-0}" = 1 ] && exit 0

# Debian's names
packages="gcc libc6-dev meson ninja-build pkg-config zlib1g-dev libjansson-dev libblis-openmp-dev libdnnl-dev dataset-fashion-mnist"
[ "${1:-}" = tests ] && packages="$packages check wamerican witalian wspanish"

command_exists() { command -v "$1" >/dev/null 2>&1; }
library_exists() { command_exists pkg-config && pkg-config --exists "$1" 2>/dev/null; }
any_file() {
    for file; do [ -e "$file" ] && return 0; done
    return 1
}

# is it there, whatever it came from?
available() {
    case $1 in
    gcc) command_exists cc || command_exists gcc ;;
    libc6-dev) any_file /usr/include/stdio.h ;;
    meson) command_exists meson ;;
    ninja-build) command_exists ninja ;;
    pkg-config) command_exists pkg-config ;;
    zlib1g-dev) library_exists zlib ;;
    libjansson-dev) library_exists jansson ;;
    libblis-openmp-dev)
        library_exists blis || any_file /usr/include/*/blis-openmp/blis.h /usr/include/blis/blis.h \
            /usr/local/include/blis/blis.h
        ;;
    libdnnl-dev) any_file /usr/include/oneapi/dnnl/dnnl.h /usr/local/include/oneapi/dnnl/dnnl.h ;;
    dataset-fashion-mnist) any_file /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz ;;
    check) library_exists check ;;
    wamerican) any_file /usr/share/dict/american-english ;;
    witalian) any_file /usr/share/dict/italian ;;
    wspanish) any_file /usr/share/dict/spanish ;;
    *) return 1 ;;
    esac
}

missing=
for package in $packages; do
    available "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if ! command_exists apt-get; then
    echo "Tapegrad needs these packages (Debian's names), and there is no apt-get here to install them:$missing." \
        "Please install them and run this again." >&2
    exit 1
fi
as_root=
if [ "$(id -u)" != 0 ]; then
    if ! command_exists sudo; then
        echo "Tapegrad needs these packages, and only root can install them:$missing." \
            "Please run, as root: apt-get install --no-install-recommends$missing" >&2
        exit 1
    fi
    as_root=sudo
fi

apt() {
    $as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 \
        apt-get -q -y -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"
}
echo "installing$missing"
install_missing() {
    apt update || : # what is already in its lists may do
    # shellcheck disable=SC2086
    apt install --no-install-recommends $missing
}
if [ -t 1 ]; then
    install_missing
else
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    install_missing >"$log" 2>&1 || {
        cat "$log" >&2
        false
    }
fi || {
    echo "apt could not install these packages:$missing" >&2
    exit 1
}
