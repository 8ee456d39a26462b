"""The quick checks, side by side: what each took, and the whole output of those that fail."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
SOURCES = ["lalmesh", "services", "tests", "bench", "tools"]
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},  # none compiles what another has
    "PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{ROOT}",
    "MYPYPATH": str(ROOT / "tests"),
}
LIMIT_S = 300  #: for one check on a machine that does much else
JOBS = (os.cpu_count() or 1) + 2  #: more than there are cores: what is long begins at once, the short checks fill the gaps

#: The unit tests in parts of about one length, each in one process, for two cores. Workers of pytest-xdist would each collect all
#: the tests and tell of every one: a quarter more processor time. A third part would import much of what the others do.
UNIT_TESTS = "unit tests"
PYTEST = ["pytest", "-p", "no:xdist", "-p", "no:schemathesis"]  # what is not loaded takes no time to load
PARTS = {"services": ["scheduler", "hls", "origin", "runtime", "support"]}
IN_PARTS = [f"tests/unit/{folder}" for folders in PARTS.values() for folder in folders]

#: The slow ones first.
CHECKS: dict[str, list[str]] = {
    "types": ["mypy", "--explicit-package-bases", *SOURCES],
    f"{UNIT_TESTS}: the others": [*PYTEST, "tests/unit", *(f"--ignore={folder}" for folder in IN_PARTS)],
    **{f"{UNIT_TESTS}: {part}": [*PYTEST, *(f"tests/unit/{folder}" for folder in folders)] for part, folders in PARTS.items()},
    "layers": ["lint-imports"],
    "generated code": ["python", "tools/proto.py", "--check"],
    "style": ["ruff", "check", *SOURCES],
    "layout": ["ruff", "format", "--check", *SOURCES],
}


@dataclass(slots=True, frozen=True)
class Outcome:
    """How one check went."""

    name: str
    ok: bool
    took_s: float
    output: str


def run(name: str) -> Outcome:
    """Run one check to its end."""
    program, *args = CHECKS[name]
    started = time.monotonic()
    try:
        done = subprocess.run(
            [BIN / program, *args],
            cwd=ROOT,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        ok, output = done.returncode == 0, done.stdout
    except subprocess.TimeoutExpired as exc:
        ok, output = False, f"not done after {LIMIT_S} s: {exc.cmd}"
    return Outcome(name, ok, time.monotonic() - started, output)


def main() -> None:
    """Run all checks, or those named on the command line; exit with 1 if any fails."""
    names = sys.argv[1:] or list(CHECKS)
    with ThreadPoolExecutor(JOBS) as pool:
        outcomes = list(pool.map(run, names))
    for outcome in outcomes:
        print(f"{'ok    ' if outcome.ok else 'FAILED'} {outcome.name} ({outcome.took_s:.1f} s)")
        if not outcome.ok:
            print(outcome.output)
    tests = [outcome.output.rstrip().rpartition("\n")[2] for outcome in outcomes if outcome.name.startswith(UNIT_TESTS)]
    print(f"{sum(int(count) for line in tests for count in re.findall(r'([0-9]+) passed', line))} unit tests passed")
    sys.exit(0 if all(outcome.ok for outcome in outcomes) else 1)


if __name__ == "__main__":
    main()
