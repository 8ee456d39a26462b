"""Decoding times of what real encoders make of B-frames, with and without loss on the way."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest
from support import ffmpeg

from lalmesh.codec.nalu import split_avcc
from lalmesh.container.flv import BodyDemuxer, TagReader
from lalmesh.media import AccessUnit, Kind, Track
from lalmesh.protocol.rtp import (
    SenderIdentity,
    Timeline,
    TrackReceiver,
    TrackSender,
    WallClock,
    build_depacketizer,
    build_packetizer,
    format_of,
)

SOURCE = ("-f", "lavfi", "-i", "testsrc2=s=320x180:r=30,noise=alls=30:allf=t", "-t", "3")
X264 = ("-c:v", "libx264", "-preset", "medium", "-pix_fmt", "yuv420p", "-g", "30")
X265 = ("-c:v", "libx265", "-preset", "fast", "-pix_fmt", "yuv420p")
VARIABLE = ("-vf", r"select=gt(random(1)\,0.4)", "-fps_mode", "vfr")
ENCODERS = {
    "adaptive": (*X264, "-bf", "3", "-b_strategy", "2"),
    "pyramid": (*X264, "-bf", "8", "-b_strategy", "0", "-x264-params", "b-pyramid=normal:ref=8"),
    "open gop": (*X264, "-bf", "3", "-x264-params", "open-gop=1"),
    "bottom field first": (*X264, "-bf", "3", "-flags", "+ildct+ilme", "-x264-params", "bff=1"),
    "intra refresh": (*X264, "-bf", "2", "-x264-params", "intra-refresh=1"),
    "variable rate": (*VARIABLE, *X264, "-bf", "3"),
    "no b-frames": (*X264, "-bf", "0"),
    "h265": (*X265, "-x265-params", "log-level=error:bframes=8:b-adapt=0:keyint=30"),
    "h265 leading": (*X265, "-x265-params", "log-level=error:bframes=4:keyint=30:radl=2:open-gop=0"),
    "h265 variable rate": (*VARIABLE, *X265, "-x265-params", "log-level=error:bframes=4:keyint=30"),
}


def encoded(options: tuple[str, ...], folder: Path) -> tuple[Track, list[AccessUnit]]:
    """The track and the pictures that an encoder makes, with its own decoding times."""
    file = folder / "encoded.flv"
    ffmpeg.run(*SOURCE, *options, "-f", "flv", file, limit_s=60)
    demuxer, units = BodyDemuxer(), list[AccessUnit]()
    for tag in TagReader().feed(file.read_bytes()):
        units += [event for event in demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body) if isinstance(event, AccessUnit)]
    track = demuxer.tracks.first(Kind.VIDEO)
    assert track is not None
    return track, [unit for unit in units if unit.track_id == track.track_id]


def received(track: Track, units: list[AccessUnit], lost: float) -> tuple[TrackReceiver, list[AccessUnit]]:
    """What arrives, a share of `lost` of all packets missing."""
    chance = random.Random(7)
    told = format_of(track)
    identity = SenderIdentity(ssrc=1, payload_type=96, clock_rate_hz=90_000, first_sequence_number=65_500, timestamp_offset=5)
    sender = TrackSender(build_packetizer(track), identity, WallClock())
    clock = Timeline().add(90_000, leads=True)
    receiver = TrackReceiver(build_depacketizer(track.track_id, told), clock, payload_type=96, clock_rate_hz=90_000)
    got = list[AccessUnit]()
    for index, unit in enumerate(units):
        now_us = unit.dts * 100 // 9
        for packet in sender.send(unit):
            if not index or chance.random() >= lost:
                got += [event for event in receiver.receive(packet, now_us) if isinstance(event, AccessUnit)]
    return receiver, got + [event for event in receiver.flush(10**9) if isinstance(event, AccessUnit)]


def slice_of(unit: AccessUnit) -> bytes:
    """What tells a picture: SEI before it may be lost, and nobody can tell that it was there."""
    return split_avcc(unit.payload)[-1]


@pytest.mark.parametrize("name", ENCODERS)
def test_decoding_times_are_as_good_as_those_of_the_encoder(name: str, tmp_path: Path) -> None:
    track, sent = encoded(ENCODERS[name], tmp_path)
    receiver, got = received(track, sent, 0)
    assert [unit.payload for unit in got] == [unit.payload for unit in sent]
    assert len({two.pts - one.pts for one, two in zip(sent, got, strict=True)}) == 1
    assert all(one.dts < two.dts <= two.pts for one, two in pairwise(got))
    assert max(unit.cts for unit in got) <= max(unit.cts for unit in sent)
    assert (receiver.times.dropped, receiver.times.mended) == (0, 0)
    assert name != "no b-frames" or not any(unit.cts for unit in got)

    receiver, got = received(track, sent, 0.02)
    pts = {slice_of(unit): unit.pts for unit in sent}
    assert 0 < len(got) < len(sent)
    assert len({unit.pts - pts[slice_of(unit)] for unit in got}) == 1
    assert all(one.dts < two.dts <= two.pts for one, two in pairwise(got))
    assert receiver.times.dropped <= len(sent) // 50
