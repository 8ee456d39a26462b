"""The blacklist of a scheduler that is alone: it lasts as long as the process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from lalmesh.runtime.scheduling.control import MAX_BLACKLIST
from services.scheduler.blacklisting._store import BlacklistFullError, Listed


class MemoryBlacklist:
    """The blacklist in memory (see `BlacklistStore`)."""

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        """An empty one; `wall_clock` gives Unix seconds."""
        self._wall_clock = wall_clock
        self._listed: dict[str, Listed] = {}
        self._is_new = True

    async def load(self) -> Mapping[str, Listed] | None:
        """See `BlacklistStore.load`."""
        if not self._is_new:
            return None
        self._is_new = False
        return dict(self._listed)

    async def put(self, listed: Sequence[Listed]) -> None:
        """See `BlacklistStore.put`."""
        now_us = round(self._wall_clock() * 1_000_000)
        kept = {network: each for network, each in self._listed.items() if not each.is_over(now_us)}
        kept |= {each.network: each for each in listed}
        if len(kept) > MAX_BLACKLIST:
            raise BlacklistFullError
        self._listed, self._is_new = kept, True

    async def remove(self, network: str) -> bool:
        """See `BlacklistStore.remove`."""
        if self._listed.pop(network, None) is None:
            return False
        self._is_new = True
        return True

    async def close(self) -> None:
        """Nothing to give back."""
