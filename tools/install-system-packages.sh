#!/usr/bin/env bash
# Install the Debian packages that some commands of the Makefile need, and only those that are missing.
#
#   tools/install-system-packages.sh [--list] GROUP...
#
# Groups: python (what `make setup` needs), test (`make test`), bench (what `make bench` compares and counts with).
# --list only prints what is missing. Works as root or through sudo; otherwise it says what to install by hand.
# No service is started: the tests run their own nginx, etcd, Redis and Prometheus, as children on free ports.
set -euo pipefail

# One package a line: NAME, or NAME=COMMAND where any program of that name will do.
packages() {
    case $1 in
        python) echo 'python3-venv ca-certificates' ;;
        test)
            echo 'etcd-server=etcd etcd-client=etcdctl ffmpeg=ffmpeg rtmpdump=rtmpdump openssl=openssl curl=curl'
            echo 'nginx=nginx libnginx-mod-rtmp gcc=cc libc6-dev nodejs=node npm=npm iproute2=ss redis-server=redis-server'
            echo 'gstreamer1.0-tools=gst-launch-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good'
            echo 'gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav gstreamer1.0-rtsp chromium=chromium'
            echo 'gir1.2-gst-rtsp-server-1.0 python3-gi libnginx-mod-stream haproxy=haproxy prometheus=prometheus nftables=nft'
            ;;
        bench)
            echo 'gcc=cc libc6-dev iproute2=ss ffmpeg=ffmpeg nginx=nginx libnginx-mod-rtmp nodejs=node npm=npm'
            echo 'wrk=wrk etcd-server=etcd etcd-client=etcdctl strace=strace'
            ;;
        *)
            echo "unknown group: $1 (python, test, bench)" >&2
            exit 2
            ;;
    esac
}

installed() {
    local name=${1%%=*} program=${1#*=}
    [ "$program" != "$1" ] && PATH="$PATH:/usr/sbin" command -v "$program" >/dev/null && return
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ]
}

explain() {
    printf '%s\n' "$1" "Install these yourself, then run the command again:" "    ${missing[*]}" \
        "or set SKIP_SYSTEM_PACKAGES=1 to go on without: tests that need them are skipped or fail." >&2
    exit 1
}

list_only=
[ "${1:-}" = --list ] && list_only=1 && shift
[ $# -gt 0 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ -z "${SKIP_SYSTEM_PACKAGES:-}" ] || exit 0

missing=()
for group in "$@"; do
    entries=$(packages "$group")
    for entry in $entries; do
        installed "$entry" || missing+=("${entry%%=*}")
    done
done
[ ${#missing[@]} -gt 0 ] || exit 0
if [ -n "$list_only" ]; then
    printf '%s\n' "${missing[@]}"
    exit 0
fi

command -v apt-get >/dev/null || explain "This is no Debian system: packages can't be installed from here."
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || explain "Installing packages needs root, and there is no sudo."
    as_root=(sudo)
fi

# Debian starts a service when it installs it, unless this file, a documented interface of invoke-rc.d, says no.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
    "${as_root[@]}" chmod 755 $policy
    trap '"${as_root[@]}" rm -f $policy' EXIT
fi

echo "Installing the Debian packages ${missing[*]} (some minutes at first; no service will be started)"
apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -q -o DPkg::Lock::Timeout=120 "$@" </dev/null
}
apt update >/dev/null || echo "the list of packages could not be updated; trying with the one there is" >&2
apt install --yes --no-install-recommends "${missing[@]}" >/dev/null || explain "apt-get could not install all of them."
if [ -d /run/systemd/system ] && [[ " ${missing[*]} " =~ \ (nginx|haproxy|etcd-server|redis-server|prometheus)\  ]]; then
    echo "nginx, HAProxy, etcd, Redis and Prometheus would start at the next boot, as Debian has it;" \
        "if you don't want that: sudo systemctl disable nginx haproxy etcd redis-server prometheus"
fi
