"""What is said on an RTSP connection whoever is at its other end, in virtual time and without a socket."""

from __future__ import annotations

import asyncio

from support.rtsp_stage import Stage
from support.rtsp_talk import UDP, packet
from support.virtual_time import in_virtual_time, settle

from lalmesh.runtime.scheduling import Endpoint
from services.edge.rtsp_link import RtspSettings


@in_virtual_time
async def test_every_other_method_is_answered() -> None:
    stage = Stage()
    answers = [await stage.status(stage.talk.request(name)) for name in ("OPTIONS", "GET_PARAMETER", "SET_PARAMETER")]
    assert answers == [200, 200, 200]
    assert [await stage.status(stage.talk.request(name)) for name in ("PAUSE", "PLAY", "FROB")] == [455, 455, 501]


@in_virtual_time
async def test_a_connection_over_the_limit_is_told_so() -> None:
    stage = Stage()
    stage.dialogue.refusal = "1 connections"
    assert await stage.status(stage.talk.request("DESCRIBE")) == 503
    assert (stage.wire.closed, stage.players) == ("1 connections", [])


@in_virtual_time
async def test_an_edge_that_is_full_sends_players_and_publishers_to_another_with_their_query() -> None:
    stage = Stage(url="rtsp://host/live/cam?token=1")
    stage.close_entrance(Endpoint("rtsp", "other", 5544))
    for request in (stage.talk.request("DESCRIBE"), stage.talk.announce()):
        answer = await stage.ask(request)
        assert (answer.status, answer.headers.get("location")) == (302, "rtsp://other:5544/live/cam?token=1")
    assert (len(stage.publishers), stage.players) == (0, [])


@in_virtual_time
async def test_a_url_that_is_none_is_refused_where_it_would_be_sent_on_and_the_connection_goes_on() -> None:
    stage = Stage(url="rtsp://[/live/cam")
    stage.close_entrance(Endpoint("rtsp", "other", 5544))
    for request in (stage.talk.request("DESCRIBE"), stage.talk.announce()):
        assert await stage.status(request) == 400
    assert await stage.status(stage.talk.request("OPTIONS")) == 200
    assert stage.registry.get_sample_value("edge_refused_total", {"protocol": "rtsp", "reason": "url"}) == 2.0


@in_virtual_time
async def test_an_edge_that_is_open_looks_at_the_path_of_a_url_only() -> None:
    stage = Stage(url="rtsp://admin:pa[ss@host/live/cam")
    assert await stage.status(stage.talk.request("DESCRIBE")) == 200


@in_virtual_time
async def test_where_no_other_edge_is_known_it_says_when_to_ask_again() -> None:
    stage = Stage()
    stage.close_entrance()
    answer = await stage.ask(stage.talk.announce())
    assert (answer.status, answer.headers.get("retry-after")) == (503, "1")


@in_virtual_time
async def test_a_sweep_that_fails_keeps_no_other_connection_from_its_deadlines() -> None:
    class Broken:
        def sweep(self, now_s: float) -> None:
            raise IndexError(now_s)

    stage = Stage(RtspSettings(session_timeout_s=60))
    await stage.record(UDP.format(5000, 5001))
    for _ in range(3):
        stage.service.add(Broken())
    await asyncio.sleep(61)
    stage.service.sweep()
    assert stage.wire.aborted


@in_virtual_time
async def test_bytes_that_are_no_rtsp_end_the_connection() -> None:
    stage = Stage()
    assert await stage.status(b"\x16\x03\x01\x02\x00\x01") == 400
    assert stage.wire.closed.startswith("protocol error")


@in_virtual_time
async def test_teardown_ends_the_stream_and_not_the_connection() -> None:
    stage = Stage()
    await stage.record(UDP.format(5000, 5001))
    assert await stage.status(stage.talk.request("TEARDOWN")) == 200
    await asyncio.sleep(2 * RtspSettings().reorder_ms / 1000)  # its last datagrams may come behind that
    assert (len(stage.publishers), len(stage.sessions), stage.ports.pairs[0].closed) == (0, 0, True)
    stage.talk.session = ""
    await stage.record()
    assert (len(stage.publishers), stage.wire.closed) == (1, "")


@in_virtual_time
async def test_a_publisher_by_udp_is_heard_by_its_datagrams() -> None:
    stage = Stage(RtspSettings(session_timeout_s=60))
    await stage.record(UDP.format(5000, 5001))
    (pair,) = stage.ports.pairs
    for number in range(9):
        pair.received(False, [packet(number)])
        await stage.later(10)
    assert (stage.units, stage.wire.aborted, stage.connection.watch_idle) == (9, False, False)
    await stage.later(55)
    assert stage.wire.aborted
    stage.dialogue.lost("closed by the peer")
    await settle()
    assert (pair.closed, len(stage.publishers)) == (True, 0)
