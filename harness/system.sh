#!/usr/bin/env bash
# The Debian packages that the harness needs (packages.txt). `./run` has its functions from here,
# `harness setup` calls it:
#
#   system.sh missing        the packages that are missing, one a line
#   system.sh install LOG    installs them, and has the kernel run programs of arm64
set -euo pipefail

packages=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/packages.txt
log=${log:-${2:-/dev/null}} # what apt and pip said
qemu="qemu-system-x86 qemu-system-arm qemu-utils qemu-user-static" # all of one version

say() { echo "${0##*/}: $*" >&2; }
die() { say "$@"; exit 2; }

# Runs a command that is only worth reading when it fails.
logged() {
    echo "\$ $*" >>"$log"
    "$@" >>"$log" 2>&1 </dev/null && return
    tail -n 15 "$log" >&2
    die "this failed: $*  (the whole log is $log)"
}

as_root() {
    if [ "$EUID" -eq 0 ]; then logged "$@"; else logged sudo "$@"; fi
}

apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@"
}

# CI also tries SSH against a real sshd, the virtual bench (sshd and rsync), and the crash report in a
# real browser. Elsewhere those tests are skipped where there is none: the ones would start a server
# on somebody's own machine, the other is large.
wanted_packages() {
    { sed 's/#.*//' "$packages"; [ -z "${CI:-}" ] || echo openssh-server rsync chromium; } | xargs
}

missing_packages() {
    local package installed
    installed=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package} ${Version}\n' | grep '^.i')
    for package in $(wanted_packages); do
        grep -q "^.i  *$package " <<<"$installed" || echo "$package"
    done
    for package in $qemu; do
        at_least_9 "$(awk -v name="$package" '$2 == name { print $3 }' <<<"$installed")" ||
            echo "$package"
    done
}

at_least_9() { [ -n "$1" ] && dpkg --compare-versions "$1" ge 1:9; }

# Debian 12 has QEMU 7.2. Backports are added on the mirror that this machine already uses; they
# have a low priority, so nothing else changes.
add_backports() {
    local suite=$1-backports mirror file=/etc/apt/sources.list.d/harness-backports.list
    [ -z "$(apt-get indextargets --format x "Codename: $suite")" ] || return 0
    # shellcheck disable=SC2016 # apt's own variable
    mirror=$(apt-get indextargets --format '$(REPO_URI)' \
        "Codename: $1" 'Component: main' 'Created-By: Packages' | sed 1q)
    say "adding $suite to apt ($file): QEMU 9 or later is needed"
    as_root sh -c "echo 'deb $mirror $suite main' >'$file'"
    (apt_get update) || {
        as_root rm "$file"
        die "no $suite at ${mirror:-any apt source}: add it to this machine's apt sources yourself"
    }
}

system_packages() {
    local id version codename missing candidate target=()
    command -v dpkg-query >/dev/null || die "only Debian 12 and 13 are supported"
    missing=$(missing_packages | sort -u | xargs)
    [ -n "$missing" ] || return 0
    read -r id version codename < <(
        # shellcheck source=/dev/null
        . /etc/os-release && echo "${ID:-unknown}" "${VERSION_ID:-0}" "${VERSION_CODENAME:-}")
    case $id-$version in
        debian-12 | debian-13) ;;
        *) die "this is $id $version; only Debian 12 and 13 are supported. Missing: $missing" ;;
    esac
    if [ "$EUID" -ne 0 ] && ! command -v sudo >/dev/null; then
        say "Debian packages are missing, and there is no sudo here. As root: apt-get install $missing"
        die "(on Debian 12 with -t bookworm-backports for QEMU, after adding that suite to apt)"
    fi
    say "installing Debian packages: $missing"
    apt_get update
    candidate=$(apt-cache policy qemu-system-x86 | awk '$1 == "Candidate:" { print $2 }')
    if ! at_least_9 "$candidate"; then
        add_backports "$codename"
        target=(-t "$codename-backports")
    fi
    # shellcheck disable=SC2086 # a list of words
    case " $missing " in
        *" qemu-"*) apt_get install --no-install-recommends "${target[@]}" $qemu ;;
    esac
    # shellcheck disable=SC2086 # a list of words
    apt_get install --no-install-recommends $missing
    missing=$(missing_packages | xargs)
    [ -z "$missing" ] || die "still missing after the installation: $missing  (see $log)"
}

# Images for arm64 are configured by running arm64 programs. Where systemd runs, the package has told
# the kernel how; elsewhere (containers, CI) we do.
foreign_programs() {
    local formats=/proc/sys/fs/binfmt_misc
    ! arch-test arm64 >/dev/null 2>&1 || return 0
    [ -e $formats/register ] || as_root mount -t binfmt_misc binfmt_misc $formats
    as_root sh -c "tr -d '\n' </usr/lib/binfmt.d/qemu-aarch64.conf >$formats/register"
    arch-test arm64 >/dev/null 2>&1 ||
        die "this kernel does not run arm64 programs with qemu-user (binfmt_misc): see $log"
}

[ "${BASH_SOURCE[0]}" = "$0" ] || return 0
case ${1:-} in
    missing)
        command -v dpkg-query >/dev/null || die "only Debian 12 and 13 are supported"
        missing_packages | sort -u
        ;;
    install) system_packages; foreign_programs ;;
    *) die "usage: system.sh missing | install LOG" ;;
esac
