"""FLV to players: what was packaged reads back as the same units."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.edge_fakes import AUDIO, BOTH

from lalmesh.amf import serialize_amf0
from lalmesh.codec import build_track
from lalmesh.container.flv import TAG_SCRIPT, BodyDemuxer, BodyMuxer, TagReader, carries, flv_header
from lalmesh.media import AccessUnit, Codec, MediaEvent, Track, TrackEnded, TracksChanged, TrackSet
from lalmesh.remux import FlvPackager, Parts

# of ffmpeg's libx264, 176 x 144
H264 = build_track(
    1, Codec.H264, bytes.fromhex("01640009ffe1001867640009acd94626c044000003000400000300783c48965801000468efbcb0fdf8f800")
)
HEADER = flv_header(has_audio=True, has_video=True)
PLAYED = TrackSet((H264, AUDIO), 1)
SCRIPT = Track(track_id=3, codec=Codec.SCRIPT)
OPAQUE = Track(track_id=4, codec=Codec.OPAQUE)
_TIMES = st.integers(0, (1 << 32) - 1).map(lambda ms: ms * 90)
_SOUND = st.builds(AccessUnit, st.just(2), _TIMES, st.just(0), st.just(True), st.binary(min_size=1, max_size=300))
_CTS = st.integers(0, 5000).map(lambda ms: ms * 90)


def picture(dts: int, cts: int, key: bool, data: bytes) -> AccessUnit:
    """One NALU with its length: an IDR slice or another."""
    nalu = (b"\x65" if key else b"\x41") + data
    return AccessUnit(1, dts, cts, key, len(nalu).to_bytes(4, "big") + nalu)


UNITS = st.lists(st.builds(picture, _TIMES, _CTS, st.booleans(), st.binary(max_size=300)) | _SOUND, max_size=8)


def packaged(units: list[AccessUnit], tracks: TrackSet = PLAYED) -> bytes:
    packager, parts = FlvPackager(BodyMuxer()), Parts()
    sizes = [packager.package(unit, tracks, parts) for unit in units]
    assert sum(sizes) == sum(map(len, parts))
    return b"".join(parts)


def demuxed(wire: bytes) -> list[MediaEvent]:
    demuxer = BodyDemuxer()
    tags = list(TagReader().feed(wire))
    return [event for tag in tags for event in demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body)]


def units_of(events: list[MediaEvent]) -> list[tuple[int, int, int, bool, bytes]]:
    return [
        (unit.track_id, unit.dts % (90 << 32), unit.cts, unit.random_access, unit.payload)
        for unit in events
        if isinstance(unit, AccessUnit)
    ]


@given(UNITS)
def test_what_is_packaged_reads_back(units: list[AccessUnit]) -> None:
    wire = FlvPackager(BodyMuxer()).start(PLAYED, 0) + packaged(units)
    assert units_of(demuxed(wire)) == units_of(list(units))


def test_a_player_gets_header_metadata_and_configurations_first() -> None:
    wire = FlvPackager(BodyMuxer()).start(PLAYED, 90_000)
    assert wire.startswith(bytes.fromhex("464c5601 05 00000009 00000000".replace(" ", "")))  # FLV 10.1 §E.2
    tags = list(TagReader().feed(wire))
    assert [(tag.type_id, tag.timestamp_ms) for tag in tags] == [(TAG_SCRIPT, 0), (9, 1000), (8, 1000)]
    last = [event for event in demuxed(wire) if isinstance(event, TracksChanged)][-1]
    assert [track.configuration for track in last.tracks.tracks if track.codec is not Codec.SCRIPT] == [
        H264.configuration,
        AUDIO.configuration,
    ]


def test_the_header_says_what_there_is() -> None:
    assert FlvPackager(BodyMuxer()).start(TrackSet((AUDIO,)), 0)[4] == 0x04
    assert FlvPackager(BodyMuxer()).start(TrackSet((H264,)), 0)[4] == 0x01


def test_a_time_over_24_bits_is_extended() -> None:
    (tag,) = TagReader().feed(
        FlvPackager(BodyMuxer()).start(TrackSet(), 0)[:13] + packaged([AccessUnit(2, 0x1234_5678 * 90, 0, True, b"a")])
    )
    assert tag.timestamp_ms == 0x1234_5678


def test_previous_tag_sizes_are_true() -> None:
    wire = FlvPackager(BodyMuxer()).start(PLAYED, 0) + packaged([AccessUnit(2, 0, 0, True, b"abc")])
    tags, at = list(TagReader().feed(wire)), 9
    for size in (0, *(11 + len(tag.body) for tag in tags)):
        at += size
        assert int.from_bytes(wire[at : at + 4], "big") == size
        at += 4
    assert (at, size) == (len(wire), 11 + 2 + 3)


def test_a_player_is_told_of_what_has_changed_only() -> None:
    packager, parts = FlvPackager(BodyMuxer()), Parts()
    assert packager.change(PLAYED, TrackSet(PLAYED.tracks, 2), 0, parts) == 0
    louder = TrackSet((H264, build_track(2, Codec.AAC, bytes.fromhex("1190"))), 3)
    size = packager.change(PLAYED, louder, 90_000, parts)
    wire = b"".join(parts)
    assert size == len(wire)
    events = demuxed(HEADER + wire)
    (changed,) = [event.tracks.get(2) for event in events if isinstance(event, TracksChanged) and event.tracks.get(2)]
    assert changed is not None
    assert changed.sample_rate_hz == 48_000


HDR = serialize_amf0("colorInfo", {"hdrCll": {"maxCLL": 1000.0}})
BRIGHT = serialize_amf0("colorInfo", {"hdrCll": {"maxCLL": 4000.0}})


def with_metadata(metadata: bytes, version: int) -> TrackSet:
    video = build_track(1, Codec.AV1, bytes.fromhex("81000c000a0a000000032dffcdaf9004"))
    return TrackSet((replace(video, video_metadata=metadata), AUDIO), version)


def video_bodies(wire: bytes) -> list[tuple[int, bytes]]:
    return [(tag.timestamp_ms, tag.body[:5]) for tag in TagReader().feed(wire) if tag.type_id == 9]


def test_a_join_gets_the_metadata_of_the_video_after_its_configuration() -> None:
    wire = FlvPackager(BodyMuxer()).start(with_metadata(HDR, 1), 90_000)
    assert video_bodies(wire) == [(1000, b"\x90av01"), (1000, b"\xd4av01")]
    video = [event for event in demuxed(wire) if isinstance(event, TracksChanged)][-1].tracks.get(1)
    assert video is not None
    assert video.video_metadata == HDR


def test_a_join_where_the_form_cannot_carry_it_gets_none() -> None:
    tracks = TrackSet((replace(H264, video_metadata=HDR), AUDIO), 1)
    assert FlvPackager(BodyMuxer()).start(tracks, 0) == FlvPackager(BodyMuxer()).start(PLAYED, 0)


@pytest.mark.parametrize(("old", "new"), [(HDR, BRIGHT), (b"", HDR), (HDR, b"")])
def test_a_player_is_told_of_changed_metadata_alone(old: bytes, new: bytes) -> None:
    packager, parts = FlvPackager(BodyMuxer()), Parts()
    size = packager.change(with_metadata(old, 1), with_metadata(new, 2), 90_000, parts)
    wire = b"".join(parts)
    assert size == len(wire)
    assert video_bodies(HEADER + wire) == [(1000, b"\xd4av01")]
    events = demuxed(packager.start(with_metadata(old, 1), 0) + wire)
    video = [event for event in events if isinstance(event, TracksChanged)][-1].tracks.get(1)
    assert video is not None
    assert video.video_metadata == new


def test_each_track_ends_whose_form_has_an_end() -> None:
    packager, parts = FlvPackager(BodyMuxer()), Parts()
    size = packager.end(TrackSet((*PLAYED.tracks, SCRIPT, OPAQUE)), 90_000, parts)
    assert size == sum(map(len, parts))
    assert video_bodies(HEADER + b"".join(parts)) == [(1000, b"\x17\x02\x00\x00\x00")]
    assert demuxed(packager.start(PLAYED, 0) + b"".join(parts))[-1] == TrackEnded(1)


def test_where_no_form_has_an_end_nothing_is_added() -> None:
    assert FlvPackager(BodyMuxer()).end(TrackSet((AUDIO,)), 0, []) == 0


def test_what_flv_cannot_carry_is_left_out() -> None:
    packager, parts = FlvPackager(BodyMuxer()), Parts()
    tracks = TrackSet((*BOTH.tracks, OPAQUE))
    assert packager.package(AccessUnit(4, 0, 0, True, b"x"), tracks, parts) == 0
    assert packager.package(AccessUnit(9, 0, 0, True, b"x"), tracks, parts) == 0
    assert packager.change(BOTH, tracks, 0, parts) == 0
    assert packager.start(tracks, 0) == packager.start(BOTH, 0)
    assert parts == []


@pytest.mark.parametrize("codec", Codec)
def test_what_is_told_to_be_left_out_is_what_flv_does_not_carry(codec: Codec) -> None:
    packager = FlvPackager(BodyMuxer())
    tracks = TrackSet((Track(track_id=9, codec=codec),), 1)
    added = packager.package(AccessUnit(9, 0, 0, True, b"x"), tracks, [])
    assert bool(packager.left_out(tracks)) == (not added)
    assert carries(codec) == bool(added)


def test_script_data_goes_through() -> None:
    body = bytes.fromhex("02 0005 6f6e466f6f".replace(" ", ""))  # AMF0 string "onFoo"
    wire = packaged([AccessUnit(3, 90_000, 0, False, body)], TrackSet((*PLAYED.tracks, SCRIPT)))
    (tag,) = TagReader().feed(HEADER + wire)
    assert (tag.type_id, tag.timestamp_ms, tag.body) == (TAG_SCRIPT, 1000, body)
