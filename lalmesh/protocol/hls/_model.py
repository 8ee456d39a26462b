"""A media playlist as data: segments, the parts of the newest ones, and the promises that hold for its whole life."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from lalmesh.media import TICKS_PER_MS, TICKS_PER_SECOND

PARTS_LISTED_TARGETS = 3  #: parts further from the end than so many target durations are not listed (rfc8216bis §6.2.2)
HOLD_BACK_TARGETS = 3  #: target durations that a player stays behind the end (rfc8216bis §4.4.3.8: at least 3)
PART_HOLD_BACK_TARGETS = 3  #: part target durations that a low-latency player stays behind (rfc8216bis §4.4.3.8: should be 3)
SKIP_BOUNDARY_TARGETS = 6  #: target durations before the end that a delta playlist repeats (rfc8216bis §4.4.3.8: at least 6)
MIN_DURATION_TARGETS = 3  #: no live playlist is made shorter than so many target durations (rfc8216bis §6.2.2)

SAFE_URI = re.compile(r"[!$-~]+")  #: printable ASCII without what would end a line, a quoted string or a query


class PlaylistKind(Enum):
    """What may change in a playlist (rfc8216bis §4.4.3.5)."""

    LIVE = "live"  #: segments come and go
    EVENT = "event"  #: segments come and stay
    VOD = "vod"  #: nothing changes


@dataclass(slots=True, frozen=True)
class Part:
    """A partial segment (rfc8216bis §4.4.4.9)."""

    uri: str  #: relative to the folder of the stream
    duration: int  #: ticks
    independent: bool = False  #: it holds a random access point
    gap: bool = False  #: it cannot be had


@dataclass(slots=True, frozen=True)
class Segment:
    """A whole media segment (rfc8216bis §4.4.4)."""

    number: int  #: media sequence number
    uri: str  #: relative to the folder of the stream
    duration: int  #: ticks
    program_date_time_us: int  #: Unix time of its first sample in microseconds, 0 unknown
    discontinuity: bool = False  #: times, tracks or encoder are not those of the segment before
    gap: bool = False  #: it cannot be had
    map_uri: str = ""  #: its media initialization section; empty for MPEG-TS
    parts: tuple[Part, ...] = ()  #: of which it is made, empty where it was not cut into parts


@dataclass(slots=True, frozen=True)
class OpenSegment:
    """The segment that is being made: its number is the next. Players get its parts."""

    program_date_time_us: int  #: as of `Segment`
    discontinuity: bool = False
    map_uri: str = ""
    parts: tuple[Part, ...] = ()


@dataclass(slots=True, frozen=True, kw_only=True)
class MediaPlaylist:
    """All that a media playlist says at one moment."""

    target_duration_s: int  #: no segment, rounded, is longer (rfc8216bis §4.4.3.1)
    media_sequence: int  #: number of the first segment, or of the next where there is none
    segments: tuple[Segment, ...] = ()  #: numbers rise by one
    discontinuity_sequence: int = 0  #: discontinuities before the first segment's own (rfc8216bis §6.2.1)
    part_target: int | None = None  #: ticks; no part is longer; None: segments are not cut into parts
    open_segment: OpenSegment | None = None
    hint_uri: str = ""  #: the next part, which may be asked for already (rfc8216bis §4.4.5.3)
    ended: bool = False  #: no segment comes any more
    independent: bool = False  #: every segment can be decoded alone (rfc8216bis §4.4.2.1)
    kind: PlaylistKind = PlaylistKind.LIVE

    @property
    def next_number(self) -> int:
        """The number of the segment that is being made or comes next."""
        return self.media_sequence + len(self.segments)

    @property
    def open_parts(self) -> tuple[Part, ...]:
        """The parts of the segment that is being made."""
        return self.open_segment.parts if self.open_segment else ()

    @property
    def fragmented(self) -> bool:
        """Whether the segments are fMP4."""
        opened = self.open_segment is not None and bool(self.open_segment.map_uri)
        return self.part_target is not None or opened or any(segment.map_uri for segment in self.segments)


def rounded_seconds(ticks: int) -> int:
    """A duration as players round it to compare it with the target duration.

    Playlists of version 3 say it in milliseconds, so that is rounded first: 10.4996 s is written 10.500, which is 11.
    """
    ms = (ticks + TICKS_PER_MS // 2) // TICKS_PER_MS
    return (ms + 500) // 1000


def first_with_parts(segments: Sequence[Segment], target_duration_s: int) -> int:
    """The index of the first segment whose parts are listed: it ends within three target durations of the end of the last one.

    The parts after the last segment do not count: a worker that takes over does not have them, and parts that were not listed any
    more would come back.
    """
    limit = PARTS_LISTED_TARGETS * target_duration_s * TICKS_PER_SECOND
    distance = 0
    for index in range(len(segments) - 1, -1, -1):
        if distance >= limit:
            return index + 1
        distance += segments[index].duration
    return 0
