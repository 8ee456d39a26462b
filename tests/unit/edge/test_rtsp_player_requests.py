"""What players ask for on an RTSP connection, in virtual time and without a socket."""

from __future__ import annotations

import asyncio

from support.rtsp_stage import URL, Stage
from support.rtsp_talk import PCMA_SDP, TCP, Talk, frame
from support.virtual_time import in_virtual_time, settle

from lalmesh.protocol.rtsp._server import MAX_HELD_REQUESTS
from services.edge.rtsp_dialogue import SESSIONS_AT_ONCE, SESSIONS_PER_S


@in_virtual_time
async def test_a_player_is_told_before_media_come() -> None:
    stage = Stage()
    player = await stage.play()
    assert player.asked == ["describe live/cam", "setup 0", "play", "start"]
    assert not stage.connection.watch_idle


@in_virtual_time
async def test_a_player_hears_which_packet_is_its_first() -> None:
    stage = Stage()
    described = await stage.ask(stage.talk.request("DESCRIBE"))
    assert (described.body, described.headers.get("content-base")) == (PCMA_SDP, f"{URL}/")
    await stage.ask(stage.talk.setup(TCP.format(0, 1)))
    answer = await stage.ask(stage.talk.request("PLAY"))
    assert answer.headers.get("rtp-info") == f"url={URL}/streamid=0;seq=17;rtptime=1234"


@in_virtual_time
async def test_a_missing_stream_is_answered() -> None:
    stage = Stage(url="rtsp://host/live/missing")
    assert await stage.status(stage.talk.request("DESCRIBE")) == 404
    assert (stage.players[0].asked[-1], stage.wire.closed) == ("close refused", "")


@in_virtual_time
async def test_who_asks_for_the_same_stream_again_keeps_its_session() -> None:
    stage = Stage()
    for _ in range(100):
        assert (await stage.ask(stage.talk.request("DESCRIBE"))).body == PCMA_SDP
    (player,) = stage.players
    assert player.asked == ["describe live/cam", *["describe again"] * 99]
    assert await stage.status(stage.talk.setup(TCP.format(0, 1))) == 200
    assert await stage.status(stage.talk.request("DESCRIBE")) == 200
    assert await stage.status(stage.talk.request("PLAY")) == 200
    assert (len(stage.players), player.asked[-4:]) == (1, ["setup 0", "describe again", "play", "start"])


@in_virtual_time
async def test_a_stream_that_is_another_one_by_now_is_described_anew() -> None:
    stage = Stage()
    assert await stage.status(stage.talk.request("DESCRIBE")) == 200
    stage.players[0].is_current = False
    assert await stage.status(stage.talk.request("DESCRIBE")) == 200
    assert (len(stage.players), stage.players[0].asked[-1]) == (2, "close described anew")


@in_virtual_time
async def test_sessions_that_are_begun_one_after_the_other_on_a_connection_have_a_rate() -> None:
    stage = Stage()
    statuses = [
        await stage.status(Talk(f"rtsp://host/live/{number}").request("DESCRIBE")) for number in range(SESSIONS_AT_ONCE + 3)
    ]
    assert statuses == [200] * (1 + SESSIONS_AT_ONCE) + [503, 503]
    assert stage.players[-1].asked == []
    assert await stage.beside().status(stage.talk.request("DESCRIBE")) == 200  # the first of its connection
    await asyncio.sleep(1 / SESSIONS_PER_S)
    assert await stage.status(Talk("rtsp://host/live/other").request("DESCRIBE")) == 200
    assert stage.registry.get_sample_value("edge_refused_total", {"protocol": "rtsp", "reason": "rate"}) == 2.0


@in_virtual_time
async def test_of_requests_to_play_one_is_looked_at_in_a_turn_of_the_loop() -> None:
    stage = Stage()
    player = await stage.play()
    player.asked.clear()
    stage.dialogue.feed(b"".join(stage.talk.request(name) for name in ("PAUSE", "PLAY", "PAUSE", "PLAY", "PAUSE")))
    assert player.asked == ["pause", "play", "start"]
    await asyncio.sleep(0)
    assert player.asked == ["pause", "play", "start", "pause", "play", "start"]
    await settle()
    assert player.asked[-1] == "pause"
    assert stage.wire.sent.count(b"RTSP/1.0 200") == 5


@in_virtual_time
async def test_requests_wait_while_the_transport_is_full_and_go_on_when_it_has_drained() -> None:
    stage = Stage()
    player = await stage.play()
    stage.dialogue.full()
    player.asked.clear()
    stage.dialogue.feed(stage.talk.request("PAUSE") + stage.talk.request("PLAY") + stage.talk.request("OPTIONS"))
    await settle()
    assert (player.asked, stage.wire.sent) == ([], b"")
    stage.dialogue.drained()
    await settle()
    assert player.asked == ["drained", "pause", "play", "start"]
    assert stage.wire.sent.count(b"RTSP/1.0 200") == 3


@in_virtual_time
async def test_what_waits_because_the_transport_is_full_has_bounds() -> None:
    stage = Stage()
    await stage.play()
    stage.dialogue.full()
    stage.dialogue.feed(stage.talk.request("PLAY") * (MAX_HELD_REQUESTS + 1))
    assert stage.wire.closed.startswith("protocol error: requests")


@in_virtual_time
async def test_packets_of_a_publisher_go_on_though_it_takes_no_answers() -> None:
    stage = Stage()
    await stage.record()
    stage.dialogue.full()
    stage.dialogue.feed(frame(1) + frame(2))
    assert stage.units == 2


@in_virtual_time
async def test_tracks_may_be_set_up_by_who_knows_them() -> None:
    stage = Stage()
    assert await stage.status(stage.talk.setup(TCP.format(0, 1))) == 200
    assert stage.players[0].asked == ["describe live/cam", "setup 0"]
    assert await stage.status(stage.talk.setup(TCP.format(2, 3), "/streamid=1")) == 404
    assert len(stage.players) == 1


@in_virtual_time
async def test_who_sets_up_what_is_not_there_holds_nothing_and_may_ask_again() -> None:
    stage = Stage()
    assert await stage.status(stage.talk.setup(TCP.format(0, 1), "/streamid=7")) == 404
    assert stage.players[0].asked == ["describe live/cam", "close nothing set up"]
    assert await stage.status(stage.talk.setup(TCP.format(0, 1))) == 200


@in_virtual_time
async def test_a_player_pauses_and_goes() -> None:
    stage = Stage()
    player = await stage.play()
    assert await stage.status(stage.talk.request("PAUSE")) == 200
    stage.dialogue.full()
    stage.dialogue.drained()
    assert await stage.status(stage.talk.request("TEARDOWN")) == 200
    assert player.asked[-4:] == ["pause", "full", "drained", "close closed by the client"]
