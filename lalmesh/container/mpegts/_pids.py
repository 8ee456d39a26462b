"""The packets of one PID in order: continuity (ISO/IEC 13818-1 §2.4.3.3), and what is put together from their payloads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from lalmesh.container.mpegts._pes import PesPacket, whole_size
from lalmesh.container.mpegts._psi import Section, SectionReader
from lalmesh.container.mpegts._tracks import Tracks
from lalmesh.errors import RemoteProtocolError
from lalmesh.media import MediaEvent

MAX_PES_BYTES: Final = 16 << 20  #: key frames of 4K at 50 Mbit/s stay far below; only video may be over 64 KiB

_LENGTH_KNOWN_BYTES = 6  # up to PES_packet_length


class Elementary(Protocol):
    """What takes the PES packets of one elementary stream."""

    def take(self, pes: PesPacket) -> list[MediaEvent]:
        """Take a whole PES packet, and give what is complete."""
        ...

    def lost(self) -> None:
        """Take note that a PES packet is missing."""
        ...

    def flush(self) -> list[MediaEvent]:
        """Give what is held back: the stream is over."""
        ...


class Assembly(Protocol):
    """What takes the payloads of the packets of one PID."""

    def take(self, payload: bytes, starts: bool) -> list[MediaEvent]:
        """Take one payload; `starts` is payload_unit_start_indicator."""
        ...

    def lost(self) -> None:
        """Take note that packets are missing."""
        ...

    def flush(self) -> list[MediaEvent]:
        """Give what is held back: the stream is over."""
        ...


class PidReader:
    """Checks the order of the packets of one PID."""

    __slots__ = ("_assembly", "_counter", "_payload", "_tracks")

    def __init__(self, assembly: Assembly, tracks: Tracks) -> None:
        """Give the payloads to `assembly`, and count in `tracks`."""
        self._assembly = assembly
        self._tracks = tracks
        self._counter: int | None = None  # the next one
        self._payload = b""

    def take(self, counter: int, payload: bytes, starts: bool) -> list[MediaEvent]:
        """Take the payload of one packet under its continuity_counter."""
        if counter != self._counter and self._counter is not None:
            if counter == (self._counter - 1) % 16 and payload == self._payload:
                return []  # sent twice, as is allowed
            self._tracks.counters.continuity_gaps += 1
            self._assembly.lost()
        self._counter, self._payload = (counter + 1) % 16, payload
        return self._assembly.take(payload, starts)

    def expect_any(self) -> None:
        """Let the next packet have any counter: its discontinuity_indicator announced it (§2.4.3.5)."""
        self._counter = None

    def flush(self) -> list[MediaEvent]:
        """Give what is held back: the stream is over."""
        return self._assembly.flush()


class PesAssembly:
    """Puts PES packets together. It holds at most `MAX_PES_BYTES`."""

    def __init__(self, stream: Elementary, tracks: Tracks) -> None:
        """Give the PES packets to `stream`, and count in `tracks`."""
        self._stream = stream
        self._tracks = tracks
        self._buffer: bytearray | None = None  # None: between two PES packets, or one is passed over
        self._size = 0  # of the whole PES packet; 0: the next one ends it, or it is not known yet

    def take(self, payload: bytes, starts: bool) -> list[MediaEvent]:
        """Take one payload."""
        events: list[MediaEvent] = []
        if starts:
            events = self._finish()
            self._buffer, self._size = bytearray(payload), 0
        elif self._buffer is not None:
            self._buffer += payload
        buffer = self._buffer
        if buffer is None:
            return events
        if not self._size and len(buffer) >= _LENGTH_KNOWN_BYTES:
            self._size = whole_size(buffer)
        if 0 < self._size <= len(buffer):
            return events + self._finish()
        if len(buffer) > MAX_PES_BYTES:
            self._give_up("PES packet over 16 MiB")
        return events

    def lost(self) -> None:
        """Pass over the PES packet whose packets are missing."""
        if self._buffer is not None:
            self._give_up("PES packet with packets missing")
        self._stream.lost()

    def flush(self) -> list[MediaEvent]:
        """Give what is held back; a PES packet that does not say its length ends here."""
        return self._finish() + self._stream.flush()

    def _give_up(self, why: str) -> None:
        self._tracks.count_broken(why)
        self._buffer = None

    def _finish(self) -> list[MediaEvent]:
        buffer, self._buffer = self._buffer, None
        if buffer is None:
            return []
        try:
            pes = PesPacket.parse(buffer)
        except RemoteProtocolError:
            self._tracks.count_broken("malformed PES packet")
            self._stream.lost()
            return []
        return self._stream.take(pes) if pes is not None else []


class TableAssembly:
    """Puts the sections of one table together. A section is only looked at where it differs from the one before."""

    def __init__(self, changed: Callable[[Section], list[MediaEvent]], tracks: Tracks) -> None:
        """Give each new section, if its CRC is right and it applies now, to `changed`, and count in `tracks`."""
        self._changed = changed
        self._tracks = tracks
        self._reader = SectionReader()
        self._last = b""

    def take(self, payload: bytes, starts: bool) -> list[MediaEvent]:
        """Take one payload."""
        events: list[MediaEvent] = []
        for data in self._reader.feed(payload, starts):
            if data != self._last:
                events += self._section(data)
        return events

    def lost(self) -> None:
        """Forget the section that was begun."""
        self._reader.reset()

    def flush(self) -> list[MediaEvent]:
        """A section that is not whole says nothing."""
        return []

    def _section(self, data: bytes) -> list[MediaEvent]:
        try:
            section = Section.parse(data)
            events = self._changed(section) if section.current else []
        except RemoteProtocolError:
            self._tracks.count_broken("malformed table")
            return []
        self._last = data
        return events
