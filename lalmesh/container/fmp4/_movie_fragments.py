"""The `moof` box in: where the samples of a fragment lie, and when (ISO/IEC 14496-12 §8.8.4 to §8.8.12)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lalmesh.codec.nalu import RecordReader
from lalmesh.container.fmp4._boxes import children
from lalmesh.container.fmp4._constants import (
    TF_BASE_DATA_OFFSET,
    TF_BASE_IS_MOOF,
    TF_DESCRIPTION_INDEX,
    TF_DURATION,
    TF_FLAGS,
    TF_SIZE,
    TR_CTS,
    TR_DATA_OFFSET,
    TR_DURATION,
    TR_FIRST_FLAGS,
    TR_FLAGS,
    TR_SIZE,
)
from lalmesh.container.fmp4._fragments import MAX_FRAGMENT_SAMPLES
from lalmesh.container.fmp4._movie import Defaults
from lalmesh.errors import LimitExceeded, RemoteProtocolError

_SECTION = "ISO/IEC 14496-12 §8.8"
_MAX_TRUN_HEAD_BYTES = 16  # flags, sample count, data offset, first sample's flags
_ENTRY_FIELDS = (TR_DURATION, TR_SIZE, TR_FLAGS, TR_CTS)  # in the order of an entry, 32 bits each


@dataclass(slots=True)
class SampleRef:
    """One sample of a fragment; one object a sample, so it is not frozen."""

    track_id: int
    dts: int  #: timescale ticks
    cts: int  #: timescale ticks
    duration: int  #: timescale ticks
    flags: int
    start: int  #: offset in the file
    size: int  #: bytes


@dataclass(slots=True)
class _TrackFragment:
    """The `tfhd` box with what `trex` says where it says nothing."""

    track_id: int
    defaults: Defaults
    base: int  #: offset in the file that data offsets count from


class FragmentReader:
    """Read the `moof` boxes of one file; it keeps where each track ends, for fragments without `tfdt`."""

    def __init__(self, defaults: Mapping[int, Defaults]) -> None:
        """Start with the `trex` values by track id; samples of other tracks are left out."""
        self._defaults = defaults
        self._ends: dict[int, int] = {}

    def read(self, body: bytes, moof_start: int) -> list[SampleRef]:
        """The samples of one `moof` box that begins at offset `moof_start` of its file, in the order in which it lists them.

        Raises:
            RemoteProtocolError: malformed.
            LimitExceeded: over `MAX_FRAGMENT_SAMPLES`.
        """
        samples: list[SampleRef] = []
        data_end = moof_start  # where the data of a track begins that says nothing of it
        for kind, traf in children(body):
            if kind == b"traf":
                data_end = self._read_traf(traf, moof_start, data_end, samples)
        return samples

    def _read_traf(self, body: bytes, moof_start: int, data_end: int, samples: list[SampleRef]) -> int:
        boxes = list(children(body))
        head = next((inner for kind, inner in boxes if kind == b"tfhd"), b"")
        fragment = self._parse_tfhd(head, moof_start, data_end)
        time = next((inner for kind, inner in boxes if kind == b"tfdt"), None)
        dts = self._ends.get(fragment.track_id, 0) if time is None else _parse_tfdt(time)
        at = fragment.base
        known = fragment.track_id in self._defaults
        for kind, inner in boxes:
            if kind != b"trun":
                continue
            for sample in _parse_trun(inner, fragment, dts, at, MAX_FRAGMENT_SAMPLES - len(samples)):
                dts, at = sample.dts + sample.duration, sample.start + sample.size
                if known:
                    samples.append(sample)
        if known:
            self._ends[fragment.track_id] = dts
        return at

    def _parse_tfhd(self, body: bytes, moof_start: int, data_end: int) -> _TrackFragment:
        reader = RecordReader(body, "ISO/IEC 14496-12 §8.8.7")
        flags = reader.uint(4) & 0xFF_FFFF
        track_id = reader.uint(4)
        # Without any of the two flags data goes on behind that of the track before (§8.8.7.1).
        base = moof_start if flags & TF_BASE_IS_MOOF else data_end
        if flags & TF_BASE_DATA_OFFSET:
            base = reader.uint(8)
        reader.take(4 if flags & TF_DESCRIPTION_INDEX else 0)
        trex = self._defaults.get(track_id, Defaults())
        defaults = Defaults(
            reader.uint(4) if flags & TF_DURATION else trex.duration,
            reader.uint(4) if flags & TF_SIZE else trex.size,
            reader.uint(4) if flags & TF_FLAGS else trex.flags,
        )
        return _TrackFragment(track_id, defaults, base)


def _parse_tfdt(body: bytes) -> int:
    reader = RecordReader(body, "ISO/IEC 14496-12 §8.8.12")
    version = reader.uint(1)
    reader.take(3)
    return reader.uint(8 if version else 4)


def _parse_trun(body: bytes, fragment: _TrackFragment, dts: int, at: int, limit: int) -> Iterator[SampleRef]:
    """The samples of one run, at most `limit` of them (§8.8.8)."""
    reader = RecordReader(body[:_MAX_TRUN_HEAD_BYTES], "ISO/IEC 14496-12 §8.8.8")
    flags, count = reader.uint(4) & 0xFF_FFFF, reader.uint(4)
    if count > limit:
        raise LimitExceeded("samples of a fragment", count, limit, section=_SECTION)
    if flags & TR_DATA_OFFSET:
        at = fragment.base + _signed(reader.uint(4))
    first_flags = reader.uint(4) if flags & TR_FIRST_FLAGS else None
    head_bytes = min(len(body), _MAX_TRUN_HEAD_BYTES) - reader.bytes_left
    defaults = fragment.defaults
    for index, (duration, size, sample_flags, cts) in enumerate(_entries(body[head_bytes:], flags, count)):
        duration = defaults.duration if duration is None else duration
        size = defaults.size if size is None else size
        if sample_flags is None:
            sample_flags = first_flags if index == 0 and first_flags is not None else defaults.flags
        yield SampleRef(fragment.track_id, dts, _signed(cts or 0), duration, sample_flags, at, size)
        dts, at = dts + duration, at + size


_Entry = tuple[int | None, int | None, int | None, int | None]


def _entries(table: bytes, flags: int, count: int) -> Iterator[_Entry]:
    """Duration, size, flags and composition offset of each sample, None where the run has no such field."""
    present = [bool(flags & field) for field in _ENTRY_FIELDS]
    entry = struct.Struct(f">{sum(present)}I")
    if len(table) < entry.size * count:
        raise RemoteProtocolError(f"{count} entries in {len(table)} bytes", section="ISO/IEC 14496-12 §8.8.8")
    for index in range(count):
        values = iter(entry.unpack_from(table, entry.size * index))
        duration, size, sample_flags, cts = (next(values) if there else None for there in present)
        yield duration, size, sample_flags, cts


def _signed(value: int) -> int:
    """32 bits with a sign. Interop: composition offsets of version 0 have none, but some writers put one there all the same."""
    return value - (1 << 32) if value >> 31 else value
