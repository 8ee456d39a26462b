"""RTSP players against a camera with the manners of cheap ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from support.camera import Camera
from support.camera_ways import CameraSettings
from support.media import media
from support.pulled import assert_same, pulled, tags_of, units_of

from lalmesh.client import ClientOptions, Refused, RefusedNotAuthorized, open_player, probe
from lalmesh.container.flv import TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO, VIDEO_TRACK_ID, Tag
from lalmesh.media import AccessUnit, Kind

PATIENT = ClientOptions(handshake_timeout_s=30, first_media_timeout_s=30, stall_timeout_s=30)
TCP, UDP = replace(PATIENT, rtsp_transport="tcp"), replace(PATIENT, rtsp_transport="udp")

SHORT = CameraSettings(loss=0, reorder=0, speed=8, loops=1, says_goodbye=True)
DIALECTS = {
    "plain": SHORT,
    "absolute controls": replace(SHORT, has_absolute_controls=True),
    "no rtpmap": replace(SHORT, has_rtpmap=False),
    "SHA-256": replace(SHORT, algorithm="SHA-256", has_sprop=True),
    "late reports": replace(SHORT, reports_late=True, speed=1),
    "reorders": replace(SHORT, reorder=0.05),
}


@pytest.mark.parametrize("settings", DIALECTS.values(), ids=DIALECTS)
@pytest.mark.parametrize("options", [TCP, UDP], ids=["tcp", "udp"])
@pytest.mark.parametrize("name", ["h264_b3_aac", "h264_pcma"])
async def test_a_camera_is_played_whole(settings: CameraSettings, options: ClientOptions, name: str, tmp_path: Path) -> None:
    file = media(name)
    async with Camera(file, settings) as camera:
        got, reason = await pulled(camera.url, tmp_path / "got.flv", options)
        assert camera.counters.refused == 1  # one challenge for all that follows
        assert bool(camera.counters.punched) == (options is UDP)
        assert camera.counters.reports
    assert reason == "goodbye"
    assert_same(tags_of(file), got, moved=10 if settings.reports_late else 0)
    sent_pictures, got_pictures = ([unit.payload for unit in pictures_of(tags)] for tags in (tags_of(file), got))
    assert got_pictures == sent_pictures


def pictures_of(tags: Sequence[Tag]) -> list[AccessUnit]:
    return [unit for unit in units_of(tags)[1] if unit.track_id == VIDEO_TRACK_ID]


async def test_a_camera_that_wants_signs_of_life_gets_them(tmp_path: Path) -> None:
    async with Camera(media("h264_pcma"), CameraSettings(timeout_s=2, loss=0, reorder=0)) as camera:
        tags, reason = await pulled(camera.url, tmp_path / "got.flv", PATIENT, duration_s=4)
        assert camera.counters.methods.count("GET_PARAMETER") >= 3
    assert reason == "the duration is reached"
    assert {TAG_AUDIO, TAG_VIDEO} <= {tag.type_id for tag in tags}


async def test_a_camera_that_does_not_do_udp_is_played_on_the_connection() -> None:
    async with Camera(media("h264_aac"), CameraSettings(does_udp=False, speed=4)) as camera:
        async with open_player(camera.url, PATIENT) as player:
            assert (await anext(player)).type_id == TAG_SCRIPT
        with pytest.raises(Refused, match="RTSP 461"):
            async with open_player(camera.url, UDP):
                pass


async def test_a_camera_whose_packets_do_not_arrive_is_played_on_the_connection() -> None:
    async with Camera(media("h264_aac"), CameraSettings(sends_udp=False, speed=4)) as camera:
        async with open_player(camera.url, replace(PATIENT, udp_silence_s=0.3)) as player:
            assert (await anext(player)).type_id == TAG_SCRIPT
        assert camera.counters.methods.count("DESCRIBE") == 2


async def test_a_camera_that_is_told_wrong_credentials_refuses() -> None:
    async with Camera(media("h264_aac")) as camera:
        with pytest.raises(RefusedNotAuthorized, match="RTSP 401"):
            async with open_player(camera.url.replace("Secret-1", "wrong"), PATIENT):
                pass
        assert camera.counters.refused == 2


@pytest.mark.parametrize("drops", [False, True])
async def test_of_a_bad_network_come_the_pictures_that_are_whole_and_if_wanted_only_what_can_be_decoded(
    drops: bool, tmp_path: Path
) -> None:
    options = replace(UDP, drop_broken_gop=drops, reorder_ms=50)
    settings = CameraSettings(speed=4, loops=1, loss=0.02, says_goodbye=True)
    async with Camera(media("h264_aac"), settings) as camera:
        got, _ = await pulled(camera.url, tmp_path / "got.flv", options)
    assert camera.counters.late
    lost = {index for track, index in camera.counters.touched if camera.film.tracks[track].kind is Kind.VIDEO}
    wanted, is_broken = list[bytes](), False
    for index, unit in enumerate(pictures_of(tags_of(media("h264_aac")))):
        is_broken = index in lost or (is_broken and drops and not unit.random_access)
        wanted += [] if is_broken else [unit.payload]
    assert lost
    assert [unit.payload for unit in pictures_of(got)] == wanted


async def test_a_camera_is_probed() -> None:
    async with Camera(media("h264_b3_aac"), CameraSettings(loss=0, reorder=0, speed=4)) as camera:
        report = await probe(camera.url, duration_s=1, options=TCP)
    assert report.protocol == "rtsp"
    assert {track.codec for track in report.tracks} == {"h264", "aac"}
    assert report.dts_monotonic
    assert report.gop_frames == 25
