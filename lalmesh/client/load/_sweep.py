"""Reading what nobody looks at: many connections at a time, each no more often than it takes to see a stall."""

from __future__ import annotations

import asyncio
import select
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from lalmesh.client.load._pacing import Lateness
from lalmesh.client.load._reckoning import Attention, Flow
from lalmesh.client.load._wire import CLOSED, NOTHING_YET, words_of

SWEEP_S: Final = 0.02  #: from one look at a connection to the next: 50 kB of 20 Mbit/s, far below what a kernel holds of one
GROUPS: Final = 2  #: of connections, looked at in turn, so that units that are due meanwhile do not wait for all of them
LOOK_S: Final = SWEEP_S / GROUPS
LOOKS_A_SECOND: Final = round(1 / LOOK_S)


class Swept(Protocol):
    """A player whose bytes are thrown away."""

    received_bytes: int
    flow: Flow

    def over(self, reason: str) -> None:
        """It ended."""
        ...


@dataclass(slots=True)
class _Source:
    """A descriptor, what throws away what came on it (as `Wire.discarding` gives it), and whose it is."""

    discard: Callable[[], int]
    player: Swept
    epoll: select.epoll  #: of its group


class Sweep:
    """Looks every `LOOK_S` at what has come to the connections of one group."""

    def __init__(self) -> None:
        """Look at nothing yet."""
        self.attention = Attention()
        self.lateness = Lateness()  #: of looks: how busy this program, or its machine, is
        self.stall_limit_s = 1.0  #: without bytes, before that is a stall
        self.each_time: list[Callable[[float], None]] = []  #: called at every look
        self.each_second: list[Callable[[float], None]] = []  #: called once a second, not all at the same look
        self._epolls = [select.epoll() for _ in range(GROUPS)]
        self._added = 0
        self._sources: dict[int, _Source] = {}
        self._loop = asyncio.get_running_loop()
        self._looks = 0
        self._due_s = time.monotonic() + LOOK_S
        self._timer = self._loop.call_later(LOOK_S, self._look)

    def add(self, descriptor: int, discard: Callable[[], int], player: Swept) -> None:
        """Throw away what comes there for `player`, by calls of `discard`, which answers as that of `Wire.discarding`."""
        epoll = self._epolls[self._added % GROUPS]
        self._added += 1
        self._sources[descriptor] = _Source(discard, player, epoll)
        epoll.register(descriptor, select.EPOLLIN)

    def remove(self, descriptor: int) -> None:
        """No more, as long as the descriptor is open still."""
        source = self._sources.pop(descriptor, None)
        if source is not None:
            source.epoll.unregister(descriptor)

    def now(self) -> float:
        """The time on the clock that stands still while nobody looks."""
        return self.attention.look(time.monotonic())

    def close(self) -> None:
        """Look no more."""
        self._timer.cancel()
        for epoll in self._epolls:
            epoll.close()

    def _look(self) -> None:
        now_s = time.monotonic()
        try:
            self._look_at(self._epolls[self._looks % GROUPS], now_s)
            self._call(now_s)
        finally:
            self._looks += 1
            self._due_s = max(now_s, self._due_s) + LOOK_S
            self._timer = self._loop.call_later(max(self._due_s - time.monotonic(), 0.0), self._look)

    def _look_at(self, epoll: select.epoll, now_s: float) -> None:
        self.lateness.add(max(now_s - self._due_s, 0.0))
        counted_s, limit_s = self.attention.look(now_s), self.stall_limit_s
        sources = self._sources
        for descriptor, _ in epoll.poll(0, max(len(sources), 1)):
            source = sources.get(descriptor)
            if source is None:  # its player ended at this very look
                continue
            player = source.player
            try:
                size = source.discard()
            except NOTHING_YET:
                continue
            except OSError as error:
                player.over(words_of(error))
                continue
            if not size:
                player.over(CLOSED)
                continue
            player.received_bytes += size
            flow = player.flow
            if (pause_s := counted_s - flow.last_s) > flow.longest_s or pause_s > limit_s:
                flow.came(counted_s, limit_s)
            else:  # as `came` does, but for a call
                flow.last_s = counted_s

    def _call(self, now_s: float) -> None:
        for call in self.each_time:
            call(now_s)
        turn, count = self._looks % LOOKS_A_SECOND, len(self.each_second)
        for call in self.each_second[turn * count // LOOKS_A_SECOND : (turn + 1) * count // LOOKS_A_SECOND]:
            call(now_s)
