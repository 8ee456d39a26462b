"""Questions that come up together, asked together: whoever loses a link loses hundreds of streams in the same turn of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from lalmesh.runtime.scheduling import MAX_ITEMS

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


class _Call(Generic[_Item, _Answer]):
    """What is asked in one call, and who waits for the answers."""

    def __init__(self) -> None:
        self.items: list[_Item] = []
        self.answers: list[asyncio.Future[_Answer]] = []
        self.task: asyncio.Task[None] | None = None

    def left(self) -> None:
        """Somebody waits no more; for nobody the call is not worth going on with."""
        if self.task is not None and all(answer.done() for answer in self.answers):
            self.task.cancel()


class Gatherer(Generic[_Item, _Answer]):
    """Asks in lists what many ask one by one."""

    def __init__(
        self,
        ask: Callable[[Sequence[_Item], float], Awaitable[Sequence[_Answer]]],
        *,
        window_s: float = 0.0,
        most: int = MAX_ITEMS,
    ) -> None:
        """Gather for `ask`.

        Args:
            ask: answers one result an item, in order; takes a deadline in seconds.
            window_s: how long questions are gathered; 0: those of one turn of the loop.
            most: items of one call; what is more goes into further calls at the same time.
        """
        self._ask = ask
        self._window_s = window_s
        self._most = most
        self._next: dict[float, _Call[_Item, _Answer]] = {}  # what is gathered now, by deadline
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, item: _Item, deadline_s: float) -> _Answer:
        """The answer to one question; it waits for those that go along with it. Raises what the call raises."""
        loop = asyncio.get_running_loop()
        call = self._next.get(deadline_s)
        if call is None:
            call = self._next[deadline_s] = _Call()
            loop.call_later(self._window_s, self._start, call, deadline_s)
        answer: asyncio.Future[_Answer] = loop.create_future()
        call.items.append(item)
        call.answers.append(answer)
        if len(call.items) >= self._most:
            self._start(call, deadline_s)
        try:
            return await answer
        finally:
            call.left()

    def _start(self, call: _Call[_Item, _Answer], deadline_s: float) -> None:
        if self._next.get(deadline_s) is not call:
            return  # it was full, and went before
        del self._next[deadline_s]
        if all(answer.done() for answer in call.answers):
            return
        call.task = asyncio.get_running_loop().create_task(self._run(call, deadline_s))
        self._tasks.add(call.task)
        call.task.add_done_callback(self._tasks.discard)

    async def _run(self, call: _Call[_Item, _Answer], deadline_s: float) -> None:
        try:
            answered = [*zip(call.answers, await self._ask(call.items, deadline_s), strict=True)]
        except asyncio.CancelledError:
            for answer in call.answers:
                answer.cancel()
            raise
        except Exception as error:  # whoever asked is to know
            for answer in call.answers:
                if not answer.done():
                    answer.set_exception(error)
            return
        for answer, result in answered:
            if not answer.done():
                answer.set_result(result)
