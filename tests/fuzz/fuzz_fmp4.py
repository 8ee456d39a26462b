"""Fuzz: fragmented MP4, split in two and behind a good init segment or not; its units muxed again, and the file mended."""

import atheris
from fuzz._harness import fuzz, halves

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.codec import build_track
    from lalmesh.container.fmp4 import Fmp4Demuxer, FragmentBuilder, fragment, init_segment, recover_file
    from lalmesh.media import AccessUnit, Codec, TracksChanged, TrackSet

RECORD = bytes.fromhex("0164000affe100186764000aacd9447b011000000300100000030320f122596001000668ebe3cb22c0fdf8f800")
INIT = init_segment(TrackSet((build_track(1, Codec.H264, RECORD), build_track(2, Codec.AAC, bytes.fromhex("119056e500")))))


def target(data: bytes) -> None:
    if data[:1] == b"\0":
        data = INIT + data[1:]
    demuxer, builder, tracks = Fmp4Demuxer(), FragmentBuilder(), TrackSet()
    for part in halves(data):
        for event in demuxer.feed(part):
            match event:
                case TracksChanged():
                    builder.take()
                    tracks = event.tracks
                    init_segment(tracks)
                case AccessUnit() if 0 <= event.dts < 1 << 62:
                    builder.add(event, tracks)
                    fragment(1, builder.take(), tracks)
                case _:
                    pass
    recover_file(lambda at, size: data[at : at + size], len(data))


fuzz(target)
