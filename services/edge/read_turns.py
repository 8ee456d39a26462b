"""Connections of publishers are read together, in turns: one by one, each read costs several times what it does among others.

What a read costs is for the most part not what came in it, but that processor caches have forgotten how it is done. So where many
publish, a connection that has been read waits until its next turn, with the others, and has more to read then. Nobody waits where
few publish. It is to publishers what gathering is to players (`fanout.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sized
from dataclasses import dataclass


@dataclass(slots=True, frozen=True, kw_only=True)
class ReadTurnSettings:
    """How long a publisher may wait to be read."""

    max_delay_ms: int = 40  #: the longest; 0: everything is read as it comes
    publishers_per_delay_ms: int = 5  #: so many publishers make one millisecond of it


class ReadTurns:
    """The turns of one edge."""

    def __init__(self, settings: ReadTurnSettings, publishers: Sized, loop: asyncio.AbstractEventLoop) -> None:
        """Take turns while there are many `publishers`."""
        self.settings = settings
        self.publishers = publishers  #: those that there are
        self._loop = loop
        self._waiting: list[Callable[[], None]] = []

    @property
    def delay_ms(self) -> int:
        """How long it is from one turn to the next; 0: there are none."""
        return min(self.settings.max_delay_ms, len(self.publishers) // self.settings.publishers_per_delay_ms)

    def wait(self, go_on: Callable[[], None]) -> None:
        """Have `go_on` called at the next turn."""
        if not self._waiting:
            self._loop.call_later(self.delay_ms / 1000, self._turn)
        self._waiting.append(go_on)

    def _turn(self) -> None:
        waiting, self._waiting = self._waiting, []
        for go_on in waiting:
            go_on()
