"""PES packets cut into transport packets (ISO/IEC 13818-1 §2.4.3).

This is the hot path of every transport stream that goes out. All headers that a PID can have are built once; those of a run of
full packets are taken as one slice, their payloads by one `struct` call, and both are woven together without a loop.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import Final

from lalmesh.container.mpegts._constants import PAYLOAD_BYTES, SYNC_BYTE
from lalmesh.container.mpegts._timestamps import pcr_field

DISCONTINUITY, RANDOM_ACCESS, HAS_PCR = 0x80, 0x40, 0x10  #: flags of an adaptation field (§2.4.3.5)

_UNIT_START = 0x40  # payload_unit_start_indicator, in the second byte
_PAYLOAD, _FIELD, _FIELD_AND_PAYLOAD = 0x10, 0x20, 0x30  # adaptation_field_control, in the fourth
_COUNTERS: Final = 16  #: continuity_counter has four bits
_RUN: Final = 64  #: packets woven at once: 12 KB of picture

#: stuffing of each size from 0 to 184 bytes, as an adaptation field without any flag
_STUFFING = (b"", b"\x00", *(bytes((size - 1, 0)) + b"\xff" * (size - 2) for size in range(2, PAYLOAD_BYTES + 1)))


def adaptation(flags: int, pcr: int | None = None) -> bytes:
    """What an adaptation field says, without its length: `flags`, and the PCR in ticks where there is one (§2.4.3.5)."""
    return bytes((flags,)) if pcr is None else bytes((flags | HAS_PCR,)) + pcr_field(pcr)


def table_packet(pid: int, counter: int, section: bytes) -> bytes:
    """The one packet of a section, which is at most 183 bytes: a pointer of 0 before it, stuffing behind (§2.4.4.1)."""
    return _header(pid, _UNIT_START, _PAYLOAD, counter) + (b"\x00" + section).ljust(PAYLOAD_BYTES, b"\xff")


def _header(pid: int, start: int, control: int, counter: int) -> bytes:
    return bytes((SYNC_BYTE, start | pid >> 8, pid & 0xFF, control | counter))


@cache
def _payloads(count: int) -> struct.Struct:
    """What takes `count` payloads of full packets, 0 to `_RUN`, out of a PES packet."""
    return struct.Struct(f"{PAYLOAD_BYTES}s" * count)


class PidWriter:
    """Writes the packets of one PID."""

    __slots__ = ("_empty", "_full", "_start", "_start_with_field", "_tail", "counter")

    def __init__(self, pid: int, counter: int = 0) -> None:
        """Write on `pid` from continuity_counter `counter` on."""
        self.counter = counter  #: continuity_counter of the next packet with a payload

        def headers(start: int, control: int) -> tuple[bytes, ...]:
            return tuple(_header(pid, start, control, number) for number in range(_COUNTERS))

        self._start = headers(_UNIT_START, _PAYLOAD)
        self._start_with_field = headers(_UNIT_START, _FIELD_AND_PAYLOAD)
        self._full = headers(0, _PAYLOAD) * (_RUN // _COUNTERS + 1)
        self._tail = headers(0, _FIELD_AND_PAYLOAD)
        self._empty = headers(0, _FIELD)

    def clock_packet(self, flags: int, pcr: int) -> bytes:
        """A packet that carries a PCR and no payload; the counter stays (§2.4.3.3)."""
        said = adaptation(flags, pcr)
        field = bytes((PAYLOAD_BYTES - 1,)) + said + b"\xff" * (PAYLOAD_BYTES - 1 - len(said))
        return self._empty[(self.counter - 1) % _COUNTERS] + field

    def write(self, said: bytes, pes: bytes) -> bytes:
        """The packets of one PES packet.

        Args:
            said: what the adaptation field of the first packet says, as `adaptation` makes it; empty: nothing.
            pes: the PES packet.
        """
        counter = self.counter
        room = PAYLOAD_BYTES - 1 - len(said) if said else PAYLOAD_BYTES
        stuffing = room - len(pes)
        if stuffing >= 0:
            self.counter = (counter + 1) % _COUNTERS
            return self._start_packet(counter, said, stuffing) + pes
        pieces = [self._start_packet(counter, said, 0), pes[:room]]
        full, rest = divmod(-stuffing, PAYLOAD_BYTES)
        counter = self._weave(pes, room, full, (counter + 1) % _COUNTERS, pieces)
        if rest:
            pieces += (self._tail[counter], _STUFFING[PAYLOAD_BYTES - rest], pes[-rest:])
            counter = (counter + 1) % _COUNTERS
        self.counter = counter
        return b"".join(pieces)

    def _start_packet(self, counter: int, said: bytes, stuffing: int) -> bytes:
        """Header and adaptation field of the packet that a PES packet begins in, with `stuffing` bytes of stuffing."""
        if not said:
            return self._start_with_field[counter] + _STUFFING[stuffing] if stuffing else self._start[counter]
        return self._start_with_field[counter] + bytes((len(said) + stuffing,)) + said + b"\xff" * stuffing

    def _weave(self, pes: bytes, at: int, count: int, counter: int, pieces: list[bytes]) -> int:
        """Add `count` full packets from offset `at` of the PES packet to `pieces`. Gives the counter after them."""
        while count:
            run = min(count, _RUN)
            woven = [b""] * (2 * run)
            woven[0::2] = self._full[counter : counter + run]
            woven[1::2] = _payloads(run).unpack_from(pes, at)
            pieces += woven
            at += run * PAYLOAD_BYTES
            count -= run
            counter = (counter + run) % _COUNTERS
        return counter
