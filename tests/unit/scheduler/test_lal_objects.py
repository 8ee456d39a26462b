from __future__ import annotations

from dataclasses import replace

import pytest
from support.edge_fakes import AUDIO, VIDEO

from lalmesh.media import Codec, Kind, Track, TrackSet
from lalmesh.names import ANY_APP, StreamKey
from lalmesh.runtime.scheduling.model import MAX_FRAME_SECONDS, HeldStream
from lalmesh.runtime.sessions import Session, SessionRole
from services.scheduler.lal_api._models import StatSession
from services.scheduler.lal_api._objects import stat_group, stat_session
from services.scheduler.lal_names import lal_session_id, lal_time, own_session_id

STREAM = StreamKey("live", "cam")
SESSION = Session(
    id="8934f9283f96d02f",
    stream=STREAM,
    protocol="rtmps",
    role=SessionRole.PUBLISHER,
    node="edge-1",
    peer="192.0.2.1:5000",
    sent_bytes=10,
    received_bytes=20,
    sent_bps=2048,
    received_bps=4096,
    opened_us=1_767_323_045_600_000,
    seen_us=0,
    url="rtmps://h/live/cam",
    query="",
    user_agent="",
    codecs=(),
    queued_bytes=0,
    skips=0,
    first_media_ms=0,
)


def test_a_session_has_lals_words_and_kilobits_of_1024() -> None:
    assert stat_session(SESSION) == StatSession(
        session_id="RTMPPUBSUB8934f9283f96d02f",
        protocol="RTMP",
        base_type="PUB",
        remote_addr="192.0.2.1:5000",
        start_time="2026-01-02 03:04:05.6 Z UTC",
        read_bytes_sum=20,
        wrote_bytes_sum=10,
        bitrate_kbits=4,
        read_bitrate_kbits=4,
        write_bitrate_kbits=2,
    )
    player = stat_session(replace(SESSION, role=SessionRole.PLAYER, protocol="wss-flv"))
    assert (player.base_type, player.protocol, player.bitrate_kbits) == ("SUB", "FLV", 2)


def test_the_id_of_every_kind_of_session_leads_back_to_ours() -> None:
    for protocol in ("rtmp", "rtmps", "rtsp", "wss-rtsp", "http-flv", "ws-ts", "https-fmp4", "hls"):
        for role in SessionRole:
            assert own_session_id(lal_session_id(SESSION.id, protocol, role.value)) == SESSION.id


def test_milliseconds_lose_their_trailing_zeros() -> None:
    assert [lal_time(us) for us in (0, 1_000, 120_000)] == [
        "1970-01-01 00:00:00 Z UTC",
        "1970-01-01 00:00:00.001 Z UTC",
        "1970-01-01 00:00:00.12 Z UTC",
    ]


async def test_a_group_has_its_sessions_by_what_they_do() -> None:
    roles = (SessionRole.PLAYER, SessionRole.RELAY_PUSH, SessionRole.RELAY_PULL)
    sessions = [SESSION, *(replace(SESSION, id=role.value, role=role) for role in roles)]
    held = HeldStream(stream=STREAM, tracks=TrackSet((VIDEO, AUDIO), 1), frames_end_s=100, frames=(25, 24))
    group = await stat_group(STREAM, held, sessions)
    shown = (group.pub, *(group.subs or ()), group.pull, *(group.pushs or ()))
    assert [each.base_type for each in shown] == ["PUB", "SUB", "PULL", "PUSH"]
    assert [(each.unix_sec, each.v) for each in group.in_frame_per_sec] == [(99, 25), (98, 24)]
    assert (group.video_codec, group.audio_codec) == (VIDEO.codec.value.upper(), AUDIO.codec.value.upper())


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        (Codec.H264, "H264"),
        (Codec.H265, "H265"),
        (Codec.AAC, "AAC"),
        (Codec.PCMA, "PCMA"),
        (Codec.PCMU, "PCMU"),
        (Codec.OPUS, "OPUS"),
    ],
)
async def test_a_codec_is_called_as_lal_calls_it(codec: Codec, name: str) -> None:
    held = HeldStream(stream=STREAM, tracks=TrackSet((Track(track_id=1, codec=codec),), 1), frames_end_s=0, frames=())
    group = await stat_group(STREAM, held, [])
    is_video = codec.kind is Kind.VIDEO
    assert (group.video_codec, group.audio_codec) == ((name, "") if is_video else ("", name))


async def test_frames_are_of_as_many_seconds_as_lal_tells() -> None:
    held = HeldStream(stream=STREAM, tracks=TrackSet(), frames_end_s=100, frames=tuple(range(MAX_FRAME_SECONDS)))
    seconds = [(each.unix_sec, each.v) for each in (await stat_group(STREAM, held, [])).in_frame_per_sec]
    assert seconds == [(99 - age, age) for age in range(31)]


async def test_a_group_that_nobody_reports_has_empty_objects() -> None:
    group = await stat_group(STREAM, None, [])
    assert (group.pub, group.pull, group.subs, group.pushs) == (StatSession(), StatSession(), None, None)
    assert (group.app_name, group.video_codec, group.in_frame_per_sec) == ("live", "", [])


async def test_where_applications_mean_nothing_it_is_that_of_the_publisher() -> None:
    stream = StreamKey(ANY_APP, "cam")
    player = replace(SESSION, role=SessionRole.PLAYER, url="http://h/other/cam.flv")
    assert (await stat_group(stream, None, [player, SESSION])).app_name == "live"
    assert (await stat_group(stream, None, [player])).app_name == "other"
    assert (await stat_group(stream, None, [])).app_name == ""
