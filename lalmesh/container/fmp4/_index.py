"""The end of a recording: where random access points are, so that players can seek (ISO/IEC 14496-12 §8.8.9 to §8.8.11)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lalmesh.container.fmp4._boxes import box, full_box

_ENTRY = struct.Struct(">QQBBI")  # time, moof offset, traf number, trun number, sample number
_LENGTHS = 0b00_00_11  # one byte for traf and trun numbers, four for sample numbers
_TFRA = struct.Struct(">III")
_MFRO_BYTES = 16
_MAX_NUMBER = 0xFF


@dataclass(slots=True, frozen=True)
class RandomAccessEntry:
    """One random access point of a file."""

    track_id: int
    time: int  #: presentation time on the time line of the file, ticks
    moof_offset: int  #: bytes from the start of the file to its `moof`
    traf_number: int = 1  #: which `traf` of the `moof`, from 1
    sample_number: int = 1  #: which sample of its `trun`, from 1


def mfra(entries: Iterable[RandomAccessEntry]) -> bytes:
    """The last box of a file: one `tfra` a track, and `mfro`, by which a reader finds it from the end (§8.8.9).

    Args:
        entries: of all tracks, in the order of their times; empty: no box.
    Source: ISO/IEC 14496-12 §8.8.9, §8.8.10, §8.8.11
    """
    by_track: dict[int, list[RandomAccessEntry]] = {}
    for entry in entries:
        if entry.traf_number <= _MAX_NUMBER:
            by_track.setdefault(entry.track_id, []).append(entry)
    if not by_track:
        return b""
    tables = [_tfra(track_id, found) for track_id, found in by_track.items()]
    size = 8 + sum(map(len, tables)) + _MFRO_BYTES
    return box(b"mfra", *tables, full_box(b"mfro", 0, 0, size.to_bytes(4, "big")))


def _tfra(track_id: int, entries: Sequence[RandomAccessEntry]) -> bytes:
    rows = (_ENTRY.pack(one.time, one.moof_offset, one.traf_number, 1, one.sample_number) for one in entries)
    return full_box(b"tfra", 1, 0, _TFRA.pack(track_id, _LENGTHS, len(entries)), *rows)
