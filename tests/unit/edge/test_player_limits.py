"""Limits of applications hold for those who waited, too."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry
from support.edge_context import edge_context
from support.edge_fakes import STREAM, FakeLinks, FakeScheduler, gop, location, run_of
from support.virtual_time import in_virtual_time

from lalmesh.errors import StreamNotFound
from lalmesh.runtime.authorisation import AccessRefused, parse_limit
from lalmesh.runtime.sessions import SessionRole
from services.edge.client import Client
from services.edge.metrics import EdgeMetrics
from services.edge.player import EdgeContext
from services.edge.session import Session

CLIENT = Client(protocol="rtmp", address="192.0.2.7", peer="192.0.2.7:9")


class Edge:
    """An edge that lets one player of an application in, before anybody publishes."""

    def __init__(self) -> None:
        self.scheduler, self.links = FakeScheduler(), FakeLinks()
        self.context: EdgeContext = edge_context(EdgeMetrics(CollectorRegistry()), self.scheduler, self.links, wait_publisher_s=10)
        self.context.limits.apply((parse_limit(f"{STREAM.app} players=1"),))

    async def begin(self) -> None:
        self.scheduler.put(location(1))
        (await self.links.opened(1)).serve(run_of(gop(0, 1)))

    async def play(self) -> Session:
        joining = await self.context.join(STREAM, CLIENT)
        joining.take()
        return joining.session


@in_virtual_time
async def test_of_those_who_wait_for_a_publisher_only_so_many_are_let_in() -> None:
    edge = Edge()
    waiting = [asyncio.create_task(edge.play()) for _ in range(8)]
    await asyncio.sleep(1)
    assert len(edge.context.sessions) == 1
    await edge.begin()
    came = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in came] == [Session] + [AccessRefused] * 7


@in_virtual_time
async def test_who_only_asks_takes_no_place_and_does_not_hold_the_relay() -> None:
    edge = Edge()
    waiting = [asyncio.create_task(edge.context.relay(STREAM, CLIENT)) for _ in range(2)]
    await asyncio.sleep(1)
    edge.context.sessions.open(CLIENT, SessionRole.PLAYER, STREAM, lambda reason: None)
    await edge.begin()
    assert {type(each) for each in await asyncio.gather(*waiting, return_exceptions=True)} == {AccessRefused}
    await asyncio.sleep(10)
    assert len(edge.context.relays) == 0


@in_virtual_time
async def test_where_nobody_is_waited_for_only_who_finds_the_stream_is_let_in() -> None:
    edge = Edge()
    edge.context.wait_publisher_s = 0
    with pytest.raises(StreamNotFound):
        await edge.play()
    edge.scheduler.put(location(1))
    playing = asyncio.create_task(edge.play())
    await edge.begin()
    assert await playing in list(edge.context.sessions)
    with pytest.raises(AccessRefused):
        await edge.play()
