"""Where a stream is cut into segments and parts: a pure core, one for all renditions of a stream (docs/design.md §4).

Segments begin at the first random access point after `CutSettings.segment`. Time is that of the main track, the one at whose
random access points players may join; where that stands still, the other tracks move it on. The last *slot*, what came since time
last moved, is held back until the next one shows how long it is: so a part closes before the unit that would pass PART-TARGET, and
a segment before the one that would pass TARGETDURATION, whatever comes.

What those targets are the first segment decides, so it is held until it is whole. They are never changed after: a longer group of
pictures is cut at a unit that is no random access point, and where a single slot is longer than a part may be, time has a hole and
a discontinuity is announced. The same units from the same start give the same cuts, which a successor relies on.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from lalmesh.media import TICKS_PER_SECOND, AccessUnit, TrackSet
from lalmesh.protocol.hls import rounded_seconds
from lalmesh.runtime.ownership import UnitName
from lalmesh.runtime.ring import NO_TRACK, Run, join_track
from services.hls.cuts import (
    Cut,
    CutSettings,
    PartClosed,
    SegmentBegun,
    SegmentClosed,
    SegmentLost,
    Start,
    StreamOver,
    Targets,
    TargetsFixed,
    UnitsAdded,
    configuration_of,
    media_tracks,
)

MAX_SLOT = TICKS_PER_SECOND  #: a longer pause is a hole in time, not a slow picture rate
FIRST_SLOT = TICKS_PER_SECOND // 25  #: of a slot that nothing follows, before any other was seen: one picture at 25 a second
US_PER_TICK_NUMERATOR, US_PER_TICK_DENOMINATOR = 100, 9  #: a tick of 90 kHz is 100/9 µs
DRIFT_SHARE = 100  #: program date-time follows the wall clock by at most a hundredth, so that it agrees with durations
MAX_DRIFT_US = 10_000_000  #: above this the wall clock was set, and is followed at once
MAX_LOST = 100  #: numbers given up at once; more are in no playlist


class Segmenter:
    """One stream's cuts."""

    def __init__(self, settings: CutSettings, start: Start) -> None:
        """Cut from `start` on."""
        self.targets = start.targets
        self.number = start.number  #: of the segment that is open, or else comes next
        self._settings = settings
        self._discontinuity = start.discontinuity
        self._configuration = start.configuration
        self._publication = start.publication
        self._end, self._end_us = start.end, start.end_us  # of the segment before
        self._duration = 0  # of the segment before, 0 where another made it
        self._tracks = TrackSet()
        self._track_ids: frozenset[int] = frozenset()  # of the media tracks
        self._main = NO_TRACK
        self._first: list[AccessUnit] = []  # of the first segment, until the targets are known
        self._open = False
        self._begin = 0  # of the open segment
        self._begin_us = 0
        self._part_begin = 0
        self._part_independent: bool | None = None  # None: its first picture has not come
        self._added: list[AccessUnit] = []  # of the part, without the last slot
        self._held: list[AccessUnit] = []  # the last slot
        self._held_publication = b""
        self._stands_still = False  # whether the main track does, so that the others move time on
        self._now = 0  # when the last slot began
        self._slot = FIRST_SLOT  # how long the one before it was
        self._last = UnitName(b"", -1)
        self._last_dts: dict[int, int] = {}

    def receive(self, run: Run) -> list[Cut]:
        """Take the next units in; they are those of a `lalmesh.runtime.reader.Reader`, so times go on and holes are told."""
        cuts: list[Cut] = []
        if self._breaks(run):
            self._break(cuts, run.units[0].dts)
        if run.tracks is not self._tracks:
            self._use(run.tracks)
        lost = run.missing and self._end is not None and not self._open and not self._first
        self._publication = run.publication
        for unit in run.units:
            if unit.track_id not in self._track_ids:
                continue
            if lost:
                lost = False
                cuts += self._count_lost(unit)
            if self.targets is None:
                self._learn(unit, cuts)
            else:
                self._take(unit, cuts)
        return cuts

    def finish(self) -> list[Cut]:
        """The stream has ended: close what is open."""
        cuts: list[Cut] = []
        self._break(cuts)
        cuts.append(StreamOver())
        return cuts

    def pause(self) -> list[Cut]:
        """Nothing has come for long: close what is open, once the targets are known. What comes goes on in another segment."""
        cuts: list[Cut] = []
        if self._open:
            self._close_open(cuts)
        return cuts

    # what does not go on

    def _breaks(self, run: Run) -> bool:
        """Whether the run does not go on from what came before."""
        if run.missing or (self._publication and run.publication != self._publication):
            return True
        if run.tracks is self._tracks or not self._configuration:
            return False
        new = configuration_of(run.tracks)
        if new == self._configuration:
            return False
        # before anything was given out a track may still come: what is held gets it too
        return not (self._first and set(new) >= set(self._configuration))

    def _break(self, cuts: list[Cut], following: int | None = None) -> None:
        """Close what is open; what comes is after a discontinuity."""
        if self._first:
            self._fix_targets(cuts)
        if self._open:
            self._close_open(cuts, following)
        self._discontinuity = self._discontinuity or self._end is not None

    def _close_open(self, cuts: list[Cut], following: int | None = None) -> None:
        """Close the open segment; the last slot lasts as long as the one before, at most until `following`."""
        assert self.targets is not None  # no segment opens before they are known
        at = self._now + self._slot
        if following is not None and self._now < following < at:
            at = following
        self._close_before_slot(at, self.targets, cuts)
        self._flush(cuts)
        self._close_segment(at, cuts)

    def _use(self, tracks: TrackSet) -> None:
        self._tracks = tracks
        self._configuration = configuration_of(tracks)
        self._track_ids = frozenset(track.track_id for track in media_tracks(tracks))
        self._main = join_track(tracks)

    def _count_lost(self, first: AccessUnit) -> Iterator[Cut]:
        """The segments between the one before and `first`, where a successor finds that units are gone."""
        assert self._end is not None
        targets = self.targets
        if targets is None:
            return
        ticks = targets.duration_s * TICKS_PER_SECOND
        for _ in range(min(MAX_LOST, max(0, first.dts - self._end) // ticks)):
            yield SegmentLost(self.number, ticks, self._end_us)
            self.number += 1
            self._end += ticks
            self._end_us += _us(ticks)

    # the first segment

    def _learn(self, unit: AccessUnit, cuts: list[Cut]) -> None:
        """Hold the first segment until it is whole."""
        first = self._first
        if first:
            length = unit.dts - first[0].dts
            whole = unit.track_id == self._main and unit.random_access and length >= self._settings.segment
            if whole or length >= self._settings.max_target_s * TICKS_PER_SECOND:
                self._fix_targets(cuts, unit if whole else None)
                self._take(unit, cuts)
                return
        first.append(unit)

    def _fix_targets(self, cuts: list[Cut], following: AccessUnit | None = None) -> None:
        """The targets from the first segment, which ends where `following` begins, and from the settings."""
        units, self._first = self._first, []
        end = following.dts if following is not None else units[-1].dts
        longest = max(self._settings.segment, end - units[0].dts)
        duration_s = max(1, min(self._settings.max_target_s, rounded_seconds(longest)))
        self.targets = Targets(duration_s=duration_s, part=self._part_target(units))
        cuts.append(TargetsFixed(self.targets))
        for unit in units:
            self._take(unit, cuts)

    def _part_target(self, units: list[AccessUnit]) -> int:
        """PART-TARGET: as many whole pictures as the setting has room for, so that no part is much shorter (§4.4.4.9)."""
        part = self._settings.part
        times = [unit.dts for unit in units if unit.track_id == self._main]
        slots = [after - before for before, after in pairwise(times) if 0 < after - before <= MAX_SLOT]
        longest = max(slots, default=FIRST_SLOT)
        return max(1, part // longest) * longest

    # the cuts

    def _take(self, unit: AccessUnit, cuts: list[Cut]) -> None:
        """One unit: the slot before it is whole if time moves on with it."""
        assert self.targets is not None
        if not self._open:
            if self._end is not None and abs(unit.dts - self._end) > self.targets.part:  # a hole after a pause
                self._discontinuity = True
            self._begin_segment(unit, unit.dts, cuts)
            return
        is_main = unit.track_id == self._main
        if is_main:
            self._stands_still = False
        elif self._waits(unit, self.targets, cuts):
            self._held.append(unit)
            return
        at = max(unit.dts, self._now)
        if at - self._now > self.targets.part:  # a hole: no part has room for this slot
            self._break(cuts, at)
            self._begin_segment(unit, at, cuts)
            return
        self._close_before_slot(at, self.targets, cuts)
        if is_main and unit.random_access and at - self._begin >= self._settings.segment:
            self._flush(cuts)
            self._close_segment(at, cuts, unit)
            self._begin_segment(unit, at, cuts)
            return
        self._flush(cuts)
        self._slot = at - self._now or self._slot
        self._held, self._now = [unit], at

    def _waits(self, unit: AccessUnit, targets: Targets, cuts: list[Cut]) -> bool:
        """Whether a unit of another than the main track belongs to the slot that is held, rather than to move time on itself.

        It does not while the main track stands still. When that is noticed, what is held is looked at again, unit by unit.
        """
        if self._stands_still:
            return unit.dts <= self._now
        if unit.dts - self._now <= targets.part // 2:
            return True
        self._stands_still = True
        waiting, self._held = self._held[1:], self._held[:1]
        for one in waiting:
            self._take(one, cuts)
        return False

    def _close_before_slot(self, at: int, targets: Targets, cuts: list[Cut]) -> None:
        """Close what would be too long with the slot that ends at `at`."""
        held = self._held
        if at - self._begin > targets.longest and self._now > self._begin:
            self._close_segment(self._now, cuts, held[0])
            self._begin_segment(held[0], self._now, cuts)
            self._held = held
        elif at - self._part_begin > targets.part and self._now > self._part_begin:
            self._close_part(self._now, cuts, held[0])

    def _flush(self, cuts: list[Cut]) -> None:
        """Let the slot that is held be of the part."""
        units = self._held
        for unit in units:
            self._last_dts[unit.track_id] = unit.dts
            if self._part_independent is None and unit.track_id == self._main:
                self._part_independent = unit.random_access
        self._last = UnitName(self._held_publication, units[-1].seq)
        self._added += units
        self._held = []

    def _add(self, cuts: list[Cut]) -> None:
        """Give out the units of the part, all at once: one by one, among those of other streams, each costs much more."""
        if self._added:
            cuts.append(UnitsAdded(self._added))
            self._added = []

    def _close_part(self, at: int, cuts: list[Cut], following: AccessUnit | None) -> None:
        self._add(cuts)
        cuts.append(PartClosed(at - self._part_begin, bool(self._part_independent), following))
        self._part_begin, self._part_independent = at, None

    def _close_segment(self, at: int, cuts: list[Cut], following: AccessUnit | None = None) -> None:
        if at > self._part_begin:
            self._close_part(at, cuts, following)
        self._add(cuts)
        duration = self._duration = at - self._begin
        self._end, self._end_us = at, self._begin_us + _us(duration)
        cuts.append(SegmentClosed(self.number, duration, at, self._end_us, self._last, dict(self._last_dts)))
        self._open = False
        self.number += 1

    def _begin_segment(self, unit: AccessUnit, at: int, cuts: list[Cut]) -> None:
        """Begin a segment with `unit`, which is held."""
        discontinuity, self._discontinuity = self._discontinuity, False
        if self._end is None or discontinuity:
            self._begin_us = max(unit.wall_us, self._end_us)  # never before the end of what came before
        else:
            self._begin_us = _followed(self._end_us, unit.wall_us, self._duration)
        self._open = True
        self._begin = self._part_begin = self._now = at
        self._part_independent = None
        self._held = [unit]
        self._held_publication = self._publication
        cuts.append(SegmentBegun(self.number, discontinuity, self._begin_us, self._tracks, at))


def _followed(expected_us: int, wall_us: int, duration: int) -> int:
    """The program date-time after a segment of `duration`: where durations put it, drawn a little to the wall clock."""
    drift_us = wall_us - expected_us
    if abs(drift_us) > MAX_DRIFT_US:
        return wall_us
    most_us = _us(duration) // DRIFT_SHARE
    return expected_us + max(-most_us, min(most_us, drift_us))


def _us(ticks: int) -> int:
    return ticks * US_PER_TICK_NUMERATOR // US_PER_TICK_DENOMINATOR
