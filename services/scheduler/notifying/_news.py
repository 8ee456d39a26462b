"""Waking those who read the log when there is something new, whichever shards they read."""

from __future__ import annotations

import asyncio
import contextlib

WAIT_S = 5.0  #: at a time: whoever waits looks by himself so often


class News:
    """Take `mark`, read, and wait for `more` than that: what comes while you read is not missed."""

    def __init__(self) -> None:
        """Nothing is new."""
        self._number = 0
        self._news = asyncio.Event()

    def mark(self) -> int:
        """How often there was something new."""
        return self._number

    def tell(self) -> None:
        """There is something new."""
        self._number += 1
        self._news.set()
        self._news = asyncio.Event()

    async def more(self, mark: int) -> None:
        """Wait until there was something new after `mark`, or for `WAIT_S`."""
        if mark == self._number:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WAIT_S):
                    await self._news.wait()
