"""When PAT and PMT go out, and under which counter and version (ISO/IEC 13818-1 §2.4.4)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from lalmesh.container.mpegts._constants import PACKET_BYTES, PAT_PID, TABLE_INTERVAL_TICKS
from lalmesh.container.mpegts._packets import table_packet
from lalmesh.container.mpegts._program import PMT_PID, PROGRAM_NUMBER, Program
from lalmesh.container.mpegts._psi import MAX_VERSION, TABLE_PAT, Section, pat_body
from lalmesh.media import TICKS_PER_MS

TABLES_BYTES: Final = 2 * PACKET_BYTES  #: PAT and PMT take one packet each
MAX_REMEMBERED: Final = 256  #: over two minutes at two a second: longer than any cache that a player may begin in

#: They go out with a unit, so as much earlier as the longest distance of units that are not bridged by the clock.
_DUE_TICKS: Final = TABLE_INTERVAL_TICKS - 100 * TICKS_PER_MS
_PAT = Section(TABLE_PAT, 1, 0, True, pat_body([(PROGRAM_NUMBER, PMT_PID)])).serialize()


@dataclass(slots=True, frozen=True)
class _Written:
    """Tables that went out."""

    dts: int
    counter: int
    program: Program
    version: int


class TableWriter:
    """Writes the PAT and the PMT, which share one continuity counter, since they only go out together."""

    def __init__(self, program: Program, counter: int, version: int) -> None:
        """Begin with `program` under `version`, and with continuity_counter `counter`."""
        self.counter = counter  #: of the next tables
        self.version = version  #: version_number of the PMT
        self._program = program
        self._is_due = True
        self._last_dts = 0
        self._written: deque[_Written] = deque(maxlen=MAX_REMEMBERED)

    def follow(self, program: Program) -> None:
        """Let the next tables be of `program`; where it carries other tracks, under the next version and at once."""
        if program.tracks != self._program.tracks:
            self.version = (self.version + 1) % (MAX_VERSION + 1)
            self._is_due = True
        self._program = program

    def ask(self) -> None:
        """Let tables go out before whatever comes next."""
        self._is_due = True

    def is_due(self, dts: int) -> bool:
        """Whether tables have to go out before what is of the time `dts`."""
        return self._is_due or dts - self._last_dts >= _DUE_TICKS

    def write(self, dts: int) -> bytes:
        """The tables before what is of the time `dts`."""
        packets = _packets(self._program, self.counter, self.version)
        self._written.append(_Written(dts, self.counter, self._program, self.version))
        self.counter = (self.counter + 1) % 16
        self._is_due, self._last_dts = False, dts
        return packets

    def for_joiner(self, program: Program, dts: int) -> bytes:
        """Tables of `program` for one player that begins at `dts`: their counters are one less than those it will see next."""
        following = self._first_since(dts)
        if following is None:
            following = _Written(dts, self.counter, self._program, self.version)
            version = self.version + (program.tracks != self._program.tracks)
        else:  # the unit at `dts` may lie before a change of tracks
            version = following.version - (program.tracks != following.program.tracks)
        return _packets(program, (following.counter - 1) % 16, version % (MAX_VERSION + 1))

    def _first_since(self, dts: int) -> _Written | None:
        """The first tables at or after `dts`, as far as they are remembered and not before a step back."""
        found = None
        for written in reversed(self._written):
            if written.dts < dts:
                break
            found = written
        return found


def _packets(program: Program, counter: int, version: int) -> bytes:
    return table_packet(PAT_PID, counter, _PAT) + table_packet(PMT_PID, counter, program.pmt(version))
