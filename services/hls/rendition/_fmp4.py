"""Segments of fragmented MP4, in parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lalmesh.container import fmp4
from lalmesh.errors import LalmeshError, UnsupportedError
from lalmesh.media import TICKS_PER_SECOND, AccessUnit, Track
from lalmesh.protocol.hls import InitName, Part, PartName, PlaylistWindow, SegmentName
from lalmesh.runtime.ownership import Epoch
from services.hls.cuts import PartClosed, SegmentBegun, Targets, configuration_of
from services.hls.rendition._files import Format, MadeFile
from services.hls.rendition._rendition import Rendition

_PARTS_PER_NUMBER = 10_000  #: sequence numbers of fragments rise over segments too: more parts than this a segment never has
#: Interop: hls.js 1.7 takes a part whose first decode time is a second or more before its place in the playlist for one of another
#: time line; a hole begins two frames after what it is measured from
_LONGEST_HOLE = TICKS_PER_SECOND * 3 // 4


class Fmp4Rendition(Rendition):
    """Segments of fragmented MP4 in parts: one fragment a part, or a segment without parts (rfc8216bis, low latency)."""

    format = Format.FMP4
    _suffix = "m4s"

    def __init__(self, epoch: Epoch, list_size: int, restored: Mapping[str, Any] | None, *, goes_on: bool) -> None:
        """See `Rendition`."""
        super().__init__(epoch, list_size, restored, goes_on=goes_on)
        self._builder = fmp4.FragmentBuilder(longest_hole=_LONGEST_HOLE)
        self._completer = fmp4.TrackCompleter()
        self._segment: list[bytes] = []  # its parts
        self._part_begin = 0  # ticks
        before = restored if goes_on else None  # its files may be gone from storage where its playlist does not go on
        self._configuration: tuple[object, ...] = _restored_configuration(before)
        self._map_uri = str(before.get("map_uri", "")) if before else ""
        self._inits = 0
        self._ranges = _restored_ranges(before)
        self._init_due = False  # the present init segment has not been made: it waits for what first frames tell

    def to_state(self) -> dict[str, Any]:
        """See `Rendition.to_state`."""
        return {
            "window": self.window.to_state() if self.window else None,
            "map_uri": self._map_uri,
            "configuration": self._configuration,
            "parts": self._listed_ranges(),
        }

    def range_of(self, part: str) -> tuple[str, int, int] | None:
        """See `Rendition.range_of`."""
        return self._ranges.get(part)

    def _listed_ranges(self) -> dict[str, tuple[str, int, int]]:
        """Those of the parts that are listed; the others are forgotten."""
        segments = self.window.playlist.segments if self.window is not None else ()
        listed = {part.uri for segment in segments for part in segment.parts}
        self._ranges = {part: found for part, found in self._ranges.items() if part in listed}
        return self._ranges

    def _part_target(self, targets: Targets) -> int | None:
        return targets.part

    def _start_segment(self, begun: SegmentBegun, window: PlaylistWindow) -> None:
        configuration = configuration_of(begun.tracks)
        if configuration != self._configuration or not self._map_uri:
            self._configuration = configuration
            self._map_uri = str(InitName(*self._epoch, self._inits))
            self._inits += 1
            self._init_due = True
        if self._init_due or begun.discontinuity:  # what came before is no past of this segment
            self._builder = fmp4.FragmentBuilder(longest_hole=_LONGEST_HOLE)
        self._segment = []
        self._part_begin = begun.begin
        window.begin_segment(
            program_date_time_us=begun.program_date_time_us,
            discontinuity=begun.discontinuity,
            map_uri=self._map_uri,
            hint_uri=self._part_name(0),
        )

    def _mux(self, unit: AccessUnit) -> None:
        self._completer.see(unit, self.tracks)
        if not self._builder.add(unit, self.tracks) and unit.dts < -fmp4.TIME_OFFSET:
            raise UnsupportedError(f"unit {-unit.dts} ticks before the time 0, limit {fmp4.TIME_OFFSET}")

    def _close_part(self, closed: PartClosed) -> None:
        assert self.window is not None
        if self._init_due:
            self._init_due = False
            init = fmp4.init_segment(self._completer.complete(self.tracks))
            self.made.append(MadeFile(self._map_uri, init, self._number, stored=True))
        index = len(self._segment)
        data = self._fragment(closed, index)
        self._segment.append(data)
        if closed.whole:
            return
        name = self._part_name(index)
        self.made.append(MadeFile(name, data, self._number, stored=False))
        part = Part(name, closed.duration, independent=closed.independent, gap=not data)
        self.window.add_part(part, hint_uri=self._part_name(index + 1))

    def _fragment(self, closed: PartClosed, index: int) -> bytes:
        """The bytes of a part; none where the times of its units have no room in it: a publisher may have sent such."""
        self._part_begin += closed.duration
        samples = self._builder.take(closed.following, until=self._part_begin)
        sequence_number = self._number * _PARTS_PER_NUMBER + index
        try:
            return b"".join(fmp4.fragment(sequence_number, samples, self.tracks, styp=not index))
        except LalmeshError as error:
            self._leave_out(error)
            return b""

    def _take_segment(self) -> bytes:
        name, start = str(SegmentName(*self._epoch, self._number, self._suffix)), 0
        for index, part in enumerate(self._segment):
            self._ranges[self._part_name(index)] = (name, start, start + len(part))
            start += len(part)
        data, self._segment = b"".join(self._segment), []
        return data

    def _carries(self, track: Track) -> bool:
        return fmp4.is_carried(track)

    @property
    def _first_hint(self) -> str:
        return str(PartName(*self._epoch, self._number + 1, 0))

    def _part_name(self, index: int) -> str:
        return str(PartName(*self._epoch, self._number, index))


def _restored_configuration(restored: Mapping[str, Any] | None) -> tuple[object, ...]:
    return tuple(tuple(track) for track in restored.get("configuration", ())) if restored else ()


def _restored_ranges(restored: Mapping[str, Any] | None) -> dict[str, tuple[str, int, int]]:
    found = restored.get("parts") if restored else None
    return {part: (name, start, end) for part, (name, start, end) in found.items()} if found else {}
