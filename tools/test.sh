#!/usr/bin/env bash
# All that CI runs, step by step; stops at the first step that fails.
set -euo pipefail
cd "$(dirname "$0")/.."

started=$SECONDS
skipped=
logs=$(mktemp -d)
jobs=() titles=()
end() {  # with all that is left
    [ ${#jobs[@]} -eq 0 ] || kill -- "${jobs[@]/#/-}" 2>/dev/null || true  # their process groups
    rm -rf "$logs"
}
trap end EXIT

step() {
    local begun=$SECONDS
    printf '\n=== %s\n' "$1"
    shift
    local TIMEFORMAT='=== %0U + %0S s of processor'
    time "$@"
    printf '=== done in %s s, %s s in all\n' $((SECONDS - begun)) $((SECONDS - started))
}

# Have something run beside what follows; `gather` shows what it says.
beside() {
    titles+=("$1")
    shift
    setsid "$@" >"$logs/${#titles[@]}" 2>&1 &
    jobs+=($!)
}

# Wait for all that runs beside.
gather() {
    local n code
    for n in "${!jobs[@]}"; do
        code=0
        wait "${jobs[n]}" || code=$?
        printf '\n=== %s\n' "${titles[n]}"
        cat "$logs/$((n + 1))"
        [ $code -eq 0 ] || exit $code
    done
    printf '=== done, %s s in all\n' $((SECONDS - started))
    jobs=() titles=()
}

# The archive stands alone: it is told neither of the checkout nor of .venv.
archive_serves() {
    make dist
    E2E_LALMESH=$PWD/dist/lalmesh.pyz SHIV_ROOT=$PWD/build/shiv PYTHONPATH=$PWD/tests:$PWD \
        .venv/bin/pytest tests/e2e/test_frames.py -k standalone-uvloop
}

step "system packages that the tests need" tools/install-system-packages.sh python test bench
step "the environment" make setup
step "quick checks and unit tests, properties with more examples" env CI=1 make check
step "2,000 simulated schedules of faults" make sim SEEDS=2000
step "integration tests" make integration
step "end-to-end tests" make e2e
step "end-to-end tests of players that may not stand still" make uninterrupted
if .venv/bin/python -c 'import sys; sys.path.insert(0, "tests"); from support.netns import can_make_namespaces; sys.exit(not can_make_namespaces())'
then
    step "chaos: 5 kills, and 20 s without anybody who decides" make chaos SHORT=1
else
    skipped="chaos (network namespaces need root): run this as root, as CI does"
    printf '\n!!! NOT RUN: %s\n' "$skipped"
fi
step "endurance: a minute of all that goes on for hours" make soak SHORT=1
step "end-to-end tests with a browser, of delays and of stalls" make browser
beside "the fan-out benchmark, in small, to see that it runs" make bench-fanout ARGS="--players 20 --crowd 0 --seconds 2 --warm-up 1 --rounds 1 \
--no-verdict --only floor-flv-100,lalmesh-flv-0,lalmesh-rtmp-100,nginx,node-media-server-flv"
beside "the HLS benchmark, in small, to see that it runs" make bench-hls ARGS="--streams 1 --segment-ms 1000 --seconds 0.5 --settle 0 \
--warm-up 0 --rounds 1 --waiting 50 --only segmenting-none,segmenting-both,edge-blocking,nginx-part"
step "the one-file program" archive_serves
gather

if [ -n "$skipped" ]; then
    printf '\n!!! All that was run is well, but NOT RUN: %s\n' "$skipped"
fi
