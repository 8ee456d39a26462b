"""Fragments: one `moof` and its `mdat`, for the samples of all tracks together (ISO/IEC 14496-12 §8.8.4 to §8.8.12, §8.1.1)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lalmesh.container.fmp4._boxes import HEADER_BYTES, box
from lalmesh.container.fmp4._carried import carried_tracks, is_carried
from lalmesh.container.fmp4._constants import (
    NON_SYNC_FLAGS,
    SYNC_FLAGS,
    TF_BASE_IS_MOOF,
    TR_CTS,
    TR_DATA_OFFSET,
    TR_DURATION,
    TR_FLAGS,
    TR_SIZE,
)
from lalmesh.errors import LocalProtocolError
from lalmesh.media import TICKS_PER_SECOND, AccessUnit, TrackSet

#: ticks that decode times are moved by, since `tfdt` cannot say the negative ones that a clock that was mended may give
TIME_OFFSET = 10 * TICKS_PER_SECOND
MAX_FRAGMENT_BYTES = 256 << 20  #: payloads of one fragment: 20 s of 100 Mbit/s; the fields would hold 2 GiB
MAX_FRAGMENT_SAMPLES = 1 << 16  #: of one fragment: a minute of video and of the shortest audio frames stays below

_VERSION_1 = 1 << 24
_TRUN_FLAGS = _VERSION_1 | TR_DATA_OFFSET | TR_DURATION | TR_SIZE | TR_FLAGS | TR_CTS  # version 1: composition offsets have a sign
_MOOF = struct.Struct(">I4sI4sII")  # moof; mfhd with its sequence number
_TRAF = struct.Struct(">I4sI4sIII4sIQI4sIIi")  # traf; tfhd with its track; tfdt with its time; trun up to its entries
_ENTRY = struct.Struct(">IIIi")  # duration, size, flags, composition offset
_MDAT = struct.Struct(">I4s")
_MFHD_BYTES, _TFHD_BYTES, _TFDT_BYTES, _TRUN_BYTES = 16, 16, 20, 20
#: a segment that follows an init segment (ISO/IEC 23009-1 §6.3.4.2); of CMAF where it has one track (23000-19 §7.3.3)
_STYP_OF_ONE, _STYP = (box(b"styp", b"msdh", bytes(4), b"msdh", *brands) for brands in ([b"cmfc"], []))


@dataclass(slots=True)
class Sample:
    """One unit of a track, and how long it lasts. Not to be changed once a fragment is made of it."""

    unit: AccessUnit
    duration: int  #: ticks, 0 to 2**32 - 1


def fragment(
    sequence_number: int, samples: Sequence[Sample], tracks: TrackSet, *, styp: bool = False, time_offset: int = TIME_OFFSET
) -> list[bytes | memoryview]:
    """One `moof` and its `mdat`, in pieces: first all headers, then the payloads, which are not copied.

    Each track has one `traf`, and its samples lie together. Where the times of a track step, so that a sample does not begin where
    the one before ends, the track gets one more `traf`, whose `tfdt` says where it goes on. Payloads go out as they came: temporal
    delimiters of AV1 stay in, which the binding would rather have left out and every decoder takes (AV1-ISOBMFF §2.4).

    Args:
        sequence_number: of the fragment, rising; its low 32 bits go out.
        samples: in decoding order of each track, at most `MAX_FRAGMENT_SAMPLES` with `MAX_FRAGMENT_BYTES`; those of tracks that
            are not carried are left out, and of none there is no fragment, but an empty list.
        tracks: what the samples belong to.
        styp: begin with a `styp` box, as a segment or part that is a resource of its own does.
        time_offset: ticks that are added to all decode times.

    Raises:
        LocalProtocolError: a decode time is negative even so, a time has no room in its field, or the payloads are over the bound.
    Source: ISO/IEC 14496-12 §8.8; ISO/IEC 23000-19 §7.3.2
    """
    runs = _runs(samples, tracks)
    if not runs:
        return []
    sizes = [sum(len(sample.unit.payload) for sample in run) for run in runs]
    total = sum(sizes)
    if total > MAX_FRAGMENT_BYTES:
        raise LocalProtocolError(f"fragment of {total} bytes, limit {MAX_FRAGMENT_BYTES}")
    moof_bytes = HEADER_BYTES + _MFHD_BYTES + sum(_traf_bytes(run) for run in runs)
    head = [_STYP_OF_ONE if len(carried_tracks(tracks)) == 1 else _STYP] if styp else []
    head.append(_MOOF.pack(moof_bytes, b"moof", _MFHD_BYTES, b"mfhd", 0, sequence_number & 0xFFFF_FFFF))
    data_offset = moof_bytes + _MDAT.size
    try:
        for run, size in zip(runs, sizes, strict=True):
            _append_traf(head, run, data_offset, time_offset)
            data_offset += size
    except struct.error as error:
        raise LocalProtocolError(f"a time has no room in its field: {error}", section="ISO/IEC 14496-12 §8.8") from error
    head.append(_MDAT.pack(_MDAT.size + total, b"mdat"))
    return [b"".join(head), *(sample.unit.payload for run in runs for sample in run)]


def _runs(samples: Sequence[Sample], tracks: TrackSet) -> list[Sequence[Sample]]:
    """The samples of each carried track, apart where its times step."""
    if len(samples) == 1:  # what a packager sends, some thousand times a second
        track = tracks.get(samples[0].unit.track_id)
        return [samples] if track is not None and is_carried(track) else []
    return [run for track in tracks.tracks if is_carried(track) for run in _runs_of(track.track_id, samples)]


def _runs_of(track_id: int, samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    run: list[Sample] = []
    end = 0
    for sample in samples:
        if sample.unit.track_id != track_id:
            continue
        if run and sample.unit.dts != end:
            yield run
            run = []
        run.append(sample)
        end = sample.unit.dts + sample.duration
    if run:
        yield run


def _traf_bytes(run: Sequence[Sample]) -> int:
    return HEADER_BYTES + _TFHD_BYTES + _TFDT_BYTES + _TRUN_BYTES + _ENTRY.size * len(run)


def _append_traf(head: list[bytes], run: Sequence[Sample], data_offset: int, time_offset: int) -> None:
    first = run[0].unit
    entries_bytes = _ENTRY.size * len(run)
    head.append(
        _TRAF.pack(
            *(_traf_bytes(run), b"traf"),
            *(_TFHD_BYTES, b"tfhd", TF_BASE_IS_MOOF, first.track_id),
            *(_TFDT_BYTES, b"tfdt", _VERSION_1, first.dts + time_offset),
            *(_TRUN_BYTES + entries_bytes, b"trun", _TRUN_FLAGS, len(run), data_offset),
        )
    )
    for sample in run:
        unit = sample.unit
        head.append(_ENTRY.pack(sample.duration, len(unit.payload), SYNC_FLAGS if unit.random_access else NON_SYNC_FLAGS, unit.cts))
