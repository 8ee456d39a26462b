"""The reader of a stream: a pure core that every relay and every segmenter puts behind its subscription.

It remembers the last unit that it got, so that it can resume after it anywhere, refuses what an outdated owner sends, passes over
what it has, notices what is missing, and makes the times of a later publication go on where those of the earlier one ended.
It needs nothing but its own memory, so this holds whoever has died.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lalmesh.media import TICKS_PER_MS, TICKS_PER_SECOND, AccessUnit
from lalmesh.runtime.fences import NO_FENCE, Fence
from lalmesh.runtime.ownership import NO_EPOCH, NO_PLACE, Epoch, Place, UnitName
from lalmesh.runtime.ring import Run

SEAM_TICKS = TICKS_PER_SECOND // 25  #: from the last unit of a publication to the first of the next: one picture at 25 a second


@dataclass(slots=True)
class ReaderCounters:
    """What a reader has seen. Only rises."""

    units: int = 0
    missing: int = 0  #: units that were announced as lost, or were noticed to be
    unannounced: int = 0  #: of those, the ones that nobody announced: a fault of ours
    repeated: int = 0  #: units passed over because they were here already
    fenced: int = 0  #: units refused because their owner is outdated
    publications: int = 0


@dataclass(slots=True, frozen=True, kw_only=True)
class ReaderMemory:
    """What another reader needs to go on where one has stopped: the same units at the same times."""

    epoch: Epoch
    last: UnitName
    offset: int = 0  #: ticks that the times of this publication are shifted by
    shifted: bool = False  #: whether times are shifted at all: not those of a first publication
    last_dts: Mapping[int, int] = field(default_factory=dict)  #: by track, as given out


class Reader:
    """One reader's memory of one stream."""

    def __init__(self, seen: Epoch = NO_EPOCH, writer: bytes = b"") -> None:
        """Start with no unit.

        Args:
            seen: refuse what is written under an epoch below it.
            writer: refuse under that epoch whatever this publication does not write; empty: not known.
        """
        self.counters = ReaderCounters()
        self.delay_us: int | None = None  #: how late the oldest unit of the newest run came, as the shell around this notes
        self.epoch: Epoch = seen
        self._named: Epoch = seen  # the highest that an origin has named; units of it may not have come yet
        self.place: Place = NO_PLACE
        self._last: bytes | None = None  # the publication of the last unit; None before the first
        self._next_seq = 0  # the number after it
        self._writer = writer  # of the units of `epoch`, as far as it is known
        self._offset = 0
        self._last_dts: dict[int, int] = {}  # by track, as given out

    @classmethod
    def resuming(cls, memory: ReaderMemory, seen: Fence = NO_FENCE) -> Reader:
        """A reader that goes on after the last unit of another, refusing also what is outdated by what was `seen` here."""
        reader = cls(*max(Fence(memory.epoch, memory.last.publication), seen, key=lambda fence: fence.epoch))
        reader._last, reader._next_seq = memory.last.publication, memory.last.seq + 1
        reader._offset = memory.offset
        reader._last_dts = dict(memory.last_dts)
        reader.counters.publications = 2 if memory.shifted else 1
        return reader

    @property
    def last(self) -> UnitName | None:
        """The last unit that came; None before the first."""
        return None if self._last is None else UnitName(self._last, self._next_seq - 1)

    @property
    def offset(self) -> int:
        """Ticks that the times of the present publication are shifted by."""
        return self._offset

    @property
    def seen(self) -> Fence:
        """The highest epoch that came here or that an origin has named, and who writes under it if that is known."""
        return Fence(self._named) if self._named > self.epoch else Fence(self.epoch, self._writer)

    @property
    def is_shifted(self) -> bool:
        """Whether this is not the first publication, so that times are shifted."""
        return self.counters.publications > 1

    def follows(self, epoch: Epoch, place: Place) -> bool:
        """Whether what is written under `epoch` at `place` is not outdated by what was seen."""
        return epoch > self.epoch or (epoch == self.epoch and place >= self.place)

    def refuse(self, run: Run) -> None:
        """Count a run that is not taken in, since the place that it comes from is outdated."""
        self.counters.fenced += len(run.units)

    def moved(self, epoch: Epoch, place: Place) -> bool:
        """Note what a subscription says of its origin; False where that is outdated and must not be followed.

        The epoch is that of the origin's newest publication. Units of an earlier one, which the reader lacks, may come before, so
        nothing that comes here is fenced by it yet; who reads the stream after this reader begins with what was `seen`.
        """
        if not self.follows(epoch, place):
            return False
        self.place = max(place, self.place)
        self._named = max(epoch, self._named)
        return True

    def receive(self, run: Run) -> Run | None:
        """Take a run in. Gives what is new of it, with times that go on; None where nothing is.

        `missing` of what is given counts every unit between the last one given and this; the caller announces it to its players.
        What is given may be `run` itself.
        """
        units, missing, publication = run.units, 0, run.publication
        if not (units[0].seq == self._next_seq and publication == self._last == self._writer and run.epoch == self.epoch):
            if self._outdated(run):
                self.counters.fenced += len(units)
                return None
            changed = publication != self._last
            units = units if changed else self._unknown(run)
            if not units:
                return None
            missing = self._missing(run, units, changed=changed)
            if changed:
                self._begin(run)
            self.epoch, self._writer, self._last = run.epoch, publication, publication
        self.place = max(run.place, self.place)
        self._next_seq = units[-1].seq + 1
        self.counters.units += len(units)
        units = self._go_on(units)
        if units is run.units and missing == run.missing:
            return run
        return Run(run.epoch, publication, run.tracks, units, run.place, missing)

    def _outdated(self, run: Run) -> bool:
        """An epoch below the highest seen, or another publication under that.

        A lower place is not refused here: within an epoch there is one writer, and its units are the same wherever they come from.
        """
        if run.epoch < self.epoch:
            return True
        return run.epoch == self.epoch and self._writer not in (b"", run.publication)

    def _unknown(self, run: Run) -> list[AccessUnit]:
        """The units of the run that are not here yet; the publication is the one of the last unit."""
        known = self._next_seq - run.first_seq
        if known <= 0:
            return run.units
        self.counters.repeated += min(known, len(run.units))
        return run.units[known:]

    def _missing(self, run: Run, units: list[AccessUnit], *, changed: bool) -> int:
        if self._last is None:
            return 0
        missing = max(run.missing, run.first_seq) if changed else units[0].seq - self._next_seq
        if missing:
            self.counters.missing += missing
            self.counters.unannounced += max(0, missing - run.missing)
        return missing

    def _begin(self, run: Run) -> None:
        """Another publication: one offset for all tracks, so that every unit here comes after all that was given out."""
        self.counters.publications += 1
        if self._last_dts:
            self._offset = max(self._last_dts.values()) + SEAM_TICKS - min(unit.dts for unit in run.units)

    def _go_on(self, units: list[AccessUnit]) -> list[AccessUnit]:
        """The units at their shifted times; where the times of a track would not rise after a seam, they are made to."""
        last_dts = self._last_dts
        if self.counters.publications < 2:
            for unit in units:
                last_dts[unit.track_id] = unit.dts
            return units
        return [self._shift(unit) for unit in units]

    def _shift(self, unit: AccessUnit) -> AccessUnit:
        dts = unit.dts + self._offset
        last = self._last_dts.get(unit.track_id)
        if last is not None and dts <= last:
            dts = last + TICKS_PER_MS
        self._last_dts[unit.track_id] = dts
        return AccessUnit(unit.track_id, dts, unit.cts, unit.random_access, unit.payload, unit.seq, unit.wall_us)
