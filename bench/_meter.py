"""Processor time and memory of several servers over the same seconds."""

from __future__ import annotations

import time
from collections.abc import Mapping

from bench import cpu
from bench._load import Usage


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
        for name, (user_s, system_s, resident_bytes) in after.items():
            before = self._before[name]
            user, system = ((now - then) / seconds * 100 for now, then in ((user_s, before.user_s), (system_s, before.system_s)))
            found[name] = Usage(user, system, user + system, resident_bytes / 1e6)
        return found

    def _taken(self) -> dict[str, cpu.Taken]:
        return {name: cpu.taken(pid) for name, pid in self._pids.items()}
