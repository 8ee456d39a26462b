"""Fuzz: what is inside the boxes of fragmented MP4: sample entries, tracks, fragments behind a good init segment."""

import atheris
from fuzz._harness import fuzz

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.codec import build_track
    from lalmesh.container.fmp4 import Fmp4Demuxer, init_segment
    from lalmesh.container.fmp4._boxes import box, children
    from lalmesh.container.fmp4._descriptors import parse_esds
    from lalmesh.container.fmp4._movie import parse_movie
    from lalmesh.container.fmp4._parse_entries import parse_entry
    from lalmesh.media import Codec, MediaCounters, TrackSet

RECORD = bytes.fromhex("0164000affe100186764000aacd9447b011000000300100000030320f122596001000668ebe3cb22c0fdf8f800")
INIT = init_segment(TrackSet((build_track(1, Codec.H264, RECORD), build_track(2, Codec.AAC, bytes.fromhex("119056e500")))))
MOVIE = dict(children(INIT))[b"moov"]
ENTRIES = {
    b"avc1": b"avcC",
    b"hvc1": b"hvcC",
    b"av01": b"av1C",
    b"vp09": b"vpcC",
    b"mp4a": b"esds",
    b"Opus": b"dOps",
    b"fLaC": b"dfLa",
    b"ac-3": b"dac3",
    b"ec-3": b"dec3",
}


def target(data: bytes) -> None:
    if len(data) < 3:
        return
    mode, choice, data = data[0] % 5, data[1], data[2:]
    match mode:
        case 0:
            kind, inner = list(ENTRIES.items())[choice % len(ENTRIES)]
            fields = 78 if inner[3:] == b"C" else 28
            track = parse_entry(1, kind, bytes(fields) + box(inner, data)).track
            init_segment(TrackSet((track,)))
        case 1:
            parse_esds(data)
        case 2:
            at = choice * len(MOVIE) // 256
            parse_movie(MOVIE[:at] + data + MOVIE[at + len(data) :], MediaCounters())
        case 3:
            head = box(b"tfhd", bytes((0, choice >> 7, 0, choice & 0x3B, 0, 0, 0, 1)) + data[:20])
            traf = box(b"traf", head, box(b"tfdt", data[20:32]), box(b"trun", data[32:]))
            list(Fmp4Demuxer().feed(INIT + box(b"moof", traf) + box(b"mdat", data)))
        case _:
            list(Fmp4Demuxer().feed(INIT + box(b"moof", data) + box(b"mdat", data)))


fuzz(target)
