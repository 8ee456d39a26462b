"""Fuzz: a transport stream behind its tables, split in two, demuxed and muxed again."""

import atheris
from fuzz._harness import fuzz, halves

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.container.mpegts import PACKET_BYTES, TsDemuxer, TsMuxer
    from lalmesh.container.mpegts._packets import table_packet
    from lalmesh.container.mpegts._psi import Section, StreamInfo, pat_body, pmt_body
    from lalmesh.media import AccessUnit, TracksChanged, TrackSet

OPUS = ((5, b"Opus"), (0x7F, b"\x80\x02"))
PES_HEAD = bytes.fromhex("000001e0 0000 80 80 05 2100010001")
CHUNK = 169  # with the head it fits one packet
AUDIO_TYPES = [(0x0F, ()), (0x03, ()), (0x81, ()), (0x06, OPUS)]


def tables(choice: int) -> bytes:
    """PAT and PMT of H.264 or H.265 and one audio codec."""
    audio_type, descriptors = AUDIO_TYPES[choice >> 1 & 3]
    streams = [StreamInfo(0x31, 0x24 if choice & 1 else 0x1B), StreamInfo(0x32, audio_type, descriptors)]
    pat = Section(0, 1, 0, True, pat_body([(1, 0x20)])).serialize()
    pmt = Section(2, 1, 0, True, pmt_body(0x31, streams)).serialize()
    return table_packet(0, 0, pat) + table_packet(0x20, 0, pmt)


def packed(choice: int, data: bytes) -> bytes:
    """Packets on the PIDs of the program: the first byte of each says where it goes, and whether a PES packet begins in it."""
    out, counters = [], {0x31: 0, 0x32: 0}
    for at in range(0, len(data), CHUNK):
        piece = data[at : at + CHUNK]
        pid, starts = 0x31 + (piece[0] >> 7), piece[0] & 1
        body = (PES_HEAD if starts else b"") + piece[1:]
        stuffing = 183 - len(body)  # less the length byte of the adaptation field
        field = bytes((stuffing,)) + (b"\x00" + b"\xff" * (stuffing - 1) if stuffing else b"")
        out.append(bytes((0x47, starts << 6, pid, 0x30 | counters[pid])) + field + body)
        counters[pid] = (counters[pid] + 1) % 16
    return tables(choice) + b"".join(out)


def target(data: bytes) -> None:
    choice = data[0] if data else 0
    wire = data[1:] if choice & 0x80 else packed(choice, data[1:])
    demuxer, muxer, tracks = TsDemuxer(), TsMuxer(), TrackSet()
    for part in (*halves(wire), b""):
        for event in [*demuxer.feed(part), *(() if part else demuxer.flush())]:
            if isinstance(event, TracksChanged):
                tracks = event.tracks
            elif isinstance(event, AccessUnit):
                parts: list[bytes | memoryview] = []
                assert muxer.mux(event, tracks, parts) % PACKET_BYTES == 0


fuzz(target)
