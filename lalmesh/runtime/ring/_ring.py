"""The buffer and its marks."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from lalmesh.media import AccessUnit, TrackSet
from lalmesh.runtime.ownership import NO_PLACE, Epoch, UnitName
from lalmesh.runtime.ring._run import Run, configuration_bytes, join_track

TRIM_US = 50_000  #: `RingLimits.trim_us` of who takes in units all the time
COMPACT_AT = 1024  #: units given up at the front before the list is cut: keeps trimming cheap
MAX_RUN_UNITS = 4096  #: of one read: a run of empty units stays below what a link takes, a long backlog is not copied at each read
MAX_PUBLICATIONS = 16  #: the newest whose place among the others is remembered: holes across more are counted less exactly

_GIVEN_UP = AccessUnit(0, 0, 0, False, b"")  # stands where a unit was, so that its payload is free at once


@dataclass(slots=True, frozen=True, kw_only=True)
class RingLimits:
    """What a ring keeps. What is wanted is kept only as far as what is allowed goes.

    The newest unit and the tracks of now are kept whatever is allowed: the one is what comes next, the others a reader needs.
    """

    #: everything received in the last so many microseconds is wanted; where cursors read with a delay it must be above that delay,
    #: or they fall off each time a random access point outdates what is before it
    keep_us: int = 0
    gop_num: int = 1  #: ... and everything from the n-th last random access point on, 0 none
    audio_cache_us: int = 2_000_000  #: ... and, of a stream without video, so much; microseconds
    trim_us: int = 0  #: what is wanted no more may stay for so long: giving up many units at once is cheaper; microseconds
    max_us: int = 60_000_000  #: nothing older is allowed; microseconds
    max_bytes: int = 64 << 20  #: of payloads, and of the configurations of tracks before those of now; 25 s of a 20 Mbit/s stream
    max_units: int = 20_000  #: 4 minutes of 30 pictures and 47 audio frames a second


@dataclass(slots=True)
class _Mark:
    """From `position` on, until the next mark, units are consecutive and of this source."""

    position: int
    epoch: Epoch
    publication: bytes
    tracks: TrackSet
    tracks_bytes: int  #: of their configurations
    first_seq: int
    missing: int
    join_track: int  #: track whose random access points are join points


class Ring:
    """A bounded buffer of the newest units of a stream.

    The age of a unit is how far its wall clock is from that of the newest, either way: where the clock of the publishing edge
    steps, what was received before counts as so much older, and the bounds hold.
    """

    def __init__(self, limits: RingLimits) -> None:
        """Start empty."""
        self.limits = limits
        self.place = NO_PLACE  #: what runs read from here carry
        self.start = 0  #: the position of the oldest unit kept
        self.end = 0  #: the position that the next unit will have
        self.last: Run | None = None  #: what was taken in last, for who has all before it; None: it has to be read
        self.last_start = self.last_bytes = 0  #: its position, and the bytes of its payloads
        self._units: list[AccessUnit] = []
        self._base = 0  # position of index 0
        self._bytes = 0  # of payloads, and of tracks before those of now, which cannot be given up
        self._trimmed_us = 0  # the wall clock of the newest unit when that was done last
        self._oldest_us = 0  # that of the oldest unit; looking it up would fetch memory that nothing else touches
        self._marks: list[_Mark] = []
        self._joins: deque[int] = deque()
        # A unit's seq and the offset of its publication add up to its number in the stream, over all publications seen here.
        self._offsets: dict[bytes, int] = {}

    def __len__(self) -> int:
        """How many units are kept."""
        return self.end - self.start

    @property
    def payload_bytes(self) -> int:
        """The bytes kept: of the payloads of units, and of the configurations of tracks."""
        return self._bytes + (self._marks[-1].tracks_bytes if self._marks else 0)

    @property
    def oldest_us(self) -> int:
        """The wall clock of the oldest unit kept, in Unix µs; 0 before the first."""
        return self._oldest_us

    @property
    def last_name(self) -> UnitName | None:
        """The name of the newest unit, also where it is no longer kept; None before the first."""
        if not self._marks:
            return None
        mark = self._marks[-1]
        return UnitName(mark.publication, mark.first_seq + self.end - mark.position - 1)

    def seq_after(self, publication: bytes) -> int | None:
        """The number that the next unit of `publication` has; None where the newest unit is of another, or there is none."""
        if not self._marks:
            return None
        mark = self._marks[-1]
        return mark.first_seq + self.end - mark.position if mark.publication == publication else None

    @property
    def tracks(self) -> TrackSet:
        """The tracks at the newest unit."""
        return self._marks[-1].tracks if self._marks else TrackSet()

    def append(self, run: Run) -> int:
        """Take the next units in; they must follow what is here, or begin another publication or after a hole.

        Returns:
            The bytes of their payloads.
        """
        units, new = self._units, run.units
        mark, start = self._marks[-1] if self._marks else None, self.end
        position = start
        if (
            mark is None
            or mark.tracks is not run.tracks
            or run.missing
            or mark.first_seq + position - mark.position != new[0].seq
            or (mark.epoch is not run.epoch and mark.epoch != run.epoch)
            or mark.publication != run.publication
        ):
            mark = self._add_mark(run, mark)
        track, size = mark.join_track, 0
        for unit in new:
            size += len(unit.payload)
            if unit.random_access and unit.track_id == track:
                self._joins.append(position)
            position += 1
        self._bytes += size
        self.end = position
        units += new
        self.last, self.last_start, self.last_bytes = run if len(new) <= MAX_RUN_UNITS else None, start, size
        limits, newest_us = self.limits, new[-1].wall_us
        if (
            not 0 <= newest_us - self._trimmed_us < limits.trim_us
            or self._bytes > limits.max_bytes
            or position - self.start > limits.max_units
            or not -limits.max_us <= newest_us - self._oldest_us <= limits.max_us
        ):
            self._trimmed_us = newest_us
            self._trim()
            self._oldest_us = units[self.start - self._base].wall_us
            if self.start > start:
                self.last = None
        return size

    def _add_mark(self, run: Run, before: _Mark | None) -> _Mark:
        if before is None or before.publication != run.publication:
            self._begin(run)
        track = join_track(run.tracks)
        if before is not None and before.join_track != track:
            self._joins.clear()  # who joined there would get what is now the main track from its middle
        if before is not None and before.tracks is run.tracks:
            size = before.tracks_bytes  # counted once for both
        else:
            size = configuration_bytes(run.tracks)
            self._bytes += before.tracks_bytes if before is not None else 0
        mark = _Mark(self.end, run.epoch, run.publication, run.tracks, size, run.units[0].seq, run.missing, track)
        self._marks.append(mark)
        return mark

    def _begin(self, run: Run) -> None:
        last, offsets = self.last_name, self._offsets
        begin = 0 if last is None else offsets[last.publication] + last.seq + 1
        offsets.pop(run.publication, None)
        offsets[run.publication] = begin + max(0, run.missing - run.first_seq)
        if len(offsets) > MAX_PUBLICATIONS:
            del offsets[next(iter(offsets))]

    def _trim(self) -> None:
        limits, units, head = self.limits, self._units, self.start - self._base
        last = len(units) - 1  # the newest is always kept
        newest, size = units[last].wall_us, self._bytes
        wanted, keep_us = self._wanted(last)
        max_bytes, max_us, max_units = limits.max_bytes, limits.max_us, limits.max_units
        mark_end = self._first_mark_end()
        while head < last:
            unit = units[head]
            age = abs(newest - unit.wall_us)
            if (head >= wanted or age <= keep_us) and size <= max_bytes and age <= max_us and last - head < max_units:
                break
            size -= len(unit.payload)
            units[head] = _GIVEN_UP
            head += 1
            if head == mark_end:
                size -= self._forget_mark()
                mark_end = self._first_mark_end()
        start = self._base + head
        if start == self.start:
            return
        self.start, self._bytes = start, size
        while self._joins and self._joins[0] < start:
            self._joins.popleft()
        if head > COMPACT_AT and head * 2 > last + 1:
            del units[:head]
            self._base = start

    def _wanted(self, last: int) -> tuple[int, int]:
        """The first index that is wanted whatever its age, and the age in µs up to which everything is; `last` is the newest."""
        limits = self.limits
        if not self._marks[-1].tracks.has_video:
            return last, max(limits.keep_us, limits.audio_cache_us)
        joins = self._joins
        if not (limits.gop_num and joins):
            return last, limits.keep_us
        return joins[-min(limits.gop_num, len(joins))] - self._base, limits.keep_us

    def _first_mark_end(self) -> int:
        """The index of the unit that the second mark begins with, or that the next unit will have."""
        return (self._marks[1].position if len(self._marks) > 1 else self.end) - self._base

    def _forget_mark(self) -> int:
        """Forget the first mark, whose units were all given up. Gives what its tracks no longer take."""
        mark = self._marks.pop(0)
        return 0 if self._marks[0].tracks is mark.tracks else mark.tracks_bytes

    def join_position(self) -> int | None:
        """Where a new reader starts: at the oldest of the last `gop_num` random access points; of a stream without video,
        `audio_cache_us` back. None where it has to wait for the next one.
        """
        if not self._joins:
            return None
        if self._marks[-1].tracks.has_video:
            return self._joins[-min(max(1, self.limits.gop_num), len(self._joins))]
        newest, joined = self._units[-1].wall_us, self._joins[-1]
        for at in reversed(self._joins):
            if abs(newest - self._units[at - self._base].wall_us) > self.limits.audio_cache_us:
                break
            joined = at
        return joined

    def next_join(self, position: int) -> int | None:
        """The first random access point at or after `position`, None where there is none yet."""
        return next((at for at in self._joins if at >= position), None)

    def position_after(self, name: UnitName) -> int | None:
        """The position of the unit that follows `name`, None where that cannot be told or is no longer kept."""
        for index in range(len(self._marks) - 1, -1, -1):
            mark = self._marks[index]
            if mark.publication != name.publication:
                continue
            end = self._marks[index + 1].position if index + 1 < len(self._marks) else self.end
            position = mark.position + name.seq + 1 - mark.first_seq
            if mark.position <= position <= end:
                return position if position >= self.start else None
        return None

    def first_of(self, publication: bytes) -> int | None:
        """The position of unit 0 of `publication`, None where it is not kept."""
        for mark in self._marks:
            if mark.publication == publication and mark.first_seq == 0:
                return mark.position if mark.position >= self.start else None
        return None

    def missing_between(self, after: UnitName, first: UnitName) -> int:
        """How many units came after `after` and before `first`, which is later: as many as this ring can know of."""
        if after.publication == first.publication:
            return first.seq - after.seq - 1
        offset_after, offset_first = self._offsets.get(after.publication), self._offsets.get(first.publication)
        if offset_after is None or offset_first is None:
            return first.seq
        return max(first.seq, offset_first + first.seq - offset_after - after.seq - 1)

    def read(self, position: int, max_bytes: int, larger_bytes: int | None = None, told: TrackSet | None = None) -> Run | None:
        """The units from `position` on, up to the next mark, at most `max_bytes` or one larger unit.

        Tracks count with the first unit, unless they are those that the reader was `told`. `position` must not lie before `start`.
        None where there is nothing, or where that one larger unit would be of more than `larger_bytes`.
        """
        marks, base, end = self._marks, self._base, self.end
        if position >= end:
            return None
        mark = marks[-1]
        if position < mark.position:
            index = bisect_right(marks, position, key=_position_of)
            mark, end = marks[index - 1], marks[index].position
        units = self._units[position - base : min(end, position + MAX_RUN_UNITS) - base]
        total = 0 if mark.tracks is told else mark.tracks_bytes
        for count, unit in enumerate(units):
            total += len(unit.payload)
            if total > max_bytes:
                if not count and larger_bytes is not None and total > larger_bytes:
                    return None
                units = units[: max(1, count)]
                break
        return Run(mark.epoch, mark.publication, mark.tracks, units, self.place, mark.missing if position == mark.position else 0)

    def runs(self, position: int) -> Iterator[Run]:
        """Everything from `position` on, run by run."""
        told: TrackSet | None = None
        while (run := self.read(position, self.limits.max_bytes, told=told)) is not None:
            yield run
            position, told = position + len(run.units), run.tracks

    def newest(self, count: int) -> list[AccessUnit]:
        """The last `count` units at most, oldest first."""
        return self._units[max(self.start, self.end - count) - self._base :]


def _position_of(mark: _Mark) -> int:
    return mark.position
