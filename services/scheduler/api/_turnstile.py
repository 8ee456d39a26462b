"""How many requests are let in: so that whoever asks too much over HTTP is refused, and nodes are answered meanwhile.

A scheduler has one loop, and a report that waits for `silence_s` makes its node one that is away. So a few requests have their turn
each time that the loop goes round, the others wait, and there is a bound to how many do. What takes long takes more of a turn, and
longer lists several: one for each part of them (`Asked.turn`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TypeVar, TypeVarTuple

from lalmesh.runtime.turns import Turns
from services.scheduler.api._problem import ProblemError

MAX_UNDER_WAY = 512  #: requests that are let in or wait for it: what takes a scheduler some 0.3 s to answer
#: common requests of one turn of the loop: some 1 ms, after which whatever else is ready comes before the next. A report is
#: answered after some twenty turns, so each request more of a turn lets it wait for 5 ms more where there is no end of requests
TURN = 4
ITEMS = 25  #: of a list, which take as long as a common request: streams are the dearest, 30 us each
PART = TURN * ITEMS  #: items of a list that take a whole turn: 3 ms
LOOKS = 10 * PART  #: items that are looked at, whether they are to be shown, in as long
RETRY_S = 1.0

_Asked = TypeVarTuple("_Asked")
_Answer = TypeVar("_Answer")


class Turnstile(Turns):
    """Lets requests in. Of one loop."""

    def __init__(self, refused: Callable[[], None] = lambda: None) -> None:
        """Nobody is in; `refused` hears of each request that there is no room for."""
        super().__init__(TURN)
        self._refused = refused
        self._under_way = 0

    async def let_in(self, weight: int, answer: Callable[[*_Asked], Awaitable[_Answer]], *asked: *_Asked) -> _Answer:
        """Let one request in, once it is its turn, of which it takes `weight`, and give what `answer` does.

        No context manager: one in this place costs as much as choosing an edge does.

        Raises:
            ProblemError: too many are under way.
        """
        if self._under_way >= MAX_UNDER_WAY:
            self._refused()
            detail = f"{MAX_UNDER_WAY} requests are under way"
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_after_s=RETRY_S)
        self._under_way += 1
        try:
            await self.wait(weight)
            return await answer(*asked)
        finally:
            self._under_way -= 1

    async def wait_for(self, items: int) -> None:
        """Wait for a turn in which to do what has to be done of so many items of a list; a few are a part of the request's own."""
        if items > ITEMS:
            await self.wait(-(-items // ITEMS))
