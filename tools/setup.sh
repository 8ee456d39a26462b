#!/usr/bin/env bash
# Make .venv with everything that the project needs, at the versions of constraints.txt, and leave .venv/bin/lalmesh.
# Where npm is installed, build the console too (tools/console.sh).
# Takes a Python of 3.11 or later from $PYTHON, else the system's own, which distributions build with optimisation: one that pyenv
# builds, unless told, takes much more of the processor. Else the first that is found. Does nothing when nothing has changed.
set -euo pipefail
cd "$(dirname "$0")/.."

# Debian splits venv and ensurepip off Python into a package of their own.
has_venv() { "$1" -c 'import venv, ensurepip' 2>/dev/null; }
base_of() { "$1" -c 'import sys; print(sys.base_prefix, sys.version)' 2>/dev/null; }
usable() { command -v "$1" >/dev/null && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

if [ -n "${PYTHON:-}" ]; then
    usable "$PYTHON" || { echo "$PYTHON is not Python 3.11 or later" >&2; exit 1; }
    python=$PYTHON
elif usable /usr/bin/python3 && has_venv /usr/bin/python3; then
    python=/usr/bin/python3
else
    for python in python3.11 python3.12 python3.13 python3.14 python3 none; do
        usable "$python" && break
    done
    [ "$python" != none ] || { echo "lalmesh needs Python 3.11 or later (Debian 12: apt-get install python3 python3-venv)" >&2; exit 1; }
fi

want=$({ cat pyproject.toml constraints.txt tools/setup.sh; pwd; "$python" -VV; } | sha256sum | cut -d' ' -f1)
stamp=.venv/.setup
if [ -x .venv/bin/lalmesh ] && [ "$(cat $stamp 2>/dev/null)" = "$want" ]; then
    exec tools/console.sh
fi

started=$SECONDS
echo "Setting up .venv with $("$python" -V) ($(command -v "$python")), as constraints.txt says"
if ! .venv/bin/python -m pip --version >/dev/null 2>&1 || [ "$(base_of .venv/bin/python)" != "$(base_of "$python")" ]; then
    has_venv "$python" || tools/install-system-packages.sh python
    "$python" -m venv --clear .venv
fi
rm -f $stamp
tools/console.sh &
console=$!
# What is imported is compiled then: most of what is installed never is.
pip() { .venv/bin/python -m pip --disable-pip-version-check --quiet install --no-compile --constraint constraints.txt "$@" </dev/null; }
pip --upgrade pip hatchling editables
pip --no-build-isolation --group dev --editable '.[docs]'
echo "$want" >$stamp
echo "Done in $((SECONDS - started)) s: .venv/bin/lalmesh"
wait "$console"
