"""Whose turn it is to sweep shared storage: one node of all that share it, agreed on through the storage itself.

Who finds that nobody has had the turn for an interval writes its own mark, and has the turn if the mark is still its own a moment
later. The node that had it last looks a little sooner than the others, so it stays with one for as long as that lives. No clock has
to be exact and nothing breaks where two have it at a time: what one has removed the other finds gone.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

from lalmesh.runtime.storage import Storage

TURN_PATH = "record-sweep/turn"  #: in shared storage: who had the turn last, and by its time when
SOONER, LATER = 0.8, 1.2  #: intervals after which the node that had the turn last takes it again, and another one
SETTLE_S = 2.0  #: that a mark has to stand; less than it takes to write one over it where storage is in order
SETTLE_SHARE = 0.1  #: and of a short interval no more than this

_MARK_BYTES = 8


class SweepTurn:
    """One node's part in it."""

    def __init__(self, storage: Storage, interval_s: float, clock: Callable[[], float]) -> None:
        """Take turns of `interval_s` seconds; `clock` gives Unix seconds."""
        self._storage = storage
        self._interval_s = interval_s
        self._clock = clock
        self._mark = secrets.token_hex(_MARK_BYTES).encode()
        self._had_it = False

    async def take(self) -> bool:
        """Whether it is this node's turn.

        Raises:
            StorageUnavailable: it cannot be told.
        """
        found = await self._storage.stat(TURN_PATH)
        if found is not None:
            age_s = abs(self._clock() - found.modified_us / 1_000_000)  # one from the future is of a clock that was set back
            if age_s < self._interval_s * (SOONER if self._had_it else LATER):
                return False
        await self._storage.put(TURN_PATH, self._mark)
        await asyncio.sleep(min(SETTLE_S, self._interval_s * SETTLE_SHARE))
        self._had_it = await self._storage.get(TURN_PATH) == self._mark
        return self._had_it
