"""How many requests are let in: so that whoever asks too much over HTTP is refused, and nodes are answered meanwhile.

A scheduler has one loop. Connections that all have a request ready would be answered one after the other before the loop looks at
anything else, and a report that waits for `silence_s` makes its node one that is away. So a few requests have their turn each time
that the loop goes round, the others wait, and there is a bound to how many do.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus

from services.scheduler.api._problem import ProblemError

MAX_UNDER_WAY = 512  #: requests that are let in or wait for it: what takes a scheduler some 0.3 s to answer
#: requests of one turn of the loop: some 1 ms, after which whatever else is ready comes before the next. A report is answered after
#: some twenty turns, so each request more of a turn lets it wait for 5 ms more where there is no end of requests
TURN = 4
RETRY_S = 1.0


class Turnstile:
    """Lets requests in. Of one loop."""

    def __init__(self, refused: Callable[[], None] = lambda: None) -> None:
        """Nobody is in; `refused` hears of each request that there is no room for."""
        self._refused = refused
        self._under_way = 0
        self._left = TURN
        self._turns = False  # whether the next turn is called for
        self._waiting: deque[asyncio.Future[None]] = deque()

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Let one request in, once it is its turn.

        Raises:
            ProblemError: too many are under way.
        """
        if self._under_way >= MAX_UNDER_WAY:
            self._refused()
            detail = f"{MAX_UNDER_WAY} requests are under way"
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_after_s=RETRY_S)
        self._under_way += 1
        try:
            await self._wait()
            yield
        finally:
            self._under_way -= 1

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        if not self._turns:
            self._turns = True
            loop.call_soon(self._next_turn, loop)
        if self._left and not self._waiting:
            self._left -= 1
            return
        turn = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _next_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop has been round: the next ones have their turn, those first who wait."""
        self._left, self._turns = TURN, bool(self._waiting)
        while self._left and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # else whoever asked has gone
                self._left -= 1
                turn.set_result(None)
        if self._turns:
            loop.call_soon(self._next_turn, loop)
