"""A loop that is busy with other things hears of gRPC as often as something happens there, not as often as it goes round."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc

from lalmesh.runtime.channels import Channels

CALLS = 100
ROUNDS = 8  #: of all calls: more answers than wakeups fit into the socket of grpc.aio
BUSY_S = 0.004  #: each time that the loop goes round
MOST_TURNS = 2 * CALLS * ROUNDS  #: of the loop; where each takes one wakeup they are over four for each answer
LIMIT_S = 40.0


@asynccontextmanager
async def _echo() -> AsyncIterator[Callable[[], Any]]:
    """What begins a call to a server that says what it is told."""

    async def echo(messages: AsyncIterator[bytes], _: object) -> AsyncIterator[bytes]:
        async for message in messages:
            yield message

    channels = Channels((b"key",))
    server = channels.server()
    handlers = {"Echo": grpc.stream_stream_rpc_method_handler(echo)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", handlers),))
    port = channels.listen(server, "127.0.0.1", 0)
    await server.start()
    async with channels.dial(f"127.0.0.1:{port}") as channel:
        made: Any = channel  # the stubs want serialisers, which bytes need not
        yield lambda: made.stream_stream("/test.Test/Echo")()
    await server.stop(0)


async def _talk(call: Any) -> None:
    for _ in range(ROUNDS):
        await call.write(b"said")
        assert await call.read() == b"said"
    call.cancel()


class _Busy:
    """Work that keeps the loop busy each time that it goes round."""

    def __init__(self) -> None:
        self.turns = 0
        self._loop = asyncio.get_running_loop()
        self._next = self._loop.call_soon(self._work)

    def _work(self) -> None:
        self.turns += 1
        until = time.perf_counter() + BUSY_S
        while time.perf_counter() < until:
            pass
        self._next = self._loop.call_soon(self._work)

    def end(self) -> None:
        self._next.cancel()


async def test_many_calls_go_on_beside_a_busy_loop() -> None:
    async with asyncio.timeout(LIMIT_S), _echo() as begin:
        calls = [begin() for _ in range(CALLS)]
        busy = _Busy()
        await asyncio.gather(*map(_talk, calls))
        busy.end()
        assert busy.turns < MOST_TURNS
