"""Fuzz: units of any bytes and times, muxed and demuxed."""

import atheris
from fuzz._harness import fuzz

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.codec import build_track
    from lalmesh.container.mpegts import PACKET_BYTES, TsDemuxer, TsMuxer
    from lalmesh.media import AccessUnit, Codec, TrackSet

VIDEO = build_track(1, Codec.H264)
AUDIO = [
    build_track(2, Codec.AAC, bytes.fromhex("1190")),
    build_track(2, Codec.MP3, sample_rate_hz=44_100, channels=2),
    build_track(2, Codec.EAC3, sample_rate_hz=48_000, channels=2),
    build_track(2, Codec.OPUS),
]
UNIT_HEAD = 6  # track and flags, step of the time, composition time, size


def target(data: bytes) -> None:
    provider = atheris.FuzzedDataProvider(data)
    tracks = TrackSet((VIDEO, AUDIO[provider.ConsumeIntInRange(0, len(AUDIO) - 1)]))
    muxer, demuxer, dts = TsMuxer(), TsDemuxer(), 0
    while provider.remaining_bytes() > UNIT_HEAD:
        flags = provider.ConsumeIntInRange(0, 255)
        dts += provider.ConsumeInt(2) << (flags >> 4)
        payload = provider.ConsumeBytes(provider.ConsumeIntInRange(0, 600))
        unit = AccessUnit(1 + (flags & 1), dts, provider.ConsumeInt(1), bool(flags & 2), payload)
        parts: list[bytes | memoryview] = []
        added = muxer.mux(unit, tracks, parts)
        wire = b"".join(parts)
        assert added == len(wire)
        assert added % PACKET_BYTES == 0
        list(demuxer.feed(wire))
    list(demuxer.flush())
    assert demuxer.counters.continuity_gaps == 0
    assert demuxer.counters.lost_bytes == 0


fuzz(target)
