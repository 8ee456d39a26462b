"""How a process waits for what comes over the network."""

from __future__ import annotations

import asyncio
from typing import Any

from simulation.connections import End
from simulation.world import Process


def settle(answered: asyncio.Future[Any], result: Any) -> None:
    """Give a call its answer, where it still waits."""
    if not answered.done():
        answered.set_result(result)


class Inbox:
    """What comes on an end of a connection, one message after the other, until it ends."""

    def __init__(self, process: Process, end: End) -> None:
        self._process = process
        self._messages: list[tuple[Any, ...]] = []
        self._waiter: asyncio.Future[None] | None = None
        self._over = False
        end.receive, end.closed = self._receive, self._end

    def _receive(self, *message: Any) -> None:
        if message:
            self._messages.append(message)
            self._wake()

    def _end(self, _reason: str) -> None:
        self._over = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> Inbox:
        return self

    async def __anext__(self) -> tuple[Any, ...]:
        while not self._messages:
            if self._over:
                raise StopAsyncIteration
            self._waiter = self._process.create_future()
            await self._waiter
        return self._messages.pop(0)
