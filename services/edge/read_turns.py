"""Connections of publishers are read together, in turns: one by one, each read costs several times what it does among others.

What a read costs is for the most part not what came in it, but that processor caches have forgotten how it is done. So where many
publish, a connection that has been read waits until its next turn, with the others, and has more to read then. It is to
publishers what gathering is to players (`fanout.py`). And while all players of a stream have what is gathered before them, which
goes out at a known time, its publisher is read only shortly before that. Otherwise nobody waits where few publish.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sized
from dataclasses import dataclass

from lalmesh.runtime.each_alone import for_each_alone

READ_AHEAD_S = 0.002  #: before what was gathered goes out, so that what is read then goes out with it
LEAST_WAIT_S = 0.010  #: a shorter wait for that spares no read


@dataclass(slots=True, frozen=True, kw_only=True)
class ReadTurnSettings:
    """How long a publisher may wait to be read."""

    max_delay_ms: int = 70  #: the longest; 0: everything is read as it comes
    publishers_per_delay_ms: int = 3  #: so many publishers make one millisecond of it

    @property
    def longest_s(self) -> float:
        """The longest that a publisher may wait."""
        return self.max_delay_ms / 1000


class ReadTurns:
    """The turns of one edge."""

    def __init__(self, settings: ReadTurnSettings, publishers: Sized, loop: asyncio.AbstractEventLoop) -> None:
        """Take turns while there are many `publishers`."""
        self.settings = settings
        self.publishers = publishers  #: those that there are
        self.players_gather = False  #: whether there is a stream that waits for its players, and nobody else to get it before
        self._loop = loop
        self._waiting: list[Callable[[], None]] = []

    @property
    def delay_ms(self) -> int:
        """How long it is from one turn to the next; 0: there are none."""
        return min(self.settings.max_delay_ms, len(self.publishers) // self.settings.publishers_per_delay_ms)

    def waits(self, slack_s: Callable[[], float], go_on: Callable[[], None]) -> bool:
        """Whether a connection that has been read waits, as nobody gets what comes next in less than `slack_s`, or for a turn.

        `go_on` is called then; `slack_s` only where players gather.
        """
        turn_ms = self.delay_ms
        if self.players_gather:
            alone_s = min(slack_s() - READ_AHEAD_S, self.settings.longest_s)
            if alone_s >= LEAST_WAIT_S and alone_s * 1000 > turn_ms:
                self._loop.call_later(alone_s, go_on)
                return True
        if turn_ms:
            self.wait(go_on)
        return turn_ms > 0

    def wait(self, go_on: Callable[[], None]) -> None:
        """Have `go_on` called at the next turn."""
        if not self._waiting:
            self._loop.call_later(self.delay_ms / 1000, self._turn)
        self._waiting.append(go_on)

    def _turn(self) -> None:
        waiting, self._waiting = self._waiting, []
        for_each_alone(waiting, lambda go_on: go_on(), "a publisher could not be read")
