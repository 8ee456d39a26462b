"""What the renditions of all containers have in common: which segments there are, what they are called, and the playlist."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, assert_never

from lalmesh.container import fmp4
from lalmesh.errors import LalmeshError, LocalProtocolError
from lalmesh.media import TICKS_PER_SECOND, AccessUnit, Kind, Track, TrackSet
from lalmesh.protocol.hls import PlaylistWindow, Segment, SegmentName, Variant
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
    media_tracks,
)
from services.hls.rendition._files import Format, MadeFile
from services.hls.rendition._peak import PeakBitRate

log = logging.getLogger(__name__)


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
        self._peak: PeakBitRate | None = None  # once the targets are known
        self.stream_bytes = 0
        self.stream_ticks = 0
        self.failures = 0  #: units that could not be muxed: for the worker to count and set back
        self._epoch = epoch
        self._list_size = list_size
        self._restored = restored
        self._goes_on = goes_on
        self._discontinuity_sequence = 0  # that a new playlist begins with
        self._targets: Targets | None = None
        self._number = 0
        self._discontinuity = False
        self._begun_us = 0
        self._told_of_bug = False

    # what comes

    def take(self, cut: Cut) -> None:
        """Follow one cut."""
        match cut:
            case TargetsFixed(targets):
                self._targets = targets
                self._peak = PeakBitRate(targets.duration_s * TICKS_PER_SECOND)
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
        """What was written since the last part is one, or is all of a segment without parts."""

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
        goes_on = self._goes_on and not playlist.ended and promises == (targets.duration_s, self._part_target(targets))
        if not goes_on or not 0 <= number - window.next_number <= self._list_size:
            self.dropped += playlist.segments  # nobody lists them any more
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
        except LalmeshError as error:
            self._leave_out(error)

    def _leave_out(self, error: LalmeshError) -> None:
        """Leave a unit or a part out that could not be muxed: the others go on, whoever's fault it is."""
        self.failures += 1
        if isinstance(error, LocalProtocolError) and not self._told_of_bug:
            self._told_of_bug = True
            facts = {"hls_epoch": f"{self._epoch.term}.{self._epoch.revision}"}
            log.error("left out: it could not be muxed", exc_info=error, extra=facts)

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
        if self._peak is not None:
            self._peak.add(len(data), closed.duration)

    def variant(self, uri: str) -> Variant:
        """What a multivariant playlist says of this rendition."""
        video = self.tracks.first(Kind.VIDEO)
        peak_bps = self._peak.bps if self._peak is not None else 0
        average_bps = self.stream_bytes * 8 * TICKS_PER_SECOND // max(1, self.stream_ticks)
        return Variant(
            uri=uri,
            bandwidth_bps=max(1, peak_bps, average_bps),
            average_bandwidth_bps=average_bps,
            codecs=fmp4.codecs_parameter(self.tracks),
            width=video.width if video else 0,
            height=video.height if video else 0,
            frame_rate=video.frame_rate if video else None,
        )
