"""Program specific information: the sections of PAT and PMT (ISO/IEC 13818-1 §2.4.4)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lalmesh.errors import RemoteProtocolError

TABLE_PAT, TABLE_PMT = 0x00, 0x02
MAX_SECTION_BYTES = 1024  #: of PAT and PMT: section_length is at most 1021 (§2.4.4.5, §2.4.4.9)
MAX_VERSION = 31  #: version_number has five bits
CRC_BYTES = 4

_SECTION = "ISO/IEC 13818-1 §2.4.4"
_HEAD = struct.Struct(">BHHBBB")  # table_id, section_length, the table's own id, version, section_number, last_section_number
_SYNTAX = 0xB000  # section_syntax_indicator, a zero bit, two reserved ones
_LENGTH_MASK = 0x0FFF
_PID_MASK = 0x1FFF
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def crc32_mpeg(data: bytes) -> int:
    """The CRC_32 of a section; 0 where `data` ends with its own (Annex A).

    The polynomial is that of zlib, which takes the bits of each byte in the other order and inverts the result.
    """
    return int(f"{zlib.crc32(data.translate(_REVERSED)) ^ 0xFFFFFFFF:032b}"[::-1], 2)


@dataclass(slots=True, frozen=True)
class Section:
    """One section of a table whose CRC was right."""

    table_id: int
    table_id_extension: int  #: transport_stream_id of a PAT, program_number of a PMT
    version: int  #: 0 to `MAX_VERSION`
    current: bool  #: applies now, not later
    body: bytes  #: between header and CRC

    @classmethod
    def parse(cls, data: bytes) -> Section:
        """Read a whole section, which `data` is.

        Raises:
            RemoteProtocolError: too short, or its CRC is wrong.
        Source: ISO/IEC 13818-1 §2.4.4.3, §2.4.4.8
        """
        if len(data) < _HEAD.size + CRC_BYTES:
            raise RemoteProtocolError(f"section of {len(data)} bytes", section=_SECTION)
        if crc32_mpeg(data):
            raise RemoteProtocolError("wrong CRC of a section", section=_SECTION)
        table_id, _, extension, version, _, _ = _HEAD.unpack_from(data)
        return cls(table_id, extension, version >> 1 & MAX_VERSION, bool(version & 1), data[_HEAD.size : -CRC_BYTES])

    def serialize(self) -> bytes:
        """Give the bytes of the section, its only one of the table."""
        length = _HEAD.size - 3 + len(self.body) + CRC_BYTES
        version = 0xC0 | self.version << 1 | self.current
        data = _HEAD.pack(self.table_id, _SYNTAX | length, self.table_id_extension, version, 0, 0) + self.body
        return data + crc32_mpeg(data).to_bytes(CRC_BYTES, "big")


@dataclass(slots=True, frozen=True)
class StreamInfo:
    """One elementary stream in a PMT (§2.4.4.8)."""

    pid: int
    stream_type: int
    descriptors: tuple[tuple[int, bytes], ...] = ()  #: tag and contents

    def serialize(self) -> bytes:
        """Give its entry of the PMT."""
        info = b"".join(bytes((tag, len(body))) + body for tag, body in self.descriptors)
        return struct.pack(">BHH", self.stream_type, 0xE000 | self.pid, 0xF000 | len(info)) + info


def pat_body(programs: Iterable[tuple[int, int]]) -> bytes:
    """The body of a PAT of ``(program_number, pid of its PMT)`` (§2.4.4.3)."""
    return b"".join(struct.pack(">HH", number, 0xE000 | pid) for number, pid in programs)


def parse_pat(body: bytes) -> list[tuple[int, int]]:
    """The programs of a PAT as ``(program_number, pid of its PMT)``, without the network information (§2.4.4.3)."""
    pairs = struct.iter_unpack(">HH", body[: len(body) // 4 * 4])
    return [(number, pid & _PID_MASK) for number, pid in pairs if number]


def pmt_body(pcr_pid: int, streams: Iterable[StreamInfo]) -> bytes:
    """The body of a PMT (§2.4.4.8)."""
    return struct.pack(">HH", 0xE000 | pcr_pid, 0xF000) + b"".join(stream.serialize() for stream in streams)


def parse_pmt(body: bytes) -> list[StreamInfo]:
    """The elementary streams of a PMT.

    Raises:
        RemoteProtocolError: it is cut off.
    Source: ISO/IEC 13818-1 §2.4.4.8
    """
    if len(body) < 4:
        raise RemoteProtocolError(f"PMT of {len(body)} bytes", section=_SECTION)
    at = 4 + (int.from_bytes(body[2:4], "big") & _LENGTH_MASK)
    streams = []
    while at + 5 <= len(body):
        stream_type, pid, info = struct.unpack_from(">BHH", body, at)
        end = at + 5 + (info & _LENGTH_MASK)
        if end > len(body):
            raise RemoteProtocolError(f"descriptors end {end - len(body)} bytes behind their PMT", section=_SECTION)
        streams.append(StreamInfo(pid & _PID_MASK, stream_type, tuple(_descriptors(body[at + 5 : end]))))
        at = end
    return streams


def _descriptors(info: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 2 <= len(info):
        end = at + 2 + info[at + 1]
        yield info[at], info[at + 2 : end]
        at = end


class SectionReader:
    """Put the sections of one PID together from the payloads of its packets. It holds at most `MAX_SECTION_BYTES`."""

    def __init__(self) -> None:
        """Wait for the start of a section."""
        self._buffer = bytearray()
        self._inside = False

    def reset(self) -> None:
        """Forget what was begun: packets are missing."""
        self._buffer.clear()
        self._inside = False

    def feed(self, payload: bytes, starts: bool) -> list[bytes]:
        """Give the sections that the payload of one packet completed.

        Args:
            payload: of one packet.
            starts: payload_unit_start_indicator: it begins with a pointer to the first new section (§2.4.4.1).
        """
        if not starts:
            return self._append(payload) if self._inside else []
        if not payload or (new := 1 + payload[0]) > len(payload):
            self.reset()
            return []
        sections = self._append(payload[1:new]) if self._inside else []
        self.reset()
        self._inside = True
        return sections + self._append(payload[new:])

    def _append(self, data: bytes) -> list[bytes]:
        buffer = self._buffer
        buffer += data
        sections: list[bytes] = []
        while len(buffer) >= 3 and buffer[0] != 0xFF:  # which is stuffing (§2.4.4.1)
            size = 3 + (int.from_bytes(buffer[1:3], "big") & _LENGTH_MASK)
            if size > MAX_SECTION_BYTES:
                self.reset()
                return sections
            if len(buffer) < size:
                return sections
            sections.append(bytes(buffer[:size]))
            del buffer[:size]
        if buffer and buffer[0] == 0xFF:
            self.reset()
        return sections
