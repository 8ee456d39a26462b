"""What must hold after each step, looked at where it could break; the first breach ends the schedule."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NO_EPOCH, Epoch, Grant
from lalmesh.runtime.ring import Run
from services.hls.layout import state_folder
from simulation.world import Process, World

log = logging.getLogger(__name__)


class Breach(AssertionError):
    """Something that must never be."""


@dataclass(slots=True)
class Seen:
    """What one reader gave to its players."""

    publication: bytes = b""
    seq: int = -1
    over: dict[bytes, int] = field(default_factory=dict)  #: publications before, with the last unit of each
    dts: dict[int, int] = field(default_factory=dict)  #: by track
    epoch: Epoch = NO_EPOCH
    units: int = 0
    missing: int = 0  #: announced
    last_payload: bytes = b""
    last_at: float = 0.0
    longest_gap_s: float = 0.0


@dataclass(slots=True)
class Segmented:
    """What the segmenters of a stream got, all of them together: a successor goes over some of it again.

    Before the first state is stored no list names a segment, so a successor owes nothing: it joins as the first one did.
    """

    publication: bytes = b""
    epoch: Epoch = NO_EPOCH
    seq: int = -1  #: of the last unit that any of them got
    missing: int = 0  #: that none of them got, between two that one of them did
    last_at: float = 0.0  #: when it went on
    longest_gap_s: float = 0.0
    is_stored: bool = False  #: a successor finds how far one of them came

    def see(self, run: Run, now: float) -> None:
        """One of them got `run`."""
        if not run.units or run.epoch < self.epoch:
            return
        if run.publication != self.publication or not self.is_stored:  # what is missing of its beginning is missing nowhere
            self.publication, self.seq = run.publication, run.units[0].seq - 1
        self.epoch = run.epoch
        last = run.units[-1].seq
        if last <= self.seq:
            return
        self.missing += max(0, run.units[0].seq - self.seq - 1)
        self.seq = last
        if self.last_at:
            self.longest_gap_s = max(self.longest_gap_s, now - self.last_at)
        self.last_at = now


class Watcher:
    """Sees everything."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._names: dict[tuple[bytes, int], bytes] = {}  # payload of each unit by its name
        self._writers: dict[tuple[StreamKey, Epoch], bytes] = {}  # publication by stream and epoch
        self._heights: dict[tuple[str, Process, StreamKey], Epoch] = {}  # highest epoch by kind and place
        self._segmenters: dict[tuple[StreamKey, Epoch], Process] = {}
        self._streams: dict[bytes, StreamKey] = {}  # by publication
        self.segmented: dict[StreamKey, Segmented] = {}
        self.breach: Breach | None = None

    def fail(self, what: str) -> None:
        """Note a breach; the schedule ends with it."""
        if self.breach is None:
            self.breach = Breach(f"at {self._world.now:.3f} s: {what}")
            log.error("BREACH %s", what)
        raise self.breach

    def _rises(self, kind: str, process: Process, stream: StreamKey, epoch: Epoch) -> None:
        """At each node a stream's epoch never falls."""
        key = (kind, process, stream)
        before = self._heights.get(key, NO_EPOCH)
        if epoch < before:
            self.fail(f"{process.name} {kind} {stream}: epoch {_dot(before)} falls to {_dot(epoch)}")
        self._heights[key] = epoch

    def _one_writer(self, stream: StreamKey, epoch: Epoch, publication: bytes) -> None:
        """Within an epoch there is one writer."""
        if self._writers.setdefault((stream, epoch), publication) != publication:
            self.fail(f"{stream}: epoch {_dot(epoch)} has two publications")

    def stream_of(self, publication: bytes) -> StreamKey:
        """The stream that a publication is of."""
        return self._streams[publication]

    def granted(self, grant: Grant) -> None:
        """An edge has got a grant."""
        self._streams[grant.publication] = grant.stream
        self._one_writer(grant.stream, grant.epoch, grant.publication)

    def accepted(self, process: Process, grant: Grant) -> None:
        """An origin takes a publication in."""
        self._streams[grant.publication] = grant.stream
        self._rises("accepts", process, grant.stream, grant.epoch)
        self._one_writer(grant.stream, grant.epoch, grant.publication)

    def told(self, process: Process, stream: StreamKey, epoch: Epoch) -> None:
        """An origin tells a reader of its epoch."""
        if epoch != NO_EPOCH:
            self._rises("tells", process, stream, epoch)

    def segments(self, process: Process, stream: StreamKey, epoch: Epoch) -> None:
        """An hls node begins to segment a stream under an epoch of its own."""
        self._rises("segments", process, stream, epoch)
        if self._segmenters.setdefault((stream, epoch), process) is not process:
            self.fail(f"{stream}: two hls nodes segment it under {_dot(epoch)}")

    def segmenting(self, stream: StreamKey, run: Run) -> None:
        """A segmenter of a stream, whichever, got units."""
        self.segmented.setdefault(stream, Segmented()).see(run, self._world.now)

    def stored(self, path: str) -> None:
        """The store has an object: the state of a segmenter, or another."""
        for stream, segmented in self.segmented.items():
            segmented.is_stored = segmented.is_stored or path.startswith(f"{state_folder(stream)}/")

    def published(self, publication: bytes, seq: int, payload: bytes) -> None:
        """A publication has numbered a unit."""
        if self._names.setdefault((publication, seq), payload) != payload:
            self.fail(f"unit {publication.hex()[:6]}.{seq} is two units")

    def delivered(self, process: Process, stream: StreamKey, seen: Seen, run: Run) -> None:
        """A reader gives units to its players."""
        self._rises("plays", process, stream, run.epoch)
        self._one_writer(stream, run.epoch, run.publication)
        where = f"{process.name} {stream}"
        if begins := run.publication != seen.publication:
            self._begins(where, seen, run)
        for unit in run.units:
            seq = unit.seq
            if seq <= seen.seq:
                self.fail(f"{where}: unit {run.publication.hex()[:6]}.{seq} after {seen.seq}")
            hole = seq - seen.seq - 1
            if hole and seen.units and run.missing < hole:
                self.fail(f"{where}: {hole} units before {run.publication.hex()[:6]}.{seq} missing, {run.missing} announced")
            if unit is run.units[0] and not begins and run.missing > hole:  # else of the one before, too
                self.fail(f"{where}: {run.missing} units announced as missing before {run.publication.hex()[:6]}.{seq}, {hole} are")
            seen.seq = seq
            if unit.dts <= seen.dts.get(unit.track_id, -1 << 60):
                self.fail(f"{where}: time falls to {unit.dts} at {run.publication.hex()[:6]}.{seq}")
            seen.dts[unit.track_id] = unit.dts
            if self._names.get((run.publication, seq)) != unit.payload:
                self.fail(f"{where}: unit {run.publication.hex()[:6]}.{seq} is not what was published under that name")
            seen.units += 1
            seen.last_payload = unit.payload
        now = self._world.now
        if seen.last_at:
            seen.longest_gap_s = max(seen.longest_gap_s, now - seen.last_at)
        seen.missing += run.missing
        seen.last_at = now

    def _begins(self, where: str, seen: Seen, run: Run) -> None:
        """Another publication: its beginning is announced by itself, what is missing of it is not.

        One that was there before goes on where it was, and under a higher epoch: it has claimed the stream again after the later
        one, of which it may know nothing, had lost it. Who reads it does not know any more how far it had been.
        """
        if run.epoch < seen.epoch or (run.publication in seen.over and run.epoch == seen.epoch):
            self.fail(f"{where}: epoch falls from {_dot(seen.epoch)} to {_dot(run.epoch)} of {run.publication.hex()[:6]}")
        seen.over[seen.publication] = seen.seq
        seen.publication, seen.seq, seen.epoch = run.publication, seen.over.get(run.publication, -1), run.epoch


def _dot(epoch: Epoch) -> str:
    return f"{epoch.term}.{epoch.revision}"
