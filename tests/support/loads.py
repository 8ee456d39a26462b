"""Runs of `lalmesh bench` and `lalmesh delay`."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from support.cluster import PROGRAM
from support.forks import forks_for
from support.process import Child, wait_until
from support.program import run

RUN_S = 60.0  #: for a run of some seconds on a busy machine
#: Everyone comes at once; a stream that costs little, and that is joined and segmented soon.
SHORT = ("--publish-within", "0", "--within", "0.1", "--bitrate", "400k", "--gop", "0.5")


def load(command: str, *words: str) -> tuple[int, dict[str, Any]]:
    """The status of a run, and its report."""
    done = run(command, *words, "--json", "-", limit_s=RUN_S)
    assert done.stdout.startswith("{"), done.stderr
    return done.returncode, json.loads(done.stdout)


def begun(stack: ExitStack, folder: Path, *words: str) -> tuple[Child, Path]:
    """A bench in the background, which is measuring by now, and where its report will be."""
    report = folder / "report.json"
    command = [PROGRAM, "bench", *words, "--json", str(report)]
    child = stack.enter_context(Child(command, log=folder / "bench.log", forks=forks_for(command)))
    wait_until("measuring", lambda: "measuring" in child.output(), RUN_S, child=child)
    return child, report
