"""The text of metrics, for whoever asks for it: what many ask for at the same time is made once.

Making it takes milliseconds of the loop, more with every series, and anybody may ask. So it is made once for all who wait, and
again once the loop has had `REST` times as long for other things. Nobody is given a text that was begun before he asked: what he
has seen happen is in it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from lalmesh.runtime.turns import Turns

REST = 9  #: times as long as a text took, after which the next is made: a tenth of the loop goes into texts at most
MAX_REST_S = 1.0  #: whoever scrapes waits for several seconds
ANSWERS = 8  #: in each round of the loop: some 1 ms


class Scrapes:
    """Gives the text. Of one loop."""

    def __init__(self, make: Callable[[], Awaitable[bytes]]) -> None:
        """Have it made by `make`."""
        self._make = make
        self._turns = Turns(ANSWERS)
        self._begun = 0  # texts
        self._made = 0  # the number of the text that is here
        self._text = b""
        self._rests_until_s = 0.0  # by the clock of the loop
        self._making: asyncio.Task[None] | None = None

    async def text(self) -> bytes:
        """The text as it is now, or becomes while one waits for it; raises what making it raises."""
        wanted = self._begun + 1
        while self._made < wanted:
            if self._making is None:
                self._making = asyncio.create_task(self._make_one(), name="metrics")
                self._making.add_done_callback(_looked_at)
            await asyncio.shield(self._making)  # others go on where one that waits is cancelled
        await self._turns.wait()
        return self._text

    async def _make_one(self) -> None:
        try:
            loop = asyncio.get_running_loop()
            if (rests_s := self._rests_until_s - loop.time()) > 0:
                await asyncio.sleep(rests_s)
            self._begun += 1
            number, began_s = self._begun, time.perf_counter()
            try:
                self._text = await self._make()
            finally:
                self._rests_until_s = loop.time() + min(MAX_REST_S, REST * (time.perf_counter() - began_s))
            self._made = number
        finally:
            self._making = None


def _looked_at(made: asyncio.Task[None]) -> None:
    """All that waited may have been cancelled: then nobody else looks at what went wrong."""
    if not made.cancelled():
        made.exception()
