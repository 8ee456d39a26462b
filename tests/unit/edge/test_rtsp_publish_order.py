"""In which order the tracks of a publisher go on that has a port for each."""

from __future__ import annotations

import asyncio

import pytest
from support.rtsp_stage import Stage
from support.rtsp_talk import PCMA_SDP, UDP, packet
from support.virtual_time import in_virtual_time, settle

from lalmesh.protocol.rtp import RtpPacket
from services.edge.rtsp_link import RtspSettings

WAIT_S = RtspSettings().reorder_ms / 1000
TWO_SOUNDS = PCMA_SDP + b"m=audio 0 RTP/AVP 8\r\na=control:streamid=1\r\n"


async def recording() -> Stage:
    """A publisher of two sounds by UDP."""
    stage = Stage()
    assert await stage.status(stage.talk.announce(TWO_SOUNDS)) == 200
    for number in (0, 1):
        ways = UDP.format(5000 + 2 * number, 5001 + 2 * number)
        assert await stage.status(stage.talk.setup(ways, f"/streamid={number}")) == 200
    assert await stage.status(stage.talk.request("RECORD")) == 200
    return stage


def tracks(stage: Stage) -> list[int]:
    """Of each unit."""
    (publishing,) = stage.publishers
    ring = publishing.core.ring
    return [unit.track_id for run in ring.runs(ring.start) for unit in run.units]


@in_virtual_time
async def test_what_waits_at_the_other_port_is_taken_in_where_it_belongs() -> None:
    stage = await recording()
    first, second = stage.ports.pairs
    second.waiting = [packet(1), packet(2)]
    first.received(False, [packet(number) for number in (1, 2, 3, 4)])
    assert tracks(stage) == [1, 2, 1, 2, 1, 1]
    second.received(False, [packet(3)])
    assert tracks(stage) == [1, 2, 1, 2, 1, 1, 2]


@in_virtual_time
async def test_what_waits_at_the_end_is_all_taken_in() -> None:
    stage = await recording()
    first, second = stage.ports.pairs
    first.waiting, second.waiting = [packet(1), packet(2)], [packet(1)]
    stage.dialogue.close("over")
    assert not first.waiting + second.waiting


@in_virtual_time
async def test_what_comes_behind_a_goodbye_that_overtook_it_is_taken_in() -> None:
    stage = await recording()
    first, second = stage.ports.pairs
    (publishing,) = stage.publishers
    first.received(False, [packet(1), packet(2)])
    assert await stage.status(stage.talk.request("TEARDOWN")) == 200
    await asyncio.sleep(WAIT_S / 2)
    first.received(False, [packet(3)])
    second.waiting = [packet(1)]
    assert len(stage.sessions) == 1
    await asyncio.sleep(WAIT_S)
    assert publishing.core.counters.units == 4
    assert first.closed
    assert second.closed
    assert len(stage.sessions) == len(stage.publishers) == 0


@in_virtual_time
async def test_who_publishes_anew_does_not_wait_for_what_may_come_behind_a_goodbye() -> None:
    stage = await recording()
    assert await stage.status(stage.talk.request("TEARDOWN")) == 200
    assert len(stage.publishers) == 1
    other = stage.beside()
    await other.record()
    assert all(pair.closed for pair in stage.ports.pairs)
    assert len(stage.sessions) == len(stage.publishers) == 1
    assert not stage.wire.closed
    await asyncio.sleep(2 * WAIT_S)
    assert len(stage.sessions) == len(stage.publishers) == 1


@in_virtual_time
async def test_a_goodbye_to_an_edge_that_stops_ends_it_at_once() -> None:
    stage = await recording()
    assert await stage.status(stage.talk.request("TEARDOWN")) == 200
    await stage.publishers.close(1.0)
    assert len(stage.sessions) == 0
    assert all(pair.closed for pair in stage.ports.pairs)


AAC_SDP = b"""v=0\r\nm=audio 0 RTP/AVP 97\r\na=rtpmap:97 mpeg4-generic/44100/2\r\na=control:streamid=0\r
a=fmtp:97 mode=AAC-hbr;config=1210;sizelength=13;indexlength=3;indexdeltalength=3\r\n"""


def aac(number: int, *, index: int) -> bytes:
    """A frame of 4 bytes, which says that `index` frames before it come later (RFC 3640 §3.2.1)."""
    return RtpPacket(97, number, 1024 * number, 7, True, bytes((0, 16, 0, 4 << 3 | index)) + b"\x21" * 4).serialize()


@in_virtual_time
@pytest.mark.parametrize("is_polite", [True, False])
async def test_what_is_not_understood_at_the_end_gives_the_stream_back_all_the_same(*, is_polite: bool) -> None:
    stage = Stage()
    assert await stage.status(stage.talk.announce(AAC_SDP)) == 200
    assert await stage.status(stage.talk.setup(UDP.format(5000, 5001))) == 200
    assert await stage.status(stage.talk.request("RECORD")) == 200
    (pair,) = stage.ports.pairs
    pair.received(False, [aac(1, index=0), aac(3, index=1)])  # the second waits for what is missing before it
    if is_polite:
        assert await stage.status(stage.talk.request("TEARDOWN")) == 200
        await stage.publishers.close(1.0)
    else:
        stage.dialogue.lost("closed by the peer")
        await settle()
    assert len(stage.sessions) == len(stage.publishers) == 0


@in_virtual_time
async def test_a_pause_lets_nothing_more_in_until_record() -> None:
    stage = await recording()
    first, second = stage.ports.pairs
    first.waiting = [packet(1)]  # was sent before
    assert await stage.status(stage.talk.request("PAUSE")) == 200
    first.received(False, [packet(2)])
    second.received(False, [packet(1)])
    assert tracks(stage) == [1]
    assert await stage.status(stage.talk.request("RECORD")) == 200
    second.received(False, [packet(2)])
    assert tracks(stage) == [1, 2]
