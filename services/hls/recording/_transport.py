"""MPEG-TS recordings: nothing completes them, and a cut one ends at its last whole packet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from lalmesh.container.mpegts import PACKET_BYTES, TsMuxer
from lalmesh.media import AccessUnit, TrackSet, ticks_to_ms
from services.hls.recording._events import Completion, Parts, Restored

ReadAt: TypeAlias = Callable[[int, int], bytes]  #: offset, count -> at most so many bytes

WINDOW_PACKETS = 8192  #: at either end that is looked through for times: 1.5 MB, half a second of 25 Mbit/s

_SYNC = 0x47
_WRAP = 1 << 33
_PTS, _PTS_AND_DTS = 0b10, 0b11


class TsFile:
    """MPEG-TS: packets as they come."""

    def __init__(self, tracks: TrackSet) -> None:
        """Write `tracks`, each of which a transport stream carries."""
        self._tracks = tracks
        self._muxer = TsMuxer()

    def open(self) -> bytes:
        """See `FileMuxer.open`."""
        return b""

    def add(self, unit: AccessUnit, parts: Parts) -> int:
        """See `FileMuxer.add`."""
        return self._muxer.mux(unit, self._tracks, parts)

    def finish(self, duration_ticks: int) -> Completion:
        """See `FileMuxer.finish`."""
        return Completion()


def restore_ts(read: ReadAt, size: int) -> Restored:
    """Where the last whole packet of a file of `size` bytes ends, and how long it lasts, as far as its two ends tell.

    What never reached the disk after a loss of power reads as zeros, and is no packet.

    Source: ISO/IEC 13818-1 §2.4.3.2, §2.4.3.6
    """
    end = _whole(read, size)
    head = _Times(read, 0, min(end, WINDOW_PACKETS * PACKET_BYTES))
    if not head.first:
        return Restored(0, 0, Completion())
    start = min(head.first.values())
    ends = _last_times(read, end).ends()
    return Restored(end, ticks_to_ms(max((last - start) % _WRAP + step for last, step in ends)), Completion())


def _whole(read: ReadAt, size: int) -> int:
    end = size // PACKET_BYTES * PACKET_BYTES
    while end:
        start = max(0, end - WINDOW_PACKETS * PACKET_BYTES)
        data = read(start, end - start)
        for at in range(len(data) - PACKET_BYTES, -1, -PACKET_BYTES):
            if data[at] == _SYNC:
                return start + at + PACKET_BYTES
        end = start
    return 0


def _last_times(read: ReadAt, end: int) -> _Times:
    """Those of the last window that tells any: one large picture may be longer than a window."""
    times = _Times(read, max(0, end - WINDOW_PACKETS * PACKET_BYTES), end)
    while not times.first and end:
        end = max(0, end - WINDOW_PACKETS * PACKET_BYTES)
        times = _Times(read, max(0, end - WINDOW_PACKETS * PACKET_BYTES), end)
    return times


@dataclass(slots=True)
class _Stream:
    """One elementary stream in a window."""

    last: int
    step: int = 0


class _Times:
    """The first and the last decoding times of each PID in a window."""

    def __init__(self, read: ReadAt, start: int, end: int) -> None:
        self.first: dict[int, int] = {}
        self._streams: dict[int, _Stream] = {}
        for pid, dts in _decoding_times(read(start, end - start)):
            self.first.setdefault(pid, dts)
            stream = self._streams.get(pid)
            if stream is None:
                self._streams[pid] = _Stream(dts)
            else:
                stream.step, stream.last = (dts - stream.last) % _WRAP, dts

    def ends(self) -> list[tuple[int, int]]:
        """The last time of each PID, and how far it lies behind the one before."""
        return [(stream.last, stream.step) for stream in self._streams.values()]


def _decoding_times(data: bytes) -> Iterator[tuple[int, int]]:
    for at in range(0, len(data) - PACKET_BYTES + 1, PACKET_BYTES):
        if data[at] != _SYNC or not data[at + 1] & 0x40:  # payload_unit_start_indicator
            continue
        pid = (data[at + 1] & 0x1F) << 8 | data[at + 2]
        control = data[at + 3] >> 4 & 0x03
        begin = at + 4 + (1 + data[at + 4] if control & 0x02 else 0)
        dts = _decoding_time(data[begin : at + PACKET_BYTES]) if control & 0x01 else None
        if dts is not None:
            yield pid, dts


def _decoding_time(pes: bytes) -> int | None:
    """The DTS, else the PTS, of the PES packet that begins here; None where it says none."""
    if len(pes) < 14 or pes[:3] != b"\0\0\1":
        return None
    said = pes[7] >> 6
    if said == _PTS:
        return _timestamp(pes[9:14])
    return _timestamp(pes[14:19]) if said == _PTS_AND_DTS and len(pes) >= 19 else None


def _timestamp(field: bytes) -> int:
    """33 bits in five bytes, with a marker bit behind each part."""
    return (field[0] >> 1 & 0x07) << 30 | field[1] << 22 | field[2] >> 1 << 15 | field[3] << 7 | field[4] >> 1
