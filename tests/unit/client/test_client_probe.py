"""What a probe makes of the messages of a stream, time given by the test."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.client import ProbeReport, RtmpPlayer
from lalmesh.client._probe import ProbeAnalysis
from lalmesh.container.flv import TAG_AUDIO, TAG_VIDEO, Tag, TagReader

CAPTURES = Path(__file__).parents[2] / "captures" / "flv"


def tags_of(name: str) -> list[Tag]:
    return list(TagReader().feed((CAPTURES / f"{name}.flv").read_bytes()))


def report_of(tags: list[Tag], first_at: float = 10.5) -> ProbeReport:
    analysis = ProbeAnalysis(10.0)
    for number, tag in enumerate(tags):
        analysis.feed(tag, first_at + number / 1000)
    player = RtmpPlayer("rtmp://host/live/a")
    player.first_byte_at = 10.25
    return analysis.report(player)


def test_moments_are_told_from_the_start() -> None:
    report = report_of(tags_of("h264-aac-bframes"))
    assert (report.url, report.protocol, report.ended) == ("rtmp://host/live/a", "rtmp", "")
    assert (report.first_byte_ms, report.first_message_ms) == (250.0, 500.0)
    assert report.first_keyframe_ms is not None
    assert 503 <= report.first_keyframe_ms < 510


def test_tracks_are_described() -> None:
    report = report_of(tags_of("h264-aac-bframes"))
    video, audio = report.tracks
    assert (video.kind, video.codec, video.profile, video.width, video.height) == ("video", "h264", "High", 96, 64)
    assert video.codec_string.startswith("avc1.64")
    assert (video.frame_rate, video.frames, audio.frames) == (15.0, 15, 45)
    assert video.measured_frame_rate == pytest.approx(15, abs=0.2)
    assert (audio.codec_string, audio.sample_rate_hz, audio.channels, audio.profile) == ("mp4a.40.2", 44100, 1, "LC")


def test_rates_and_spans_come_from_the_times_of_the_media() -> None:
    report = report_of(tags_of("h264-aac-bframes"))
    assert 900 <= report.duration_ms <= 1200
    assert report.bitrate_bps == pytest.approx(report.size_bytes * 8000 / report.duration_ms, rel=0.01)
    assert report.gop_frames == 10
    assert report.gop_ms == pytest.approx(667, abs=2)
    assert report.dts_monotonic
    assert report.av_interleave_ms is not None
    assert report.av_interleave_ms < 200


def test_a_time_that_falls_is_told_of_its_track() -> None:
    tags = [tag for tag in tags_of("h264-aac-bframes") if tag.type_id == TAG_VIDEO]
    tags[4], tags[5] = tags[5], tags[4]
    report = report_of(tags)
    assert not report.dts_monotonic
    assert not report.tracks[0].dts_monotonic


def test_the_offset_of_audio_is_told() -> None:
    tags = [Tag(tag.type_id, tag.timestamp_ms + 70 * (tag.type_id == TAG_AUDIO), tag.body) for tag in tags_of("h264-aac-bframes")]
    assert (report_of(tags).av_start_offset_ms or 0) - (report_of(tags_of("h264-aac-bframes")).av_start_offset_ms or 0) == 70


@pytest.mark.parametrize("path", sorted(CAPTURES.glob("*.flv")), ids=lambda path: path.stem)
def test_every_capture_gives_a_report(path: Path) -> None:
    report = report_of(tags_of(path.stem))
    assert report.tracks
    assert all(track.frames and track.codec_string for track in report.tracks)


def test_a_stream_without_frames_has_tracks_without_rates() -> None:
    report = report_of(tags_of("h264-aac-bframes")[:3])
    assert [track.frames for track in report.tracks] == [0, 0]
    assert (report.bitrate_bps, report.gop_ms, report.av_start_offset_ms, report.first_keyframe_ms) == (None, None, None, None)


@given(
    st.lists(st.builds(Tag, st.sampled_from((8, 9, 15, 18, 7)), st.integers(0, 0xFFFFFFFF), st.binary(max_size=30)), max_size=10)
)
def test_any_messages_give_a_report(tags: list[Tag]) -> None:
    report = report_of([*tags_of("h264-aac-bframes")[:6], *tags])
    assert report.size_bytes >= sum(len(tag.body) for tag in tags)
