"""Those who wait for streams to turn up or move."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from lalmesh.names import StreamKey

MAX_WAITERS = 20_000  #: all that wait here together: about 20 MB, and as many streams as a replica is meant for


class Waiters:
    """Events by stream."""

    def __init__(self, limit: int = MAX_WAITERS) -> None:
        """Begin with none; at most `limit` wait together."""
        self._limit = limit
        self._count = 0
        self._events: dict[StreamKey, dict[asyncio.Event, None]] = {}  # woken in the order in which they came

    @contextmanager
    def waiting(self, stream: StreamKey) -> Iterator[asyncio.Event | None]:
        """An event that `wake` sets, None where too many wait."""
        if self._count >= self._limit:
            yield None
            return
        event = asyncio.Event()
        self._count += 1
        self._events.setdefault(stream, {})[event] = None
        try:
            yield event
        finally:
            self._count -= 1
            del self._events[stream][event]
            if not self._events[stream]:
                del self._events[stream]

    @property
    def streams(self) -> Collection[StreamKey]:
        """Those that somebody waits for."""
        return self._events.keys()

    def wake(self, stream: StreamKey) -> None:
        """Wake all that wait for the stream."""
        for event in self._events.get(stream, ()):
            event.set()
