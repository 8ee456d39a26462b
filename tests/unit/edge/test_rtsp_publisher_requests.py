"""What publishers ask for on an RTSP connection, in virtual time and without a socket."""

from __future__ import annotations

import asyncio

import pytest
from support.rtsp_stage import SILENCE_S, URL, Stage
from support.rtsp_talk import PCMA_SDP, TCP, UDP, frame, packet
from support.virtual_time import in_virtual_time, settle

from lalmesh.protocol.rtsp import serialize_frame
from lalmesh.runtime.scheduling import Refusal, Refused
from services.edge.publisher import ENDING_S
from services.edge.rtsp_dialogue import SESSIONS_AT_ONCE
from services.edge.rtsp_link import RtspSettings
from services.edge.rtsp_publish import RECORD_DEADLINE_S


@in_virtual_time
async def test_what_a_publisher_sends_becomes_units() -> None:
    stage = Stage()
    await stage.record()
    stage.dialogue.feed(frame(1) + frame(2) + frame(3))
    assert (stage.units, [str(session.stream) for session in stage.sessions]) == (3, ["live/cam"])
    assert stage.connection.watch_idle


@in_virtual_time
async def test_packets_before_record_are_not_taken() -> None:
    stage = Stage()
    assert await stage.status(stage.talk.announce()) == 200
    assert await stage.status(stage.talk.setup(TCP.format(0, 1))) == 200
    stage.dialogue.feed(frame(1))
    assert stage.units == 0


@in_virtual_time
async def test_a_second_publisher_is_refused_before_it_is_told_of_success() -> None:
    stage = Stage()
    stage.scheduler.claim_refusals = [Refused(Refusal.EXISTS, "elsewhere")] * 2
    assert (await stage.ask(stage.talk.announce(), ENDING_S)).status == 403
    assert not stage.wire.closed
    assert await stage.status(stage.talk.announce()) == 200


@in_virtual_time
async def test_a_second_publisher_takes_over_where_the_cluster_lets_it() -> None:
    first = Stage(take_over=True)
    await first.record()
    second = first.beside()
    await second.record()
    assert (first.wire.closed, second.wire.closed) == ("taken over: a newer publisher on this edge", "")
    second.dialogue.feed(frame(1))
    assert (len(first.publishers), first.units) == (1, 1)


@in_virtual_time
async def test_a_publisher_that_is_taken_over_loses_its_connection() -> None:
    stage = Stage()
    await stage.record()
    (publishing,) = stage.publishers
    publishing.end("taken over: a newer publisher on this edge")
    assert stage.wire.closed.startswith("taken over")
    assert (len(stage.sessions), len(stage.publishers)) == (0, 0)


@in_virtual_time
@pytest.mark.parametrize(
    ("url", "description", "status"),
    [
        ("rtsp://host/cam", PCMA_SDP, 400),
        ("rtsp://host/live/%2e%2e", PCMA_SDP, 400),
        ("rtsp://host/%2e%2e/cam", PCMA_SDP, 400),
        ("rtsp://host/live/../cam", PCMA_SDP, 400),
        ("rtsp://host/live/a%2fb", PCMA_SDP, 400),
        ("rtsp://host/live/a%00", PCMA_SDP, 400),
        ("rtsp://host/live/a%5cb", PCMA_SDP, 400),
        ("rtsp://host/live/%ff", PCMA_SDP, 400),
        (f"rtsp://host/live/{'a' * 256}", PCMA_SDP, 400),
        (URL, b"v=0\r\n", 400),
        (URL, b"v=0\r\nm=application 9 DTLS/SCTP 5000\r\n", 415),
    ],
)
async def test_what_cannot_be_published_is_refused(url: str, description: bytes, status: int) -> None:
    stage = Stage(url=url)
    assert await stage.status(stage.talk.announce(description)) == status
    assert len(stage.sessions) == 0


@in_virtual_time
async def test_a_cluster_without_room_says_when_to_come_again() -> None:
    stage = Stage()
    stage.scheduler.claim_refusals = [Refused(Refusal.NO_ORIGIN, "full", retry_after_s=2.0)]
    answer = await stage.ask(stage.talk.announce())
    assert (answer.status, answer.headers.get("retry-after")) == (503, "2")


@in_virtual_time
async def test_who_announces_has_to_record() -> None:
    stage = Stage()
    assert await stage.status(stage.talk.announce()) == 200
    await stage.later(RECORD_DEADLINE_S + 2)
    assert stage.wire.closed == f"no RECORD within {RECORD_DEADLINE_S:g} s"
    assert len(stage.publishers) == 0


@in_virtual_time
async def test_a_publisher_that_sends_nothing_is_closed() -> None:
    stage = Stage()
    await stage.record()
    await stage.later(SILENCE_S / 2)
    stage.dialogue.feed(frame(1))
    await stage.later(SILENCE_S - 1)
    assert not stage.wire.closed
    await stage.later(3)
    assert stage.wire.closed == f"no media for {SILENCE_S:g} s"


@in_virtual_time
async def test_a_publisher_of_what_gives_nothing_is_closed() -> None:
    stage = Stage()
    await stage.record()
    stage.dialogue.feed(frame(1))
    for _ in range(int(SILENCE_S) + 3):
        stage.dialogue.feed(serialize_frame(0, b"no packet"))
        await stage.later(1)
    assert stage.wire.closed == f"no media for {SILENCE_S:g} s"


@in_virtual_time
async def test_a_track_that_gets_no_other_ports_keeps_those_that_it_has() -> None:
    stage = Stage()
    assert await stage.status(stage.talk.announce()) == 200
    assert await stage.status(stage.talk.setup(UDP.format(5000, 5001))) == 200
    stage.ports.exhausted = True
    assert await stage.status(stage.talk.setup(UDP.format(6000, 6001))) == 461
    assert await stage.status(stage.talk.setup(UDP.format(5000, 5001))) == 200
    assert await stage.status(stage.talk.request("RECORD")) == 200
    stage.ports.pairs[0].received(False, [packet(1)])
    assert (stage.units, stage.ports.pairs[0].closed) == (1, False)


@in_virtual_time
async def test_a_track_that_gets_other_ports_gives_back_those_that_it_had() -> None:
    stage = Stage()
    assert await stage.status(stage.talk.announce()) == 200
    for port in (5000, 6000):
        assert await stage.status(stage.talk.setup(UDP.format(port, port + 1))) == 200
    assert [pair.closed for pair in stage.ports.pairs] == [True, False]
    assert await stage.status(stage.talk.setup(TCP.format(0, 1))) == 200
    assert stage.ports.pairs[1].closed


@in_virtual_time
async def test_no_way_changes_once_media_have_come() -> None:
    stage = Stage()
    await stage.record()
    assert await stage.status(stage.talk.request("PAUSE")) == 200
    assert await stage.status(stage.talk.setup(UDP.format(5000, 5001))) == 455
    assert await stage.status(stage.talk.request("RECORD")) == 200
    stage.dialogue.feed(frame(1))
    assert stage.units == 1


@in_virtual_time
async def test_what_is_missing_by_udp_is_given_up_in_time() -> None:
    stage = Stage(RtspSettings(reorder_ms=200))
    await stage.record(UDP.format(5000, 5001))
    (pair,) = stage.ports.pairs
    pair.received(False, [packet(1), packet(3)])
    await asyncio.sleep(0.19)
    assert stage.units == 1
    await asyncio.sleep(0.02)
    assert stage.units == 2


@in_virtual_time
async def test_the_ports_that_a_publisher_sends_to_are_told() -> None:
    stage = Stage()
    assert await stage.status(stage.talk.announce()) == 200
    answer = await stage.ask(stage.talk.setup(UDP.format(5000, 5001) + ";mode=record"))
    assert answer.headers.get("transport") == "RTP/AVP;unicast;client_port=5000-5001;server_port=20000-20001;mode=record"
    assert answer.headers.get("session").endswith(";timeout=60")


@in_virtual_time
async def test_reports_go_back_as_media_came() -> None:
    stage = Stage()
    await stage.record()
    stage.dialogue.feed(frame(1))
    await stage.later(6)
    stage.talk.take(stage.wire.sent)
    report = stage.talk.frames[0]
    assert (report.channel, report.payload[1]) == (1, 201)
    udp = Stage()
    await udp.record(UDP.format(5000, 5001))
    udp.ports.pairs[0].received(False, [packet(1)])
    await udp.later(6)
    assert udp.ports.pairs[0].reports[0][1] == 201


@in_virtual_time
async def test_a_publisher_that_goes_while_it_is_answered_leaves_nothing() -> None:
    stage = Stage()
    stage.scheduler.claim_gate.clear()
    stage.dialogue.feed(stage.talk.announce())
    await settle()
    stage.dialogue.lost("closed by the peer")
    stage.scheduler.claim_gate.set()
    await settle()
    assert (len(stage.publishers), len(stage.sessions), len(stage.scheduler.released)) == (0, 0, 1)


@in_virtual_time
async def test_publications_that_are_begun_one_after_the_other_on_a_connection_have_a_rate_and_the_last_goes_on() -> None:
    stage = Stage()
    statuses = [await stage.status(stage.talk.announce()) for _ in range(SESSIONS_AT_ONCE + 2)]
    assert statuses == [200] * (1 + SESSIONS_AT_ONCE) + [503]
    assert (len(stage.publishers), stage.wire.closed) == (1, "")
    assert await stage.status(stage.talk.setup(TCP.format(0, 1))) == 200
    assert await stage.status(stage.talk.request("RECORD")) == 200
