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
from lalmesh.errors import LalmeshError

SWEEP_S: Final = 0.02  #: from one look to the next: 50 kB of 20 Mbit/s, far below what a kernel holds for a connection
SIGN_OF_LIFE_EACH: Final = 50  #: sweeps: a second


class Swept(Protocol):
    """A player whose bytes are thrown away."""

    received_bytes: int
    flow: Flow

    def over(self, reason: str) -> None:
        """It ended."""
        ...


@dataclass(slots=True)
class _Source:
    """A descriptor, what throws away what came on it, and whose it is."""

    discard: Callable[[], int]
    player: Swept


class Sweep:
    """Looks every `SWEEP_S` at all that has come."""

    def __init__(self) -> None:
        """Look at nothing yet."""
        self.attention = Attention()
        self.lateness = Lateness()  #: of looks: how busy this program, or its machine, is
        self.stall_limit_s = 1.0  #: without bytes, before that is a stall
        self.each_time: list[Callable[[float], None]] = []  #: called at every look
        self.each_second: list[Callable[[float], None]] = []
        self._epoll = select.epoll()
        self._sources: dict[int, _Source] = {}
        self._loop = asyncio.get_running_loop()
        self._looks = 0
        self._due_s = time.monotonic() + SWEEP_S
        self._timer = self._loop.call_later(SWEEP_S, self._look)

    def add(self, descriptor: int, discard: Callable[[], int], player: Swept) -> None:
        """Throw away what comes there for `player`."""
        self._sources[descriptor] = _Source(discard, player)
        self._epoll.register(descriptor, select.EPOLLIN)

    def remove(self, descriptor: int) -> None:
        """No more, as long as the descriptor is open still."""
        if self._sources.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def now(self) -> float:
        """The time on the clock that stands still while nobody looks."""
        return self.attention.look(time.monotonic())

    def close(self) -> None:
        """Look no more."""
        self._timer.cancel()
        self._epoll.close()

    def _look(self) -> None:
        now_s = time.monotonic()
        try:
            self._look_at_all(now_s)
        finally:
            self._due_s = max(now_s, self._due_s) + SWEEP_S
            self._timer = self._loop.call_later(max(self._due_s - time.monotonic(), 0.0), self._look)

    def _look_at_all(self, now_s: float) -> None:
        self.lateness.add(max(now_s - self._due_s, 0.0))
        counted_s, limit_s = self.attention.look(now_s), self.stall_limit_s
        sources = self._sources
        for descriptor, _ in self._epoll.poll(0, max(len(sources), 1)):
            source = sources.get(descriptor)
            if source is None:  # its player ended at this very look
                continue
            player = source.player
            try:
                size = source.discard()
            except LalmeshError as error:
                player.over(str(error))
                continue
            if size:
                player.received_bytes += size
                player.flow.came(counted_s, limit_s)
        for call in self.each_time:
            call(now_s)
        self._looks += 1
        if self._looks % SIGN_OF_LIFE_EACH == 0:
            for call in self.each_second:
                call(now_s)
