"""Where a stream is cut into segments and parts: a pure core, one for all renditions of a stream (docs/design.md §4).

Segments begin at the first random access point after `CutSettings.segment`, or sooner where the one before begins with none. Time
is that of the main track, the one at whose random access points players may join; where that stands still, or comes long after the
others, they move it on. The last *slot*, what came since time last moved, is held back until the next one shows how long it is: so
a part closes before the unit that would pass PART-TARGET, and a segment before the one that would pass TARGETDURATION, whatever
comes.

What those targets are the first segment decides, so it is held until it is whole. They are never changed after, so what comes has
to fit:

- a longer group of pictures is cut at a unit that is no random access point;
- a part that is too short for others to follow, where the next slot has no room in it, is the last of its segment; but where there
  is sound, it is cut between two frames of that;
- a segment whose first part would be too short, or that begins with a slot longer than a part may be, has no parts. It ends soon:
  low-latency players wait for all of it;
- a slot longer than any segment may be is a hole in time, and a discontinuity is announced.

The same units from the same start give the same cuts, which a successor relies on.
"""

from __future__ import annotations

from collections.abc import Iterator

from lalmesh.media import TICKS_PER_SECOND, AccessUnit, TrackSet
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
from services.hls.targets import FIRST_SLOT, targets_of

MAX_LATE = TICKS_PER_SECOND  #: after a pause, beyond what the last slot was taken for: more is a hole in time
#: part targets after which a segment without parts ends, and one that begins with no random access point at the next that comes:
#: low-latency players hold back three
ENOUGH_PARTS = 2
ENOUGH = TICKS_PER_SECOND * 9 // 10  #: the least for that: storage is asked several times a segment
US_PER_TICK_NUMERATOR, US_PER_TICK_DENOMINATOR = 100, 9  #: a tick of 90 kHz is 100/9 µs
DRIFT_SHARE = 100  #: program date-time follows the wall clock by at most a hundredth, so that it agrees with durations
MAX_DRIFT_US = 10_000_000  #: above this the wall clock was set, and is followed at once
MAX_LOST = 100  #: numbers given up at once; more are in no playlist


class Segmenter:
    """One stream's cuts."""

    def __init__(self, settings: CutSettings, start: Start) -> None:
        """Cut from `start` on."""
        self._settings = settings
        self.targets: Targets | None = None
        self._part = self._shortest = self._longest = self._enough = 0  # ticks, of the targets: looked at with every unit
        if start.targets is not None:
            self._set_targets(start.targets)
        self.number = start.number  #: of the segment that is open, or else comes next
        self._discontinuity = start.discontinuity
        self._configuration = start.configuration
        self._publication = start.publication
        self._end, self._end_us = start.end, start.end_us  # of the segment before
        self._succeeds = start.end is not None  # whether nothing has come yet since another stopped
        self._duration = 0  # of the segment before, 0 where another made it
        self._tracks = TrackSet()
        self._track_ids: frozenset[int] = frozenset()  # of the media tracks
        self._main = NO_TRACK
        self._first: list[AccessUnit] = []  # of the first segment, until the targets are known
        self._open = False
        self._whole = False  # whether the open segment has no parts
        self._least = settings.segment  # ticks, before the random access point that ends the open segment
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
        lost = False
        if self._succeeds:
            self._succeeds, lost = False, run.missing > 0
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
        at = self._now + self._slot
        if following is not None and self._now < following < at:
            at = following
        self._close_before_slot(at, cuts)
        self._flush()
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
        times = [unit.dts for unit in units if unit.track_id == self._main]
        if following is not None:
            times.append(following.dts)
        targets = targets_of(end - units[0].dts, times, self._settings)
        self._set_targets(targets)
        cuts.append(TargetsFixed(targets))
        for unit in units:
            self._take(unit, cuts)

    def _set_targets(self, targets: Targets) -> None:
        self.targets = targets
        self._part, self._shortest, self._longest = targets.part, targets.shortest, targets.longest
        self._enough = min(self._settings.segment, max(ENOUGH, ENOUGH_PARTS * targets.part))

    # the cuts

    def _take(self, unit: AccessUnit, cuts: list[Cut]) -> None:
        """One unit: the slot before it is whole if time moves on with it."""
        if not self._open:
            self._begin_again(unit, cuts)
            return
        is_main = unit.track_id == self._main
        if is_main:
            if self._stands_still and unit.dts >= self._now - self._part // 2:
                self._stands_still = False
        elif self._waits(unit, cuts):
            self._held.append(unit)
            return
        at, now = unit.dts, self._now
        if at < now:
            at = now
        elif at - now > self._longest:  # a hole: no segment has room for this slot
            self._break(cuts, at)
            self._begin_segment(unit, at, cuts)
            return
        if at - self._part_begin > self._part or at - self._begin > self._longest:
            self._close_before_slot(at, cuts)
        self._flush()
        self._slot = at - self._now or self._slot
        length = at - self._begin
        if (is_main and unit.random_access and length >= self._least) or (self._whole and length >= self._enough):
            self._close_segment(at, cuts, unit)
            self._begin_segment(unit, at, cuts)
        else:
            self._held, self._now = [unit], at

    def _begin_again(self, unit: AccessUnit, cuts: list[Cut]) -> None:
        """Begin a segment where none is open; after a pause it is known only now how long the last slot was."""
        if self._end is not None and not self._discontinuity:
            late = unit.dts - self._end
            if abs(late) > max(self._part, MAX_LATE):
                self._discontinuity = True
            else:
                self._slot = max(1, min(self._longest, self._slot + late))
        self._begin_segment(unit, unit.dts, cuts)

    def _waits(self, unit: AccessUnit, cuts: list[Cut]) -> bool:
        """Whether a unit of another than the main track belongs to the slot that is held, rather than to move time on itself.

        It does not while the main track stands still, or comes too long after it. When that is noticed, what is held is looked at
        again, unit by unit.
        """
        if self._stands_still:
            return unit.dts <= self._now
        if unit.dts - self._now <= self._part // 2:
            return True
        self._stands_still = True
        waiting, self._held = self._held[1:], self._held[:1]
        for one in waiting:
            self._take(one, cuts)
        return False

    def _close_before_slot(self, at: int, cuts: list[Cut]) -> None:
        """Close what would be too long with the slot that ends at `at`."""
        if at - self._begin > self._longest and self._now > self._begin:
            self._cut(cuts)
        if at - self._part_begin > self._part and not self._whole:
            self._end_part(at, cuts)

    def _end_part(self, at: int, cuts: list[Cut]) -> None:
        """End the part that has no room for the slot that ends at `at`, or the segment where no other part may follow it."""
        if self._now - self._part_begin >= self._shortest:
            self._close_part(self._now, cuts, self._held[0])
        elif self._divided(at, cuts):
            self._close_before_slot(at, cuts)
            return
        elif self._part_begin > self._begin:  # the parts before it were given out
            self._cut(cuts)
        if at - self._part_begin <= self._part:
            return
        if self._part_begin > self._begin:
            self._cut(cuts)
        self._whole = True

    def _divided(self, at: int, cuts: list[Cut]) -> bool:
        """Whether other tracks than the main one move time on within the slot that ends at `at`: they are let do so."""
        if self._stands_still or len(self._held) < 2:
            return False
        before = self._now
        self._stands_still = True
        waiting, self._held = self._held[1:], self._held[:1]
        for one in waiting:
            if one.dts < at:
                self._take(one, cuts)
            else:
                self._held.append(one)
        self._stands_still = False
        return self._now > before

    def _cut(self, cuts: list[Cut]) -> None:
        """Have the segment end before the slot that is held, and the next one begin with it."""
        held = self._held
        self._close_segment(self._now, cuts, held[0])
        self._begin_segment(held[0], self._now, cuts)
        self._held = held

    def _flush(self) -> None:
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
        cuts.append(PartClosed(at - self._part_begin, bool(self._part_independent), following, self._whole))
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
        self._open, self._whole = True, False
        is_join = unit.track_id == self._main and unit.random_access
        self._least = self._settings.segment if is_join else self._enough
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
