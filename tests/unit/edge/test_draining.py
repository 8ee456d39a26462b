"""What an edge says and waits for while it drains."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry
from support.edge_context import edge_context
from support.edge_fakes import FakeLinks, FakeScheduler
from support.virtual_time import in_virtual_time

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.scheduling import Endpoint
from lalmesh.runtime.sessions import SessionRole
from services.edge.client import Client
from services.edge.draining import HEAR_S, HLS_QUIET_S, until_all_have_gone
from services.edge.entrance import Entrance
from services.edge.metrics import EdgeMetrics
from services.edge.session import Sessions

CAM = StreamKey.of("live", "cam")
OTHERS = (Endpoint("rtmp", "10.0.0.2", 1935), Endpoint("http", "::1", 8080))
LIMIT_S = 30.0


def client(protocol: str) -> Client:
    return Client(protocol=protocol, address="192.0.2.1", peer="192.0.2.1:9")


class Edge:
    """Its sessions, and what drains them."""

    def __init__(self, elsewhere: tuple[Endpoint, ...] = OTHERS) -> None:
        self.registry = CollectorRegistry()
        self.metrics = EdgeMetrics(self.registry)
        self.sessions = Sessions(self.metrics)
        self.entrance = Entrance(lambda: elsewhere)
        self.hls_asked_at: Callable[[], float] = lambda: -math.inf
        self.loop = asyncio.get_running_loop()

    def begin(self) -> asyncio.Task[None]:
        self.entrance.drain()
        return self.loop.create_task(
            until_all_have_gone(self.entrance, self.sessions, lambda: self.hls_asked_at(), self.metrics, LIMIT_S)
        )

    async def took_s(self) -> float:
        began = self.loop.time()
        await self.begin()
        return self.loop.time() - began


@in_virtual_time
async def test_players_and_publishers_are_refused() -> None:
    context = edge_context(EdgeMetrics(CollectorRegistry()), FakeScheduler(), FakeLinks())
    context.entrance.drain()
    with pytest.raises(Unavailable):
        await context.relay(CAM, client("rtmp"))
    with pytest.raises(Unavailable):
        await context.publish(CAM, client("rtmp"), lambda _: None)
    assert (len(context.relays), len(context.publishers)) == (0, 0)


@in_virtual_time
async def test_it_is_over_when_the_last_session_has_gone() -> None:
    edge = Edge()
    session = edge.sessions.open(client("rtmp"), SessionRole.PLAYER, CAM, lambda _: None)
    draining = edge.begin()
    await asyncio.sleep(LIMIT_S / 2)
    assert not draining.done()
    edge.sessions.closed(session, "closed by the peer")
    await asyncio.sleep(1.0)
    assert draining.done()


@in_virtual_time
async def test_those_who_stay_to_the_end_are_counted() -> None:
    edge = Edge()
    edge.sessions.open(client("http-flv"), SessionRole.PLAYER, CAM, lambda _: None)
    assert await edge.took_s() == pytest.approx(LIMIT_S)
    labels = {"protocol": "http-flv", "role": "player"}
    assert edge.registry.get_sample_value("edge_drained_sessions_total", labels) == 1


@in_virtual_time
async def test_who_understands_it_is_asked_to_reconnect_once_others_are_known() -> None:
    edge, asked = Edge(), list[float]()
    session = edge.sessions.open(client("rtmp"), SessionRole.PUBLISHER, CAM, lambda _: None)
    session.ask_to_reconnect = lambda: not asked.append(edge.loop.time())  # type: ignore[func-returns-value]
    began = edge.loop.time()
    await edge.begin()
    assert asked == [began]


@in_virtual_time
async def test_where_no_other_edge_is_named_they_are_asked_all_the_same() -> None:
    edge, asked = Edge(()), list[float]()
    session = edge.sessions.open(client("rtmp"), SessionRole.PUBLISHER, CAM, lambda _: None)
    session.ask_to_reconnect = lambda: not asked.append(edge.loop.time())  # type: ignore[func-returns-value]
    began = edge.loop.time()
    await edge.begin()
    assert asked == [pytest.approx(began + HEAR_S)]


@in_virtual_time
async def test_one_that_cannot_be_asked_keeps_no_other_and_ends_no_drain(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    edge, asked = Edge(), list[bool]()
    broken, session = (edge.sessions.open(client("rtmp"), SessionRole.PLAYER, CAM, lambda _: None) for _ in range(2))
    broken.ask_to_reconnect = lambda: [].pop()
    session.ask_to_reconnect = lambda: not asked.append(True)  # type: ignore[func-returns-value]
    assert await edge.took_s() == pytest.approx(LIMIT_S)
    assert asked == [True]
    assert "draining: 2 sessions, 1 of them asked to reconnect" in caplog.text


@in_virtual_time
async def test_players_of_hls_are_waited_for_until_they_ask_no_more() -> None:
    edge = Edge()
    asked_at = edge.loop.time()
    edge.hls_asked_at = lambda: asked_at
    assert await edge.took_s() == pytest.approx(HLS_QUIET_S, abs=0.5)
