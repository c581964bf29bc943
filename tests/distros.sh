#!/bin/sh
# Builds the current commit and runs its tests in fresh chroots of Debian 12, 13 and sid, as root:
#
#     tests/distros.sh [bookworm|trixie|sid]...
#
# In each: with gcc, with clang, and with gcc where neither BLIS nor oneDNN is installed. One line for each on stdout,
# and a last one; the exit status is 0 only where all passed. What went wrong is shown, and its log stays.
#
#     TAPEGRAD_MIRROR=URL    Debian's mirror. Unset: this machine's own where it runs Debian, else debootstrap's default
#     TAPEGRAD_COMPILERS=…   of "gcc clang none", none being the one without backends
#     TAPEGRAD_CACHE=FOLDER  keeps each base system there as SUITE.tar, and starts from it the next time
#     TMPDIR=FOLDER          where the chroots are made: 3 GB each, one at a time
#     KEEP=1                 leaves chroots and logs, and says where
set -eu

suites=${*:-bookworm trixie sid}
compilers=${TAPEGRAD_COMPILERS:-gcc clang none}
cache=${TAPEGRAD_CACHE:-}
umask 022

fail() {
    echo "tests/distros.sh: $*" >&2
    exit 2
}
for suite in $suites; do
    case $suite in
    bookworm | trixie | sid) ;;
    *) fail "no distribution '$suite'; one of bookworm, trixie, sid" ;;
    esac
done
for compiler in $compilers; do
    case $compiler in
    gcc | clang | none) ;;
    *) fail "no compiler '$compiler'; one of gcc, clang, none" ;;
    esac
done
[ "$(id -u)" = 0 ] || fail "a chroot needs root"
for command in debootstrap unshare chroot git; do
    command -v $command >/dev/null || fail "$command is not installed (Debian: apt-get install debootstrap git)"
done
cd "$(dirname "$0")/.."
commit=$(git rev-parse HEAD) || fail "this is no checkout of git's"

# The first archive of Debian's own that this machine's apt reads; nothing elsewhere, where debootstrap knows one.
host_mirror() {
    grep -qs '^ID=debian' /etc/os-release || return 0
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -f "$file" ] && sed -n 's|^deb  *\(\[[^]]*] *\)\{0,1\}\([^ ]*/debian/\{0,1\}\) .*|\2|p' "$file"
    done
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -f "$file" ] && sed -n 's|^URIs: *\([^ ]*/debian/\{0,1\}\)\( .*\)\{0,1\}$|\1|p' "$file"
    done
}
mirror=${TAPEGRAD_MIRROR:-$(host_mirror | head -n 1)}

work=$(mktemp -d "${TMPDIR:-/tmp}/tapegrad-distros.XXXXXX")
chmod 755 "$work"
logs=$work/logs
mkdir "$logs"
done_well=no
clean() {
    trap - EXIT
    if grep -q " $work/" /proc/self/mounts; then # nothing below a mount may be removed with the rest
        echo "tests/distros.sh: something is still mounted below $work" >&2
    elif [ "${KEEP:-0}" = 1 ]; then
        echo "kept: $work" >&2
    elif [ $done_well = yes ]; then
        rm -rf --one-file-system "$work"
    else
        find "$work" -mindepth 1 -maxdepth 1 ! -name logs -exec rm -rf --one-file-system {} +
        echo "logs: $logs" >&2
    fi
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

say() { # where we are, for whoever looks on
    [ -t 2 ] && printf '\r\033[K%s' "$*" >&2
    return 0
}

# -- the base system ---------------------------------------------------------------------------------------------------

# A mount namespace of its own: what debootstrap mounts goes with it.
bootstrap() {
    if [ -n "$cache" ] && [ -f "$cache/$suite.tar" ]; then
        mkdir "$root" && tar --numeric-owner --xattrs -C "$root" -xf "$cache/$suite.tar" && return
        return 1
    fi
    # shellcheck disable=SC2086
    unshare --mount --propagation private \
        debootstrap --variant=minbase --include=ca-certificates $suite "$root" ${mirror:+"$mirror"} || return 1
    if [ -n "$cache" ]; then
        mkdir -p "$cache" && tar --numeric-owner --xattrs -C "$root" -cf "$cache/$suite.tar.$$" . &&
            mv "$cache/$suite.tar.$$" "$cache/$suite.tar"
    fi
}

# Where no device may be made, debootstrap leaves some out; and a mirror that stands still has signatures that expired.
furnish() {
    for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
        name=${node%%:*} numbers=${node#*:}
        [ -e "$root/dev/$name" ] || mknod -m 666 "$root/dev/$name" c "${numbers%:*}" "${numbers#*:}" || return 1
    done
    [ -d "$root/dev/shm" ] || mkdir -m 1777 "$root/dev/shm" || return 1
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    {
        echo 'Acquire::Check-Valid-Until "false";'
        echo 'Acquire::Check-Date "false";'
        echo 'Acquire::Retries "3";'
        apt-config dump 2>/dev/null | grep -i '^Acquire::https\{0,1\}::Proxy ' || :
    } >"$root/etc/apt/apt.conf.d/99tapegrad"
}

# Runs a shell line in the chroot, in the checkout: a proc of its own is all that is mounted, and goes with the
# namespace, as does whatever was left running.
inside() {
    # shellcheck disable=SC2016
    unshare --mount --pid --fork --kill-child --propagation private sh -c '
        mount -t proc proc "$1/proc" || exit 125
        exec chroot "$1" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
            LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive ${http_proxy:+http_proxy="$http_proxy"} \
            ${https_proxy:+https_proxy="$https_proxy"} sh -c "cd /root/tapegrad && $2"' sh "$root" "$1"
}

# -- one compiler ------------------------------------------------------------------------------------------------------

prepare() {
    case $compiler in
    clang) inside 'apt-get -q -y install --no-install-recommends clang libomp-dev' ;;
    none) inside 'sh tools/install-packages.sh tests && apt-get -q -y purge "libblis*" "libdnnl*"' ;;
    esac
}

run_tests() {
    case $compiler in
    gcc) inside 'sh tests/run.sh && sh examples/quickstart.sh --epochs 1' ;;
    clang) inside 'rm -rf build-tests && CC=clang CXX=clang++ sh tests/run.sh' ;;
    none)
        # shellcheck disable=SC2016
        inside 'rm -rf build-tests && TAPEGRAD_NO_INSTALL=1 sh tests/run.sh &&
            grep -q "BLIS was not found" build-tests/meson-logs/meson-log.txt &&
            grep -q "oneDNN was not found" build-tests/meson-logs/meson-log.txt &&
            test "$(build-tests/tools/tapegrad backends | grep -c "^[a-z]* *loaded")" = 1' ;;
    esac
}

what_it_was() { # "clang 14.0.6, BLIS 0.9.0, oneDNN 2.6.3"
    # shellcheck disable=SC2016
    inside 'case '"$compiler"' in clang) v=$(clang -dumpversion) name=clang ;; *) v=$(gcc -dumpfullversion) name=gcc ;; esac
        printf "%s %s" $name $v
        build-tests/tools/tapegrad backends | sed -n "s/.*library \(BLIS\|oneDNN\) \([^ ]*\) .*/, \1 \2/p" | tr -d "\n"' \
        2>/dev/null || printf '%s' "$compiler"
}

bad=0 all=0
report() { # $1 the exit status; the log's last count is the suite's
    seconds=$(($(date +%s) - start))
    count=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$log" | tail -n 1)
    all=$((all + 1))
    say ""
    if [ "$1" = 0 ] && [ -n "$count" ]; then
        echo "pass $suite, $(what_it_was): $count ($seconds s)"
    else
        bad=$((bad + 1))
        echo "FAIL $suite, $compiler: ${count:-did not get as far as the tests} ($seconds s)"
        tail -n 80 "$log" | sed 's/^/    /'
    fi
}

for suite in $suites; do
    root=$work/$suite
    log=$logs/$suite.log
    start=$(date +%s)
    say "$suite: the base system"
    if ! { bootstrap && furnish && mkdir -p "$root/root/tapegrad" &&
        git archive "$commit" | tar -C "$root/root/tapegrad" -xf - && inside 'apt-get -q update'; } >"$log" 2>&1; then
        compiler="the base system"
        report 1
    else
        for compiler in $compilers; do
            log=$logs/$suite-$compiler.log
            start=$(date +%s)
            say "$suite: $compiler"
            status=0
            { prepare && run_tests; } >"$log" 2>&1 || status=$?
            report $status
        done
    fi
    [ "${KEEP:-0}" = 1 ] || rm -rf --one-file-system "$root"
done
[ $bad = 0 ] && done_well=yes
echo "$((all - bad)) of $all passed: $(git log -1 --format=%h "$commit")"
[ $bad = 0 ]
