"""What went over links is still counted when they have ended. Both ends in this process, over a channel of queues."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any, cast

import grpc
from support.links import EDGE, FakeOrigin, FakePublisher, FakeReader
from support.members import eventually

from lalmesh.rpc.lalmesh.v1 import origin_pb2
from lalmesh.runtime.link import LinkCounters, LinkLimits, LinkPool, LinkServicer
from lalmesh.runtime.link._dialler import METHOD

LIMITS = LinkLimits()


class FakeCall:
    """A call to `serve`, which also is its context there."""

    def __init__(self, serve: Callable[..., Any], requests: AsyncIterator[origin_pb2.LinkBatch]) -> None:
        self._answers: asyncio.Queue[origin_pb2.LinkBatch] = asyncio.Queue()
        self._task = asyncio.create_task(serve(requests, self))

    def __aiter__(self) -> AsyncIterator[origin_pb2.LinkBatch]:
        return self

    async def __anext__(self) -> origin_pb2.LinkBatch:
        return await self._answers.get()

    async def send_initial_metadata(self, _: object) -> None:
        pass

    async def write(self, batch: origin_pb2.LinkBatch) -> None:
        self._answers.put_nowait(batch)

    def peer(self) -> str:
        return "here"

    def cancel(self) -> None:
        self._task.cancel()


class FakeChannel:
    def __init__(self, servicer: LinkServicer) -> None:
        handler: Any = servicer.handlers().service(cast("grpc.HandlerCallDetails", SimpleNamespace(method=METHOD)))
        self._serve = handler.stream_stream

    def stream_stream(self, _method: str, **_: object) -> Callable[[AsyncIterator[origin_pb2.LinkBatch]], FakeCall]:
        return lambda requests: FakeCall(self._serve, requests)

    async def close(self, _: object) -> None:
        pass


def linked() -> tuple[LinkServicer, LinkPool]:
    servicer = LinkServicer(FakeOrigin(), LIMITS)
    return servicer, LinkPool(EDGE, lambda _address: cast("grpc.aio.Channel", FakeChannel(servicer)), LIMITS)


async def test_the_totals_are_those_of_the_links_that_are_and_of_those_that_were() -> None:
    servicer, pool = linked()
    for number in range(2):
        publisher, reader = FakePublisher(pool.link("o1:1"), number), FakeReader(pool.link("o1:1"), number)
        publisher.feed(3, size=1000)
        await eventually(lambda reader=reader: len(reader.seqs) == 3)  # type: ignore[misc]
        assert (len(pool.sessions), len(servicer.sessions)) == (1, 1)
        assert (pool.totals.units_sent, servicer.totals.units_received) == (3 * (number + 1), 3 * (number + 1))
        await pool.close()
        await eventually(lambda: not servicer.sessions)
    assert pool.sessions == []
    assert (pool.totals.payload_bytes_sent, servicer.totals.payload_bytes_received) == (6000, 6000)
    assert (servicer.totals.units_sent, pool.totals.units_received) == (6, 6)
    assert pool.totals.batches_received <= servicer.totals.batches_sent


async def test_asking_for_the_totals_adds_nothing_to_them() -> None:
    servicer, pool = linked()
    assert pool.totals == servicer.totals == LinkCounters()
    FakePublisher(pool.link("o1:1")).feed(2)
    await eventually(lambda: servicer.totals.units_received == 2)
    await pool.close()
    await eventually(lambda: not servicer.sessions)
    assert (pool.totals, servicer.totals) == (pool.totals, servicer.totals)
