"""An edge as a whole: what its parts are told once a second, and what changes while it runs."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry
from support.edge_fakes import STREAM, FakeLinks, FakeScheduler, gop, location, run_of
from support.virtual_time import in_virtual_time

from lalmesh.container.flv import BodyMuxer
from lalmesh.remux import FlvPackager
from lalmesh.runtime.ownership import NodeId
from lalmesh.runtime.sessions import SessionRole
from services.edge.app import EdgeApp
from services.edge.client import Client
from services.edge.feed import PlayerFeed
from services.edge.outputs import OutputFormat
from services.edge.settings import EdgeSettings

FLV = OutputFormat(key="flv", name="flv", packager=lambda: FlvPackager(BodyMuxer()))
WAIT_S = 10.0
MANY = 100  #: players, so that the fan-out gathers


@pytest.mark.parametrize("is_alone", [True, False])
@in_virtual_time
async def test_only_an_edge_without_others_reads_publishers_as_its_players_gather(is_alone: bool) -> None:
    scheduler, links = FakeScheduler(), FakeLinks()
    scheduler.put(location(1))
    settings = EdgeSettings(is_alone=is_alone)
    edge = EdgeApp(NodeId("edge", b"1"), settings, scheduler, links, CollectorRegistry(), lambda: "here", lambda _reason: None)
    acquired = asyncio.create_task(edge.relays.acquire(STREAM, WAIT_S))
    (await links.opened(1)).serve(run_of(gop(0, 3)))
    relay = await acquired
    turns = edge._context.read_turns
    for players, gather in ((1, False), (MANY, is_alone)):
        while relay.players < players:
            relay.fanout(FLV).add(PlayerFeed(lambda _data: None, lambda: 0, lambda _reason: None))
        edge.apply(EdgeSettings())  # of a file that does not say who else there is
        for sweep in edge._sweeps():
            sweep()
        assert turns.players_gather is gather
    await edge.stop()


@in_virtual_time
async def test_a_session_that_cannot_be_closed_keeps_no_other_nor_the_claims_of_an_edge_that_stops() -> None:
    scheduler, closed = FakeScheduler(), list[str]()
    edge = EdgeApp(NodeId("edge", b"1"), EdgeSettings(), scheduler, FakeLinks(), CollectorRegistry(), lambda: "here", closed.append)
    await edge.publishers.start(STREAM, closed.append)
    client = Client(protocol="rtmp", address="192.0.2.1", peer="192.0.2.1:9")
    edge.sessions.open(client, SessionRole.PLAYER, STREAM, lambda _reason: [].pop())
    edge.sessions.open(client, SessionRole.PLAYER, STREAM, closed.append)
    await edge.stop()
    assert (closed, len(scheduler.released)) == (["the edge stops"], 1)


@in_virtual_time
async def test_an_edge_of_which_a_part_has_failed_says_so_and_cannot_go_on(caplog: pytest.LogCaptureFixture) -> None:
    scheduler, failed = FakeScheduler(), list[str]()
    scheduler.join_error = IndexError("a bug of ours")
    edge = EdgeApp(NodeId("edge", b"1"), EdgeSettings(), scheduler, FakeLinks(), CollectorRegistry(), lambda: "here", failed.append)
    await edge.start()
    await asyncio.sleep(1)
    assert failed == ["edge-membership failed: IndexError('a bug of ours')"]
    (record,) = caplog.records
    assert (record.getMessage(), record.exc_info and record.exc_info[0]) == ("edge-membership failed", IndexError)
    await edge.stop()
    assert len(failed) == 1
