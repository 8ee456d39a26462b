"""The program under test as a command that ends by itself: its status, and what it has said."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile

from support.cluster import PROGRAM
from support.forks import forks_for


def run(*words: str | Path, limit_s: float, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run it with `words` behind its name, its input closed, `env` added to the environment.

    Raises:
        subprocess.TimeoutExpired: it still runs after `limit_s`; it is killed.
    """
    command, added = [PROGRAM, *map(str, words)], {**os.environ, **(env or {})}
    if (forks := forks_for(command)) is None:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit_s, check=False, env=added
        )
    with TemporaryFile() as output, TemporaryFile() as errors:
        child = forks.run(command, output.fileno(), added, errors=errors.fileno())
        try:
            status = child.wait(limit_s)
        except subprocess.TimeoutExpired:
            child.kill()
            raise
        for file in (output, errors):
            file.seek(0)
        return subprocess.CompletedProcess(command, status, output.read().decode(), errors.read().decode())
