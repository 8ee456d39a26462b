"""Tracks and access units to be muxed: out of the captures, and made up."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lalmesh.codec import build_track
from lalmesh.container.flv import BodyDemuxer, TagReader
from lalmesh.container.mpegts import TsMuxer
from lalmesh.media import TICKS_PER_SECOND, AccessUnit, Codec, Kind, Track, TrackSet

CAPTURES = Path(__file__).resolve().parents[1] / "captures" / "flv"

#: the sequence headers that ffmpeg 9 writes for ``-f lavfi -i testsrc=size=64x48:rate=25 -c:v libx264``, and AAC at 48 kHz
AVCC = bytes.fromhex("0164000affe100186764000aacd9447b011000000300100000030320f122596001000668ebe3cb22c0fdf8f800")
AAC_48K = bytes.fromhex("1190")

VIDEO = build_track(1, Codec.H264, AVCC)
AUDIO = build_track(2, Codec.AAC, AAC_48K)
BOTH = TrackSet((VIDEO, AUDIO))
AUDIO_ONLY = TrackSet((AUDIO,))
VIDEO_ONLY = TrackSet((VIDEO,))
AAC_TICKS = 1920  #: an AAC frame at 48 kHz
PICTURE_TICKS = 3600  #: a picture at 25 a second


def captured(name: str) -> tuple[TrackSet, list[AccessUnit]]:
    """The audio and video units of a capture, and its tracks."""
    demuxer, units = BodyDemuxer(), list[AccessUnit]()
    for tag in TagReader().feed((CAPTURES / f"{name}.flv").read_bytes()):
        events = demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body)
        units += [event for event in events if isinstance(event, AccessUnit)]
    tracks = tuple(track for track in demuxer.tracks.tracks if track.kind is not Kind.DATA)
    ids = {track.track_id for track in tracks}
    return TrackSet(tracks), [unit for unit in units if unit.track_id in ids]


def picture(dts: int, *, key: bool = False, cts: int = 0, size: int = 300) -> AccessUnit:
    """An H.264 picture of one slice with `size` bytes."""
    nalu = bytes((0x65 if key else 0x41,)) + b"\x9a" * (size - 1)
    return AccessUnit(1, dts, cts, key, len(nalu).to_bytes(4, "big") + nalu)


def sound(dts: int, *, track_id: int = 2, size: int = 90) -> AccessUnit:
    """An audio frame of `size` bytes."""
    return AccessUnit(track_id, dts, 0, True, b"\x21" * size)


def sounds(start: int, seconds: float, step: int = AAC_TICKS) -> list[AccessUnit]:
    """Audio frames one after the other."""
    return [sound(dts) for dts in range(start, start + int(seconds * TICKS_PER_SECOND), step)]


def pictures(start: int, seconds: float, *, step: int = PICTURE_TICKS, gop: int = 25) -> list[AccessUnit]:
    """Pictures one after the other, each `gop`-th a key picture."""
    times = range(start, start + int(seconds * TICKS_PER_SECOND), step)
    return [picture(dts, key=number % gop == 0) for number, dts in enumerate(times)]


def in_order(*runs: Iterable[AccessUnit]) -> list[AccessUnit]:
    """All units by their decoding times."""
    return sorted((unit for run in runs for unit in run), key=lambda unit: unit.dts)


def muxed(units: Iterable[AccessUnit], tracks: TrackSet, muxer: TsMuxer | None = None) -> bytes:
    """The transport stream of `units`."""
    muxer, parts = muxer or TsMuxer(), list[bytes | memoryview]()
    for unit in units:
        before = sum(map(len, parts))
        added = muxer.mux(unit, tracks, parts)
        assert added == sum(map(len, parts)) - before
    return b"".join(parts)


def track(codec: Codec, configuration: bytes = b"", *, track_id: int = 2, rate: int = 48_000, channels: int = 2) -> Track:
    """A track of any codec."""
    return build_track(track_id, codec, configuration, sample_rate_hz=rate, channels=channels)
