#!/usr/bin/env bash
# Run the steps of the Dockerfile in a clean root, where there is no engine for containers, and try what comes of it. As root.
#
#   tools/image-steps.sh [--twice] [--arm64]
#
# --twice builds the packages a second time and compares; --arm64 asks whether all of them are to be had for linux/arm64 too.
# The clean root stands for the base image: Debian's, by debootstrap, kept below .tools/image. This machine's settings of apt, pip and npm
# hold inside. Not tried are the base image itself, how an engine makes layers of the steps, and running on arm64.
set -euo pipefail
cd "$(dirname "$0")/.."

[ "$(id -u)" -eq 0 ] || { echo "tools/image-steps.sh: namespaces and chroot need root" >&2; exit 1; }
if ! command -v debootstrap >/dev/null; then
    apt-get -q update >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get -q install --yes --no-install-recommends debootstrap >/dev/null
fi

base=.tools/image/base
if [ ! -e $base/.done ]; then
    echo "=== the base: Debian 12, by debootstrap"
    rm -rf $base
    mkdir -p $base
    mirror=$(apt-get indextargets --format '$(SITE)' 'Codename: bookworm' | sort -u | head -n 1)
    debootstrap --variant=minbase --include=ca-certificates bookworm $base "$mirror" >.tools/image/debootstrap.log
    rm -rf $base/var/cache/apt/archives/*.deb $base/var/lib/apt/lists/*
    touch $base/.done
fi
exec unshare --mount --propagation private .venv/bin/python -m tools.image_steps "$@"
