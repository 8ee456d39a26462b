"""Access units in, transport packets out (ISO/IEC 13818-1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from lalmesh.container.mpegts._clock import ProgramClock
from lalmesh.container.mpegts._constants import PAT_PID
from lalmesh.container.mpegts._framing import Piece
from lalmesh.container.mpegts._packets import DISCONTINUITY, RANDOM_ACCESS, PidWriter, adaptation
from lalmesh.container.mpegts._pes import pes_header
from lalmesh.container.mpegts._program import PMT_PID, Program, Stream
from lalmesh.container.mpegts._psi import MAX_VERSION
from lalmesh.container.mpegts._tables import TableWriter
from lalmesh.container.mpegts._timestamps import PCR_LEAD_TICKS, TIME_OFFSET_TICKS
from lalmesh.errors import RemoteProtocolError
from lalmesh.media import AccessUnit, MediaCounters, TrackSet

Parts: TypeAlias = list[bytes | memoryview]  #: pieces of wire bytes, to be joined once


@dataclass(slots=True, frozen=True)
class Continuity:
    """Where the counters of a muxer stand, so that another can go on behind it."""

    counters: Mapping[int, int]  #: continuity_counter of the next packet with a payload, by PID
    table_version: int  #: version_number of the newest PMT, 0 to 31

    def to_state(self) -> dict[str, int | dict[str, int]]:
        """The same as JSON can hold it."""
        return {"table_version": self.table_version, "counters": {str(pid): counter for pid, counter in self.counters.items()}}

    @classmethod
    def from_state(cls, state: Mapping[str, int | Mapping[str, int]]) -> Continuity:
        """What `to_state` gave.

        Raises:
            RemoteProtocolError: it did not.
        """
        try:
            counters, version = state["counters"], state["table_version"]
        except KeyError as error:
            raise RemoteProtocolError(f"continuity without {error}") from error
        if not isinstance(counters, Mapping) or not isinstance(version, int):
            raise RemoteProtocolError(f"continuity with counters {counters!r} and version {version!r}")
        try:
            by_pid = {int(pid): int(counter) & 0x0F for pid, counter in counters.items()}
        except (TypeError, ValueError) as error:
            raise RemoteProtocolError(f"continuity with counters {counters!r}") from error
        return cls(by_pid, version & MAX_VERSION)


_NEW = Continuity({}, MAX_VERSION)  # the version before 0


class TsMuxer:
    """Mux the tracks of one stream into a transport stream of one program.

    What begins at a random access point of the video is whole: PAT, PMT and a PCR go before it, parameter sets too. All times go
    out `TIME_OFFSET_TICKS` later than they came in, in 33 bits.
    """

    def __init__(self, *, resume: Continuity | None = None) -> None:
        """Begin a stream, or go on behind another muxer where its counters stood."""
        state = resume or _NEW
        self._resumed = dict(state.counters)
        self._writers: dict[int, PidWriter] = {}  # by PID; they stay when their track goes, since it may come back
        self._tracks = TrackSet()
        self._program = Program.of(self._tracks)
        self._tables = TableWriter(self._program, self._resumed.pop(PAT_PID, 0), state.table_version)
        self._resumed.pop(PMT_PID, None)  # that of the PAT
        self._clock = ProgramClock()
        self.counters = MediaCounters()  #: units of carried tracks that could not be muxed, by reason

    @property
    def continuity(self) -> Continuity:
        """Where the counters stand now."""
        counters = self._resumed | {pid: writer.counter for pid, writer in self._writers.items()}
        return Continuity(counters | dict.fromkeys((PAT_PID, PMT_PID), self._tables.counter), self._tables.version)

    def begin_segment(self) -> None:
        """Let PAT, PMT and a PCR go before the next unit: what begins there is read on its own."""
        self._tables.ask()

    def tables_for(self, tracks: TrackSet, dts: int) -> bytes:
        """PAT and PMT for one player that begins at the unit at `dts`, where none went out: audio has no point to begin at.

        Nothing changes for the others. Its counters go on into the tables that the player sees next, as long as those are among
        the newest 256.

        Returns:
            Two packets; nothing where no track of `tracks` can be carried.
        """
        program = self._program if tracks is self._tracks else Program.of(tracks)
        return self._tables.for_joiner(program, dts) if program.clock is not None else b""

    def mux(self, unit: AccessUnit, tracks: TrackSet, parts: Parts) -> int:
        """Add the packets of `unit` to `parts`, with the tables and clock packets that are due before it.

        Args:
            unit: of a track of `tracks`; those of each track in the order of their decoding times.
            tracks: of the stream as of this unit; the same object as long as nothing changes.
            parts: what whole packets are added to.

        Returns:
            Bytes added; 0 where the track cannot be carried, or the unit is malformed, which is counted.
        Source: ISO/IEC 13818-1 §2.4.3, §2.4.4
        """
        if tracks is not self._tracks:
            self._follow(tracks)
        stream = self._program.streams.get(unit.track_id)
        pieces = self._frame(stream, unit) if stream is not None else None
        if stream is None or pieces is None:
            return 0
        before = len(parts)
        said = self._prepare(stream, unit, parts)
        dts = unit.dts + TIME_OFFSET_TICKS
        pieces[0] = pes_header(stream.stream_id, sum(map(len, pieces)), dts + unit.cts, dts)
        parts.append(self._writer(stream.pid).write(said, b"".join(pieces)))
        return sum(map(len, parts[before:]))

    def _follow(self, tracks: TrackSet) -> None:
        if tracks == self._tracks:
            self._tracks = tracks
            return
        program = Program.of(tracks)
        if program.clock is not None and (self._program.clock is None or program.clock.pid != self._program.clock.pid):
            self._clock.ask()
        self._clock.forget(set(program.streams))
        self._tables.follow(program)
        self._tracks, self._program = tracks, program

    def _frame(self, stream: Stream, unit: AccessUnit) -> list[Piece] | None:
        try:
            return stream.frame(unit)
        except RemoteProtocolError:
            self.counters.count(f"malformed {stream.track.codec.value} unit")
            return None

    def _prepare(self, stream: Stream, unit: AccessUnit, parts: Parts) -> bytes:
        """Add what goes before a unit to `parts`. Gives what the adaptation field of its first packet says."""
        dts, is_clock = unit.dts, stream is self._program.clock
        begins_anew = self._clock.begins_anew(unit.track_id, dts, is_clock)
        if begins_anew:
            self._tables.ask()
        else:
            self._bridge(unit.track_id, dts, is_clock, parts)
        starts = is_clock and stream.is_video and unit.random_access
        if starts or self._tables.is_due(dts):
            parts.append(self._tables.write(dts))
            self._clock.ask()
        if is_clock:
            return self._said_by_clock(stream, unit, begins_anew)
        self._start_clock(dts, begins_anew, parts)
        return adaptation(RANDOM_ACCESS) if stream.is_video and unit.random_access else b""

    def _bridge(self, track_id: int, dts: int, is_clock: bool, parts: Parts) -> None:
        for pcr in self._clock.bridge(track_id, dts, is_clock):
            if self._tables.is_due(pcr + PCR_LEAD_TICKS):
                parts.append(self._tables.write(pcr + PCR_LEAD_TICKS))
            parts.append(self._clock_packet(0, pcr))

    def _said_by_clock(self, stream: Stream, unit: AccessUnit, begins_anew: bool) -> bytes:
        """What a unit of the clock track says; that decoding can start only together with a PCR (§2.4.3.5)."""
        if begins_anew:
            flags = DISCONTINUITY | RANDOM_ACCESS if unit.random_access else DISCONTINUITY
            return adaptation(flags, self._clock.restart(unit.dts) + TIME_OFFSET_TICKS)
        pcr = self._clock.of_unit(unit.dts)
        if pcr is None:
            return b""
        return adaptation(RANDOM_ACCESS if unit.random_access else 0, pcr + TIME_OFFSET_TICKS)

    def _start_clock(self, dts: int, begins_anew: bool, parts: Parts) -> None:
        """Add a PCR before a unit of another track, where there is none of its time base yet."""
        pcr = self._clock.restart(dts) if begins_anew else self._clock.start(dts)
        if pcr is not None:
            parts.append(self._clock_packet(DISCONTINUITY if begins_anew else 0, pcr))

    def _clock_packet(self, flags: int, pcr: int) -> bytes:
        clock = self._program.clock
        assert clock is not None, "a unit is only muxed where a stream carries the clock"
        return self._writer(clock.pid).clock_packet(flags, pcr + TIME_OFFSET_TICKS)

    def _writer(self, pid: int) -> PidWriter:
        writer = self._writers.get(pid)
        if writer is None:
            writer = self._writers[pid] = PidWriter(pid, self._resumed.pop(pid, 0))
        return writer
