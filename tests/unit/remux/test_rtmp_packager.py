"""RTMP to players: shared chunks of which any message may be the first."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.edge_fakes import AUDIO

from lalmesh.codec import build_track
from lalmesh.container.flv import BodyDemuxer, BodyMuxer
from lalmesh.media import AccessUnit, Codec, MediaEvent, TrackSet
from lalmesh.protocol.rtmp import ChunkReader
from lalmesh.remux import Parts, RtmpPackager

# of ffmpeg's libx264, 176 x 144
H264 = build_track(
    1, Codec.H264, bytes.fromhex("01640009ffe1001867640009acd94626c044000003000400000300783c48965801000468efbcb0fdf8f800")
)
TRACKS = TrackSet((H264, AUDIO), 1)
_TIMES = st.integers(0, (1 << 32) - 1).map(lambda ms: ms * 90)
_SOUND = st.builds(AccessUnit, st.just(2), _TIMES, st.just(0), st.just(True), st.binary(min_size=1, max_size=600))


def picture(dts: int, key: bool, data: bytes) -> AccessUnit:
    """One NALU with its length: an IDR slice or another."""
    nalu = (b"\x65" if key else b"\x41") + data
    return AccessUnit(1, dts, 0, key, len(nalu).to_bytes(4, "big") + nalu)


UNITS = st.lists(st.builds(picture, _TIMES, st.booleans(), st.binary(max_size=600)) | _SOUND, min_size=1, max_size=6)
Got = list[tuple[int, int, bool, bytes]]


def packager(chunk_size: int = 128) -> RtmpPackager:
    return RtmpPackager(BodyMuxer(), chunk_size=chunk_size)


def messages(units: list[AccessUnit], chunk_size: int = 128) -> list[bytes]:
    """The wire bytes of each unit."""
    made, wires = packager(chunk_size), []
    for unit in units:
        parts = Parts()
        assert made.package(unit, TRACKS, parts) == sum(map(len, parts))
        wires.append(b"".join(parts))
    return wires


def read(wire: bytes, chunk_size: int = 128) -> Got:
    reader, demuxer = ChunkReader(), BodyDemuxer()
    reader.chunk_size = chunk_size
    events: list[MediaEvent] = []
    for message in reader.feed(packager(chunk_size).start(TRACKS, 0) + wire):
        assert message.stream_id == 1
        events += demuxer.demux(message.type_id, message.timestamp_ms, message.payload)
    return seen(event for event in events if isinstance(event, AccessUnit))


def seen(units: Iterable[AccessUnit]) -> Got:
    return [(unit.track_id, unit.dts % (90 << 32), unit.random_access, unit.payload) for unit in units]


@given(UNITS, st.sampled_from([1, 128, 60_000]))
def test_what_is_packaged_reads_back(units: list[AccessUnit], chunk_size: int) -> None:
    assert read(b"".join(messages(units, chunk_size)), chunk_size) == seen(units)


@given(UNITS, st.data())
def test_any_message_may_be_the_first_and_any_may_be_left_out(units: list[AccessUnit], data: st.DataObject) -> None:
    kept = data.draw(st.lists(st.booleans(), min_size=len(units), max_size=len(units)))
    wires = messages(units)
    wire = b"".join(wire for wire, keep in zip(wires, kept, strict=True) if keep)
    assert read(wire) == seen([unit for unit, keep in zip(units, kept, strict=True) if keep])


@pytest.mark.parametrize("ms", [0xFFFFFE, 0xFFFFFF, 0x1000000, 0xFFFFFFFF])
def test_times_over_24_bits_are_extended_on_every_chunk(ms: int) -> None:
    (wire,) = messages([AccessUnit(2, ms * 90, 0, True, bytes(300))])
    extended = ms >= 0xFFFFFF
    headers = 12 + 2 + (3 * 4 if extended else 0)  # fmt 0, two times fmt 3, three extended timestamps (RTMP 1.0 §5.3.1.3)
    assert len(wire) == headers + 2 + 300
    assert read(wire) == [(2, ms * 90, True, bytes(300))]


def test_a_time_of_over_32_bits_wraps() -> None:
    (wire,) = messages([AccessUnit(2, ((1 << 32) + 5) * 90, 0, True, b"a")])
    assert read(wire) == [(2, 5 * 90, True, b"a")]


def test_a_player_gets_metadata_and_configurations_first() -> None:
    reader = ChunkReader()
    reader.chunk_size = 128
    got = list(reader.feed(packager().start(TRACKS, 90_000)))
    assert [(message.type_id, message.timestamp_ms, message.stream_id) for message in got] == [
        (18, 0, 1),
        (9, 1000, 1),
        (8, 1000, 1),
    ]


def test_messages_begin_with_fmt_0_on_fixed_chunk_streams_and_go_on_with_fmt_3() -> None:
    video, audio = messages([AccessUnit(1, 0, 0, True, bytes(200)), AccessUnit(2, 0, 0, True, b"a")])
    assert (video[0], video[12 + 128], audio[0]) == (7, 3 << 6 | 7, 6)
