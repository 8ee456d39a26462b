"""A rendition: the segments of a stream in one container, and the playlist that lists them. Muxes each unit once, for all players.

Renditions of a stream share its cuts, so their segments have the same numbers. Each is started by its first request; one that
starts late is given the last cuts again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, assert_never

from lalmesh.container import fmp4, mpegts
from lalmesh.errors import LalmeshError
from lalmesh.media import TICKS_PER_SECOND, AccessUnit, Kind, Track, TrackSet
from lalmesh.protocol.hls import InitName, Part, PartName, PlaylistWindow, Segment, SegmentName, Variant
from lalmesh.runtime.ownership import Epoch
from services.hls.cuts import (
    Cut,
    PartClosed,
    SegmentBegun,
    SegmentClosed,
    SegmentLost,
    StreamOver,
    Targets,
    TargetsFixed,
    UnitsAdded,
    configuration_of,
    media_tracks,
)

PARTS_PER_NUMBER = 10_000  #: sequence numbers of fragments rise over segments too: more parts than this a segment never has


class Format(Enum):
    """The containers that segments come in."""

    TS = "ts"  #: MPEG-TS: any player
    FMP4 = "fmp4"  #: fragmented MP4 in parts: low latency, newer codecs


@dataclass(slots=True, frozen=True)
class MadeFile:
    """A file that playlists list from now on."""

    name: str
    data: bytes
    number: int  #: of the segment that it is (part of), or that is the first to need it
    stored: bool  #: whether it goes to storage: parts do not, their segment does


class Rendition(ABC):
    """One container's segments of one stream, under one worker's epoch."""

    format: Format
    _suffix = ""
    _map_uri = ""

    def __init__(self, epoch: Epoch, list_size: int, restored: Mapping[str, Any] | None, *, goes_on: bool) -> None:
        """Name files after `epoch`; go on from what `to_state` of the worker before gave (`restored`).

        Its playlist goes on too, if that `goes_on` and still fits.
        """
        self.window: PlaylistWindow | None = None  #: once the targets are known
        self.tracks = TrackSet()  #: at the newest segment
        self.made: list[MadeFile] = []  #: for the worker to take
        self.dropped: list[Segment] = []  #: out of the playlist: for the worker to take
        self.peak_bps = 0  #: of a segment
        self.stream_bytes = 0
        self.stream_ticks = 0
        self.failures = 0  #: units that could not be muxed
        self._epoch = epoch
        self._list_size = list_size
        self._restored = restored
        self._goes_on = goes_on
        self._discontinuity_sequence = 0  # that a new playlist begins with
        self._targets: Targets | None = None
        self._number = 0
        self._discontinuity = False
        self._begun_us = 0

    # what comes

    def take(self, cut: Cut) -> None:
        """Follow one cut."""
        match cut:
            case TargetsFixed(targets):
                self._targets = targets
            case SegmentLost(number, duration, program_date_time_us):
                self._lose(number, duration, program_date_time_us)
            case SegmentBegun():
                self._begin(cut)
            case UnitsAdded(units):
                for unit in units:
                    self._add(unit)
            case PartClosed():
                if self.window is not None:
                    self._close_part(cut)
            case SegmentClosed():
                if self.window is not None:
                    self._close_segment(cut)
            case StreamOver():
                if self.window is not None:
                    self.window.end()
            case _:
                assert_never(cut)

    @abstractmethod
    def _start_segment(self, begun: SegmentBegun, window: PlaylistWindow) -> None:
        """Begin a segment in the playlist and in the container."""

    @abstractmethod
    def _mux(self, unit: AccessUnit) -> None:
        """Write one unit."""

    @abstractmethod
    def _close_part(self, closed: PartClosed) -> None:
        """What was written since the last part is one."""

    @abstractmethod
    def _take_segment(self) -> bytes:
        """The bytes of the segment."""

    @abstractmethod
    def _carries(self, track: Track) -> bool:
        """Whether the container has room for the track."""

    @property
    @abstractmethod
    def _first_hint(self) -> str:
        """The first part of the next segment, empty where there are none."""

    @abstractmethod
    def to_state(self) -> dict[str, Any]:
        """What the next worker needs to go on after the last whole segment."""

    def range_of(self, part: str) -> tuple[str, int, int] | None:
        """Where a part is in storage: the name of its segment, where it begins and ends there. None of one that is not stored."""
        return None

    @property
    def left_out(self) -> list[Track]:
        """The tracks that the container cannot carry."""
        return [track for track in media_tracks(self.tracks) if not self._carries(track)]

    @property
    def is_empty(self) -> bool:
        """Whether the container can carry nothing of the stream."""
        return bool(self.tracks.tracks) and not any(self._carries(track) for track in media_tracks(self.tracks))

    # the playlist

    def _window_at(self, number: int) -> PlaylistWindow | None:
        """The playlist, whose next segment is `number`; made where this is the first."""
        if self.window is None and self._targets is not None:
            self.window = self._restored_window(number, self._targets) or PlaylistWindow(
                target_duration_s=self._targets.duration_s,
                first_number=number,
                list_size=self._list_size,
                part_target=self._part_target(self._targets),
                discontinuity_sequence=self._discontinuity_sequence,
            )
        return self.window

    def _restored_window(self, number: int, targets: Targets) -> PlaylistWindow | None:
        """The playlist of the worker before, if it leads up to `number`; what lies between cannot be had."""
        if self._restored is None:
            return None
        try:
            window = PlaylistWindow.from_state(self._restored["window"])
        except (LalmeshError, KeyError):
            return None
        self._discontinuity_sequence = window.next_discontinuity_sequence
        playlist = window.playlist
        promises = (playlist.target_duration_s, playlist.part_target)
        if not self._goes_on or playlist.ended or promises != (targets.duration_s, self._part_target(targets)):
            return None
        if not 0 <= number - window.next_number <= self._list_size:
            return None
        for lost in range(window.next_number, number):
            window.add_segment(self._gap(lost, targets.duration_s * TICKS_PER_SECOND, 0))
        return window

    def _part_target(self, targets: Targets) -> int | None:
        return None

    def _gap(self, number: int, duration: int, program_date_time_us: int) -> Segment:
        uri = str(SegmentName(*self._epoch, number, self._suffix))
        return Segment(number, uri, duration, program_date_time_us, gap=True, map_uri=self._map_uri)

    def _lose(self, number: int, duration: int, program_date_time_us: int) -> None:
        window = self._window_at(number)
        if window is not None:
            self.dropped += window.add_segment(self._gap(number, duration, program_date_time_us))

    def _begin(self, begun: SegmentBegun) -> None:
        self.tracks = begun.tracks
        self._number, self._discontinuity, self._begun_us = begun.number, begun.discontinuity, begun.program_date_time_us
        window = self._window_at(begun.number)
        if window is not None:
            self._start_segment(begun, window)

    def _add(self, unit: AccessUnit) -> None:
        try:
            self._mux(unit)
        except LalmeshError:  # a unit that does not fit its container, or a damaged one: the others go on
            self.failures += 1

    def _close_segment(self, closed: SegmentClosed) -> None:
        assert self.window is not None
        data = self._take_segment()
        name = str(SegmentName(*self._epoch, closed.number, self._suffix))
        if data:
            self.dropped += self.window.end_segment(name, closed.duration, hint_uri=self._first_hint)
        else:  # nothing of the stream was for this container
            gap = self._gap(closed.number, closed.duration, self._begun_us)
            gap = replace(gap, discontinuity=self._discontinuity)
            self.dropped += self.window.add_segment(gap, hint_uri=self._first_hint)
        self.made.append(MadeFile(name, data, closed.number, stored=True))
        self.stream_bytes += len(data)
        self.stream_ticks += closed.duration
        self.peak_bps = max(self.peak_bps, len(data) * 8 * TICKS_PER_SECOND // closed.duration)

    def variant(self, uri: str) -> Variant:
        """What a multivariant playlist says of this rendition."""
        video = self.tracks.first(Kind.VIDEO)
        return Variant(
            uri=uri,
            bandwidth_bps=max(1, self.peak_bps),
            average_bandwidth_bps=self.stream_bytes * 8 * TICKS_PER_SECOND // max(1, self.stream_ticks),
            codecs=fmp4.codecs_parameter(self.tracks),
            width=video.width if video else 0,
            height=video.height if video else 0,
            frame_rate=video.frame_rate if video else None,
        )


class TsRendition(Rendition):
    """Segments of MPEG-TS in a playlist of version 3. Each begins with PAT and PMT."""

    format = Format.TS
    _suffix = "ts"

    def __init__(self, epoch: Epoch, list_size: int, restored: Mapping[str, Any] | None, *, goes_on: bool) -> None:
        """See `Rendition`."""
        super().__init__(epoch, list_size, restored, goes_on=goes_on)
        self._muxer = mpegts.TsMuxer(resume=_continuity(restored))
        self._parts: list[bytes | memoryview] = []

    def to_state(self) -> dict[str, Any]:
        """See `Rendition.to_state`."""
        return {"window": self.window.to_state() if self.window else None, "continuity": self._muxer.continuity.to_state()}

    def _start_segment(self, begun: SegmentBegun, window: PlaylistWindow) -> None:
        self._muxer.begin_segment()
        self._parts = []
        window.begin_segment(program_date_time_us=begun.program_date_time_us, discontinuity=begun.discontinuity)

    def _mux(self, unit: AccessUnit) -> None:
        self._muxer.mux(unit, self.tracks, self._parts)

    def _close_part(self, closed: PartClosed) -> None:
        """A playlist of version 3 has no parts."""

    def _take_segment(self) -> bytes:
        data, self._parts = b"".join(self._parts), []
        return data

    def _carries(self, track: Track) -> bool:
        return mpegts.carries_track(track)

    @property
    def _first_hint(self) -> str:
        return ""


class Fmp4Rendition(Rendition):
    """Segments of fragmented MP4 in parts: one fragment a part (rfc8216bis, low latency)."""

    format = Format.FMP4
    _suffix = "m4s"

    def __init__(self, epoch: Epoch, list_size: int, restored: Mapping[str, Any] | None, *, goes_on: bool) -> None:
        """See `Rendition`."""
        super().__init__(epoch, list_size, restored, goes_on=goes_on)
        self._builder = fmp4.FragmentBuilder()
        self._completer = fmp4.TrackCompleter()
        self._segment: list[bytes] = []  # its parts
        self._configuration: tuple[object, ...] = _restored_configuration(restored)
        self._map_uri = str(restored.get("map_uri", "")) if restored else ""
        self._inits = 0
        self._ranges = _restored_ranges(restored)
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
            self._builder = fmp4.FragmentBuilder()
        self._segment = []
        window.begin_segment(
            program_date_time_us=begun.program_date_time_us,
            discontinuity=begun.discontinuity,
            map_uri=self._map_uri,
            hint_uri=self._part_name(0),
        )

    def _mux(self, unit: AccessUnit) -> None:
        self._completer.see(unit, self.tracks)
        self._builder.add(unit, self.tracks)

    def _close_part(self, closed: PartClosed) -> None:
        assert self.window is not None
        if self._init_due:
            self._init_due = False
            init = fmp4.init_segment(self._completer.complete(self.tracks))
            self.made.append(MadeFile(self._map_uri, init, self._number, stored=True))
        samples = self._builder.take(closed.following)
        index = len(self._segment)
        sequence_number = self._number * PARTS_PER_NUMBER + index
        data = b"".join(fmp4.fragment(sequence_number, samples, self.tracks, styp=not index))
        name = self._part_name(index)
        self._segment.append(data)
        self.made.append(MadeFile(name, data, self._number, stored=False))
        part = Part(name, closed.duration, independent=closed.independent, gap=not data)
        self.window.add_part(part, hint_uri=self._part_name(index + 1))

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


def make_rendition(
    kind: Format, epoch: Epoch, list_size: int, restored: Mapping[str, Any] | None = None, *, goes_on: bool = False
) -> Rendition:
    """The rendition of a format; the arguments are those of `Rendition`."""
    match kind:
        case Format.TS:
            return TsRendition(epoch, list_size, restored, goes_on=goes_on)
        case Format.FMP4:
            return Fmp4Rendition(epoch, list_size, restored, goes_on=goes_on)
        case _:
            assert_never(kind)


def _continuity(restored: Mapping[str, Any] | None) -> mpegts.Continuity | None:
    try:
        return mpegts.Continuity.from_state(restored["continuity"]) if restored else None
    except (LalmeshError, KeyError):
        return None


def _restored_configuration(restored: Mapping[str, Any] | None) -> tuple[object, ...]:
    return tuple(tuple(track) for track in restored.get("configuration", ())) if restored else ()


def _restored_ranges(restored: Mapping[str, Any] | None) -> dict[str, tuple[str, int, int]]:
    found = restored.get("parts") if restored else None
    return {part: (name, start, end) for part, (name, start, end) in found.items()} if found else {}
