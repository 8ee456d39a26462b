#!/usr/bin/env bash
# Write constraints.txt anew: the newest versions that pyproject.toml allows, of everything in the development environment.
# Run `make test` afterwards, and commit both files together.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder"
pip() { "$folder/bin/python" -m pip --disable-pip-version-check "$@" </dev/null; }
pip install --quiet --upgrade pip hatchling editables
pip install --quiet --no-build-isolation --group dev --group bench --editable '.[docs]'
{
    echo "# Written by \`make lock\`: the versions that are tested together. Used by \`make setup\`, \`make dist\` and CI."
    pip list --format=freeze --exclude-editable
} >"$folder/constraints.txt"
cp "$folder/constraints.txt" constraints.txt
