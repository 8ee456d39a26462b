"""What a segmenter is told, and what it gives: the words that it shares with every rendition of a stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lalmesh.media import TICKS_PER_MS, TICKS_PER_SECOND, AccessUnit, Kind, Track, TrackSet
from lalmesh.runtime.ownership import UnitName

SHORTEST_PERCENT = 85  #: of PART-TARGET, that every part but the last of its segment lasts at least (rfc8216bis §4.4.4.9)


@dataclass(slots=True, frozen=True, kw_only=True)
class CutSettings:
    """Where a stream may be cut. Times are ticks of 90 kHz."""

    segment: int = 3 * TICKS_PER_SECOND  #: a segment ends at the first random access point after so much
    part: int = TICKS_PER_SECOND // 2  #: parts are as long as this allows, of few pictures a little longer
    max_target_s: int = 12  #: no segment is longer, so a longer group of pictures is cut in its middle


@dataclass(slots=True, frozen=True, kw_only=True)
class Targets:
    """What holds for the life of a playlist (draft-pantos-hls-rfc8216bis §4.4.3.1, §4.4.3.7)."""

    duration_s: int  #: EXT-X-TARGETDURATION, seconds
    part: int  #: PART-TARGET, ticks

    @property
    def longest(self) -> int:
        """The longest segment: its duration, rounded to milliseconds and then to seconds, must not be above the target."""
        return self.duration_s * TICKS_PER_SECOND + TICKS_PER_SECOND // 2 - TICKS_PER_MS

    @property
    def shortest(self) -> int:
        """The shortest part that another of its segment may follow."""
        return shortest_part(self.part)


@dataclass(slots=True, frozen=True, kw_only=True)
class Start:
    """Where a segmenter begins: with nothing but a number, or where another has stopped."""

    number: int = 0  #: of the first segment
    targets: Targets | None = None  #: None: the first segment decides
    discontinuity: bool = False  #: whether the first segment does not go on from the one before it
    end: int | None = None  #: where the segment before it ended, ticks; None: there is none
    end_us: int = 0  #: the same as program date-time, Unix microseconds
    configuration: tuple[object, ...] = ()  #: of that segment, as `configuration_of` gives it
    publication: bytes = b""  #: of the last unit of that segment


@dataclass(slots=True, frozen=True)
class TargetsFixed:
    """The targets are known; they come before everything else and never change."""

    targets: Targets


@dataclass(slots=True, frozen=True)
class SegmentLost:
    """A segment that nobody can make any more: its number is used up (EXT-X-GAP)."""

    number: int
    duration: int  #: ticks
    program_date_time_us: int


@dataclass(slots=True, frozen=True)
class SegmentBegun:
    """A segment begins with the units that follow."""

    number: int
    discontinuity: bool
    program_date_time_us: int  #: of its first unit, Unix microseconds
    tracks: TrackSet
    begin: int  #: ticks


@dataclass(slots=True)
class UnitsAdded:
    """Units of the segment that has begun, at least one, in order; those of a part together, when it is whole."""

    units: list[AccessUnit]


@dataclass(slots=True, frozen=True)
class PartClosed:
    """What was added since the segment began or its last part closed is a part."""

    duration: int  #: ticks, above 0
    independent: bool  #: whether its first picture can be decoded alone
    following: AccessUnit | None = None  #: the unit that comes next, where it goes on from here
    whole: bool = False  #: this is all of a segment that playlists list without parts; it may be longer than a part


@dataclass(slots=True, frozen=True)
class SegmentClosed:
    """The segment is whole; its last part has been closed before."""

    number: int
    duration: int  #: ticks
    end: int  #: ticks
    end_us: int  #: the same as program date-time, Unix microseconds
    last: UnitName  #: the last unit that came before the next segment
    last_dts: Mapping[int, int] = field(default_factory=dict)  #: by track, of what came until then


@dataclass(slots=True, frozen=True)
class StreamOver:
    """Nothing follows."""


Cut = TargetsFixed | SegmentLost | SegmentBegun | UnitsAdded | PartClosed | SegmentClosed | StreamOver


def shortest_part(target: int) -> int:
    """The shortest part that another of its segment may follow, and a tick more, since playlists round both."""
    return target * SHORTEST_PERCENT // 100 + 2


def configuration_of(tracks: TrackSet) -> tuple[object, ...]:
    """What of `tracks` makes players begin anew where it changes: audio and video, each with its decoder configuration."""
    return tuple((track.track_id, track.codec.value, track.configuration.hex()) for track in media_tracks(tracks))


def media_tracks(tracks: TrackSet) -> list[Track]:
    """The audio and video tracks."""
    return [track for track in tracks.tracks if track.kind is not Kind.DATA]
