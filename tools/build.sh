#!/bin/sh
# Configures and builds Tapegrad in a folder, new or from an earlier run:
#
#     sh tools/build.sh FOLDER [MESON_OPTION...]
#
# On a terminal everything is shown; in a pipe only what went wrong.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
folder=$1
shift
cd "$root"

quietly() {
    if [ -t 1 ]; then
        "$@"
        return
    fi
    log=$(mktemp)
    if "$@" >"$log" 2>&1; then
        rm -f "$log"
    else
        cat "$log"
        rm -f "$log"
        return 1
    fi
}

echo "building in $folder"
if [ ! -f "$folder/build.ninja" ]; then
    rm -rf "${folder:?}" # a run that was interrupted left it
    quietly meson setup "$@" "$folder"
elif ! meson setup --reconfigure "$@" "$folder" >/dev/null 2>&1; then
    quietly meson setup --wipe "$@" "$folder" # from another meson, another place, or the sources are wrong
fi
quietly ninja -C "$folder"
