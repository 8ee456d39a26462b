"""The quick checks, side by side: what each took, and the whole output of those that fail."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
SOURCES = ["lalmesh", "services", "tests", "bench", "tools"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{ROOT}", "MYPYPATH": str(ROOT / "tests")}
LIMIT_S = 300  #: for one check on a machine that does much else
JOBS = 3  #: on two cores: the unit tests use both, the short checks fill the gaps

#: The slow ones first.
CHECKS: dict[str, list[str]] = {
    "unit tests": ["pytest", "-n", "2", "tests/unit"],
    "types": ["mypy", "--explicit-package-bases", *SOURCES],
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
    for outcome in outcomes:
        if outcome.name == "unit tests" and outcome.ok:
            print(outcome.output.strip().splitlines()[-1])
    sys.exit(0 if all(outcome.ok for outcome in outcomes) else 1)


if __name__ == "__main__":
    main()
