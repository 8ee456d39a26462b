"""Limits of applications hold for those who waited, too."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry
from support.edge_context import edge_context
from support.edge_fakes import STREAM, FakeLinks, FakeScheduler, gop, location, run_of
from support.virtual_time import in_virtual_time

from lalmesh.runtime.authorisation import AccessRefused, parse_limit
from lalmesh.runtime.sessions import SessionRole
from services.edge.client import Client
from services.edge.metrics import EdgeMetrics
from services.edge.player import EdgeContext
from services.edge.rtsp_play import RtspPlaying
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
        await self.context.relay(STREAM, CLIENT)
        return self.context.sessions.open(CLIENT, SessionRole.PLAYER, STREAM, lambda reason: None)


@in_virtual_time
async def test_of_those_who_waited_for_a_publisher_only_so_many_play() -> None:
    edge = Edge()
    waiting = [asyncio.create_task(edge.play()) for _ in range(8)]
    await asyncio.sleep(1)
    await edge.begin()
    came = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in came] == [Session] + [AccessRefused] * 7


@in_virtual_time
async def test_who_is_refused_after_waiting_does_not_hold_the_relay() -> None:
    edge = Edge()
    waiting = [asyncio.create_task(edge.context.relay(STREAM, CLIENT)) for _ in range(2)]
    await asyncio.sleep(1)
    edge.context.sessions.open(CLIENT, SessionRole.PLAYER, STREAM, lambda reason: None)
    await edge.begin()
    assert {type(each) for each in await asyncio.gather(*waiting, return_exceptions=True)} == {AccessRefused}
    await asyncio.sleep(10)
    assert len(edge.context.relays) == 0


@in_virtual_time
async def test_who_waits_for_something_else_asks_again() -> None:
    edge = Edge()
    waiting = [asyncio.create_task(edge.context.relay(STREAM, CLIENT)) for _ in range(2)]
    await asyncio.sleep(0)
    await edge.begin()
    await asyncio.gather(*waiting)
    edge.context.check_room(STREAM)
    edge.context.sessions.open(CLIENT, SessionRole.PLAYER, STREAM, lambda reason: None)
    with pytest.raises(AccessRefused):
        edge.context.check_room(STREAM)


@in_virtual_time
async def test_who_had_a_stream_described_over_rtsp_plays_only_where_there_is_room_by_then() -> None:
    edge = Edge()
    described = RtspPlaying(cast(Any, SimpleNamespace(context=edge.context)))
    described._stream = STREAM
    edge.context.sessions.open(CLIENT, SessionRole.PLAYER, STREAM, lambda reason: None)
    with pytest.raises(AccessRefused):
        described.play([0])
