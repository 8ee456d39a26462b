"""What the elementary streams of a program that comes in share: tracks, clock, counters."""

from __future__ import annotations

from dataclasses import dataclass

from lalmesh.container.mpegts._constants import TIME_BITS
from lalmesh.media import MediaCounters, MediaEvent, PassedOver, Track, TracksChanged, TrackSet, Unwrapper

_HALF = 1 << (TIME_BITS - 1)


@dataclass(slots=True)
class TsCounters(MediaCounters):
    """What a demuxer passed over."""

    continuity_gaps: int = 0  #: places where packets of a PID in use are missing
    lost_bytes: int = 0  #: that belonged to no packet


class Tracks:
    """The tracks, the clock and the counters of one program."""

    def __init__(self) -> None:
        """Start without tracks."""
        self.tracks = TrackSet()
        self.counters = TsCounters()
        self.unwrap = Unwrapper(TIME_BITS).unwrap  # one for all, so that their times stay beside each other

    def count_broken(self, what: str) -> None:
        """Note that `what` was passed over."""
        self.counters.count(what)

    def count_early(self, track_id: int) -> None:
        """Note a unit that came before the configuration that it needs."""
        self.counters.count(f"unit of track {track_id} before its configuration", PassedOver.NO_CONFIGURATION)

    def replace(self, track: Track) -> list[MediaEvent]:
        """Let `track` follow the one of its id, with the next version; no event where it is the same."""
        before, self.tracks = self.tracks, self.tracks.with_latest(track)
        return [] if self.tracks is before else [TracksChanged(self.tracks)]


def composition_time(pts: int, dts: int) -> int:
    """``pts - dts`` of two times of 33 bits, in ticks: the nearer of both ways round."""
    return (pts - dts + _HALF) % (2 * _HALF) - _HALF
