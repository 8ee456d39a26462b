"""Time in which this process ran: what it slept through, as its machine was moved or had no processor left, is nobody's silence.

A timer that is due when a process runs on goes off before anything is read that came meanwhile. So of a pause, however long, no
more is counted than `PARTS` says: behind it there is time to read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

PARTS = 4  #: a pause counts for this part of a limit at most


@asynccontextmanager
async def awake_timeout(limit_s: float) -> AsyncIterator[None]:
    """`asyncio.timeout`, of time in which this process ran.

    Raises:
        TimeoutError: what is within took longer.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as limit:
        timer: asyncio.TimerHandle | None = None

        def count(parts: int) -> None:
            nonlocal timer
            if parts:
                timer = loop.call_later(limit_s / PARTS, count, parts - 1)
            else:
                limit.reschedule(loop.time())

        count(PARTS)
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()


class AwakeClock:
    """Seconds in which this process ran, for who reads them at least every `step_s`: a longer pause counts for so much."""

    def __init__(self, clock: Callable[[], float], *, step_s: float) -> None:
        """Begin at 0; `clock` gives seconds and never goes back."""
        self._clock = clock
        self._step_s = step_s
        self._read_at = clock()
        self._awake_s = 0.0

    def __call__(self) -> float:
        """The time."""
        now = self._clock()
        self._awake_s += min(now - self._read_at, self._step_s)
        self._read_at = now
        return self._awake_s
