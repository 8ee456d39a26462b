"""What players ask for on an RTSP connection, in virtual time and without a socket."""

from __future__ import annotations

from support.rtsp_stage import URL, Stage
from support.rtsp_talk import PCMA_SDP, TCP
from support.virtual_time import in_virtual_time


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
