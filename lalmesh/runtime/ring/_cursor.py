"""A reader's place in a ring."""

from __future__ import annotations

from lalmesh.media import TrackSet
from lalmesh.runtime.ownership import UnitName
from lalmesh.runtime.ring._ring import Ring
from lalmesh.runtime.ring._run import Run


class Cursor:
    """One reader's place in a ring.

    It gives every unit once and in order. If the ring has moved past it, it goes on at the next random access point and says
    how many units it passed over.
    """

    __slots__ = ("_next_seq", "_position", "_publication", "_ring", "_seeking", "_told")

    def __init__(self, ring: Ring, position: int, *, seeking: bool = False, after: UnitName | None = None) -> None:
        """Read from `position`, or (`seeking`) from the first random access point there; pass over what `after` covers."""
        self._ring = ring
        self._position = position
        self._seeking = seeking
        self._told: TrackSet | None = None  # the tracks of the run before
        # what follows the last unit that the reader has; it has none where there is no publication
        self._publication, self._next_seq = (after.publication, after.seq + 1) if after is not None else (b"", 0)

    @classmethod
    def joining(cls, ring: Ring) -> Cursor:
        """Start at a random access point: a cached one, else the next."""
        position = ring.join_position()
        return cls(ring, ring.end, seeking=True) if position is None else cls(ring, position)

    @classmethod
    def resuming(cls, ring: Ring, after: UnitName) -> Cursor:
        """Start after the unit `after`; where that is not kept, at a random access point, and the hole is announced."""
        position = ring.position_after(after)
        if position is not None:
            return cls(ring, position, after=after)
        last = ring.last_name
        if last is None or (last.publication == after.publication and last.seq < after.seq):
            return cls(ring, ring.end, after=after)  # the reader is ahead: the publisher will replay
        if last.publication == after.publication:
            return cls(ring, ring.start, seeking=True, after=after)  # as if it had just fallen off
        first = ring.first_of(last.publication)
        if first is not None:
            return cls(ring, first, after=after)
        joined = ring.join_position()
        return cls(ring, ring.end if joined is None else joined, seeking=True, after=after)

    @property
    def position(self) -> int:
        """Where it reads next."""
        return self._position

    @property
    def pending(self) -> bool:
        """Whether a read may give something."""
        return self._position < self._ring.end

    def read(self, max_bytes: int, larger_bytes: int | None = None) -> Run | None:
        """The next run of at most `max_bytes`, or one larger unit of at most `larger_bytes` (None: of any size).

        What counts is payload, and the configurations of tracks where they are not those of the run before.

        None where there is nothing to give now; it is still `pending` where the next unit is larger than allowed.
        """
        ring = self._ring
        run = ring.last
        if (
            run is not None
            and self._position == ring.last_start
            and run.units[0].seq == self._next_seq
            and ring.last_bytes <= max_bytes
            and not (self._seeking or run.missing)
            and run.place == ring.place
            and run.publication == self._publication
            and run.tracks is self._told
        ):  # nearly always: it has all before, and takes what has just come as it is
            self._position = ring.end
            self._next_seq += len(run.units)
            return run
        while self._position < ring.end:
            if self._position < ring.start:
                self._position, self._seeking = ring.start, True
            if self._seeking and not self._seek():
                return None
            run = ring.read(self._position, max_bytes, larger_bytes, self._told)
            if run is None:
                return None
            self._position += len(run.units)
            if self._fit(run):
                self._told = run.tracks
                return run
        return None

    def _seek(self) -> bool:
        joined = self._ring.next_join(self._position)
        if joined is None:
            self._position = self._ring.end
            return False
        self._position, self._seeking = joined, False
        return True

    def _fit(self, run: Run) -> bool:
        """Cut off what the reader has; say what it misses. False where nothing is left."""
        first = run.first_seq
        if run.publication == self._publication:
            if (known := self._next_seq - first) > 0:
                if known >= len(run.units):
                    return False
                run.units = run.units[known:]
                first = run.first_seq
            run.missing = first - self._next_seq
        elif self._publication:
            after = UnitName(self._publication, self._next_seq - 1)
            run.missing = max(run.missing, self._ring.missing_between(after, UnitName(run.publication, first)))
        else:
            run.missing = 0  # nothing is missing before the first unit that a reader gets
        self._publication, self._next_seq = run.publication, run.units[-1].seq + 1
        return True
