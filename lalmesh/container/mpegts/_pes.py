"""PES packets: their header, written and read (ISO/IEC 13818-1 §2.4.3.6, §2.4.3.7)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from lalmesh.container.mpegts._timestamps import parse_timestamp
from lalmesh.errors import RemoteProtocolError

MAX_PES_LENGTH: Final = 0xFFFF  #: PES_packet_length has 16 bits

_SECTION = "ISO/IEC 13818-1 §2.4.3.6"
_PREFIX = b"\x00\x00\x01"
_FIXED_BYTES = 9  # up to PES_header_data_length
_LENGTH_FROM = 6  # the byte from which PES_packet_length counts
_WITH_PTS = struct.Struct(">IHHBBHH")
_WITH_DTS = struct.Struct(">IHHBBHHBHH")
_PTS_ONLY, _PTS_AND_DTS = 0x8480, 0x84C0  # '10' and data_alignment_indicator, then PTS_DTS_flags
_PTS_MARK, _BOTH_PTS_MARK, _DTS_MARK = 0x21, 0x31, 0x11  # four bits that tell which, marker_bit in the lowest
#: stream_id -> packets that are data alone, or padding (Table 2-21): no flags, no times
_BARE_STREAMS = frozenset((0xBC, 0xBE, 0xBF, 0xF0, 0xF1, 0xF2, 0xF8, 0xFF))


def pes_header(stream_id: int, payload_bytes: int, pts: int, dts: int) -> bytes:
    """The header of a PES packet that begins with an access unit.

    Args:
        stream_id: 8 bits (Table 2-22).
        payload_bytes: what follows the header; a packet over `MAX_PES_LENGTH` says length 0, which only video may.
        pts: presentation time in ticks, of which 33 bits are written.
        dts: decoding time in ticks; written where it differs.
    Source: ISO/IEC 13818-1 §2.4.3.6, §2.4.3.7
    """
    start = 0x100 | stream_id
    high, middle, low = pts >> 29 & 0x0E, pts >> 14 & 0xFFFE | 1, pts << 1 & 0xFFFE | 1
    if pts == dts:
        length = _WITH_PTS.size - _LENGTH_FROM + payload_bytes
        if length > MAX_PES_LENGTH:
            length = 0
        return _WITH_PTS.pack(start, length, _PTS_ONLY, 5, _PTS_MARK | high, middle, low)
    length = _WITH_DTS.size - _LENGTH_FROM + payload_bytes
    if length > MAX_PES_LENGTH:
        length = 0
    dts_parts = _DTS_MARK | dts >> 29 & 0x0E, dts >> 14 & 0xFFFE | 1, dts << 1 & 0xFFFE | 1
    return _WITH_DTS.pack(start, length, _PTS_AND_DTS, 10, _BOTH_PTS_MARK | high, middle, low, *dts_parts)


@dataclass(slots=True, frozen=True)
class PesPacket:
    """One PES packet, whole."""

    pts: int | None  #: 33 bits; None: not said
    dts: int | None  #: 33 bits; the PTS where only that is said
    payload: bytes

    @classmethod
    def parse(cls, data: bytes | bytearray) -> PesPacket | None:
        """Read a packet; None of those that hold no part of a stream, such as padding.

        Args:
            data: the packet; where its length is said, what is behind it is ignored.

        Raises:
            RemoteProtocolError: no start code, cut off, a broken time stamp.
        Source: ISO/IEC 13818-1 §2.4.3.6
        """
        if len(data) < _FIXED_BYTES or not data.startswith(_PREFIX):
            raise RemoteProtocolError(f"no PES packet: {bytes(data[:_FIXED_BYTES]).hex()}", section=_SECTION)
        if data[3] in _BARE_STREAMS:
            return None
        start = _FIXED_BYTES + data[8]
        end = whole_size(data) or len(data)
        if data[6] >> 6 != 0b10 or end < start or len(data) < end:
            raise RemoteProtocolError(f"PES packet of {len(data)} bytes, header {start}, end {end}", section=_SECTION)
        pts, dts = _times(data, start)
        return cls(pts, dts, bytes(data[start:end]))


def _times(data: bytes | bytearray, end: int) -> tuple[int | None, int | None]:
    """PTS and DTS of a header that ends before `end` (§2.4.3.7)."""
    said = data[7] >> 6
    if said < 0b10:
        return None, None
    if end < _FIXED_BYTES + (5 if said == 0b10 else 10):
        raise RemoteProtocolError("time stamps behind the PES header", section=_SECTION)
    pts = parse_timestamp(data, _FIXED_BYTES)
    return pts, pts if said == 0b10 else parse_timestamp(data, _FIXED_BYTES + 5)


def whole_size(head: bytes | bytearray) -> int:
    """Size in bytes of the packet that begins with `head`, at least 6 bytes; 0 where the next one ends it (§2.4.3.7)."""
    length = head[4] << 8 | head[5]
    return _LENGTH_FROM + length if length else 0
