#!/usr/bin/env bash
# Build dist/lalmesh-VERSION-py3-none-any.whl, and dist/lalmesh.pyz with all dependencies inside.
#
# The archive holds compiled packages, so it runs on the kind of machine and the Python version that it was built with, and asks
# for that version by name; at its first run it unpacks itself below ~/.shiv (or $SHIV_ROOT).
set -euo pipefail
cd "$(dirname "$0")/.."

python=$(.venv/bin/python -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
rm -rf dist build
[ -e console/dist/index.html ] || echo "Without the console, which is built where npm is installed" >&2
.venv/bin/python -m build --wheel --no-isolation --outdir dist . >/dev/null
.venv/bin/shiv --reproducible --compressed --console-script lalmesh --python "/usr/bin/env $python" --output-file dist/lalmesh.pyz \
    --quiet --disable-pip-version-check --constraint constraints.txt dist/lalmesh-*.whl
ls -l dist | awk 'NR > 1 { printf "%6.1f MB  dist/%s\n", $5 / 1e6, $9 }'
