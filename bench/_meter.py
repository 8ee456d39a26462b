"""Processor time and memory of several servers over the same seconds."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from bench import _load
from bench._load import Usage

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Meter:
    """Begins to measure when it is made."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        """Measure these processes, each with all its children, by names."""
        self._pids = pids
        self._began = time.monotonic()
        self._before = self._taken()

    def read(self) -> dict[str, Usage]:
        """What each has taken since the beginning, and how much memory it has now."""
        after, seconds = self._taken(), time.monotonic() - self._began
        found = {}
        for name, (user, system, resident) in after.items():
            shares = [(now - before) / seconds * 100 for now, before in zip((user, system), self._before[name], strict=False)]
            found[name] = Usage(shares[0], shares[1], sum(shares), resident / 1e6)
        return found

    def _taken(self) -> dict[str, tuple[float, float, int]]:
        return {name: _taken(pid) for name, pid in self._pids.items()}


def _taken(pid: int) -> tuple[float, float, int]:
    """Seconds of user and system time so far, and resident bytes, of a process with its children."""
    stats = [Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split() for member in _load.family(pid)]
    user, system, pages = (sum(int(stat[field]) for stat in stats) for field in (11, 12, 21))
    return user / TICKS_PER_S, system / TICKS_PER_S, pages * PAGE_BYTES
