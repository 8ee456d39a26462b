#!/usr/bin/env bash
# Build the console into console/dist, in the versions of its lock file, where npm is installed and something has changed.
set -euo pipefail
cd "$(dirname "$0")/../console"

command -v node >/dev/null && command -v npm >/dev/null || exit 0
mkdir -p dist
exec 9>dist/.lock
flock 9

sources() { sha256sum package.json package-lock.json tsconfig.json vite.config.ts ./*.html $(find src -type f | sort) ../tools/console.sh; }
want=$(sources | sha256sum | cut -d' ' -f1)
if [ -e dist/index.html ] && [ "$(cat dist/.built 2>/dev/null)" = "$want" ]; then
    exit 0
fi

started=$SECONDS
packages=$(sha256sum package-lock.json | cut -d' ' -f1)
if [ "$(cat node_modules/.installed 2>/dev/null)" != "$packages" ]; then
    if ! npm ci --ignore-scripts --no-audit --no-fund --loglevel=error </dev/null; then
        echo "The console is not built: npm could not bring its packages. Everything else works without it." >&2
        exit 0
    fi
    echo "$packages" >node_modules/.installed
fi
npm run --silent build -- --logLevel warn --emptyOutDir false --outDir dist/new </dev/null
find dist -mindepth 1 -maxdepth 1 ! -name new ! -name .lock -exec rm -rf {} +
mv dist/new/* dist/
rmdir dist/new
echo "$want" >dist/.built
echo "The console is built in $((SECONDS - started)) s: console/dist, $(find dist/assets -name '*.gz' -printf '%s\n' | awk '{ sum += $1 } END { printf "%.0f kB packed", sum / 1000 }')"
