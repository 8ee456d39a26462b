"""What a recording can be written as: one entry a format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lalmesh.container import flv, fmp4, mpegts
from lalmesh.media import AccessUnit, Track, TrackSet, ticks_to_ms
from services.hls.recording._events import Completion, Parts, Restored
from services.hls.recording._fragmented import Mp4File, restore_mp4
from services.hls.recording._rules import RecordFormat
from services.hls.recording._transport import TsFile, restore_ts


class FileMuxer(Protocol):
    """Makes the bytes of one file of fixed tracks, whose times start at 0."""

    def open(self) -> bytes:
        """What the file begins with."""
        ...

    def add(self, unit: AccessUnit, parts: Parts) -> int:
        """Add to `parts` what a unit lets be written. Gives the bytes added; 0 where none can be yet, or it is of no track."""
        ...

    def finish(self, duration_ticks: int) -> Completion:
        """What completes the file."""
        ...


class FlvFile:
    """FLV: a tag a unit; duration and keyframe index at the end."""

    def __init__(self, tracks: TrackSet) -> None:
        """Write `tracks`, each of which FLV carries."""
        self._recording = flv.FlvRecording(tracks)

    def open(self) -> bytes:
        """See `FileMuxer.open`."""
        return self._recording.open()

    def add(self, unit: AccessUnit, parts: Parts) -> int:
        """See `FileMuxer.add`."""
        return self._recording.add(unit, parts)

    def finish(self, duration_ticks: int) -> Completion:
        """See `FileMuxer.finish`."""
        return Completion(patch=self._recording.finish(ticks_to_ms(duration_ticks)))


def restore_flv(read: Callable[[int, int], bytes], size: int) -> Restored:
    """Where the last whole tag of a file of `size` bytes ends, and what completes it."""
    found = flv.restore_flv(read, size)
    return Restored(found.end, found.duration_ms, Completion(patch=found.patch))


@dataclass(slots=True, frozen=True)
class Format:
    """How files of one format are made, and made whole."""

    carries: Callable[[Track], bool]
    make: Callable[[TrackSet], FileMuxer]
    restore: Callable[[Callable[[int, int], bytes], int], Restored]  #: of a read of the file (offset, count) and its size


FORMATS = {
    RecordFormat.FLV: Format(lambda track: flv.carries(track.codec), FlvFile, restore_flv),
    RecordFormat.TS: Format(mpegts.carries_track, TsFile, restore_ts),
    RecordFormat.MP4: Format(fmp4.is_carried, Mp4File, restore_mp4),
}


def carries(record_format: RecordFormat, track: Track) -> bool:
    """Whether files of that format can hold `track`."""
    return FORMATS[record_format].carries(track)
