"""RTP packets: their header, parsed and written (RFC 3550 §5.1, §5.3.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from lalmesh.errors import LocalProtocolError, RemoteProtocolError

HEADER_BYTES: Final = 12  #: of a packet without contributing sources and header extension
MAX_CSRCS: Final = 15  #: the count has four bits
MAX_EXTENSION_WORDS: Final = 0xFFFF  #: the length has sixteen

_SECTION = "RFC 3550 §5.1"
_HEADER = struct.Struct(">BBHII")
_EXTENSION = struct.Struct(">HH")
_VERSION, _PADDING, _HAS_EXTENSION, _MARKER = 0x80, 0x20, 0x10, 0x80
_FIRST_RTCP, _LAST_RTCP = 192, 223  # RFC 5761 §4


@dataclass(slots=True, frozen=True)
class HeaderExtension:
    """The header extension of a packet (§5.3.1)."""

    profile: int  #: 16 bits that the profile defines, such as 0xBEDE of RFC 8285
    data: bytes  #: whole words of 32 bits


@dataclass(slots=True)
class RtpPacket:
    """One packet. Treated as immutable; not frozen, since it is built for every datagram."""

    payload_type: int  #: 7 bits
    sequence_number: int  #: 16 bits, wraps
    timestamp: int  #: 32 bits of the clock of the payload format, wraps
    ssrc: int  #: 32 bits, synchronization source
    marker: bool
    payload: bytes  #: without padding
    csrcs: tuple[int, ...] = ()  #: contributing sources, at most `MAX_CSRCS`
    extension: HeaderExtension | None = None

    @classmethod
    def parse(cls, data: bytes) -> RtpPacket:
        """Read a whole packet.

        Args:
            data: one datagram, or one interleaved frame without its prefix.

        Raises:
            RemoteProtocolError: cut off, another version than 2, padding that is longer than what it pads.
        Source: RFC 3550 §5.1, §A.1
        """
        if len(data) < HEADER_BYTES:
            raise RemoteProtocolError(f"RTP packet of {len(data)} bytes", section=_SECTION)
        first, second, sequence_number, timestamp, ssrc = _HEADER.unpack_from(data)
        if first == _VERSION:  # nearly all: no padding, no extension, no contributing source
            return cls(second & 0x7F, sequence_number, timestamp, ssrc, second >= _MARKER, data[HEADER_BYTES:])
        if first & 0xC0 != _VERSION:
            raise RemoteProtocolError(f"RTP version {first >> 6}", section=_SECTION, at=0)
        at = HEADER_BYTES + 4 * (first & 0x0F)
        if len(data) < at:
            raise RemoteProtocolError(f"RTP packet of {len(data)} bytes with {first & 0x0F} CSRCs", section=_SECTION)
        csrcs = struct.unpack_from(f">{first & 0x0F}I", data, HEADER_BYTES)
        extension, at = _parse_extension(data, at) if first & _HAS_EXTENSION else (None, at)
        end = _end_of_payload(data, at) if first & _PADDING else len(data)
        marker = second >= _MARKER
        return cls(second & 0x7F, sequence_number, timestamp, ssrc, marker, data[at:end], csrcs, extension)

    def serialize(self, *, padding_bytes: int = 0) -> bytes:
        """Give the bytes of the packet, followed by `padding_bytes` (0 to 255) of padding.

        Raises:
            LocalProtocolError: too many contributing sources, an extension that is too long or no whole words, padding over 255.
        Source: RFC 3550 §5.1
        """
        if len(self.csrcs) > MAX_CSRCS or not 0 <= padding_bytes <= 0xFF:
            raise LocalProtocolError(f"RTP packet with {len(self.csrcs)} CSRCs and {padding_bytes} bytes of padding")
        first = _VERSION | len(self.csrcs) | (_PADDING if padding_bytes else 0) | (_HAS_EXTENSION if self.extension else 0)
        second = self.payload_type | (_MARKER if self.marker else 0)
        parts = [_HEADER.pack(first, second, self.sequence_number, self.timestamp, self.ssrc)]
        parts.append(struct.pack(f">{len(self.csrcs)}I", *self.csrcs))
        if self.extension:
            parts.append(serialize_extension(self.extension))
        parts.append(self.payload)
        if padding_bytes:
            parts += (bytes(padding_bytes - 1), bytes((padding_bytes,)))
        return b"".join(parts)


def _parse_extension(data: bytes, at: int) -> tuple[HeaderExtension, int]:
    """The header extension at `at`, and the offset behind it (§5.3.1)."""
    start = at + _EXTENSION.size
    profile, words = _EXTENSION.unpack_from(data, at) if len(data) >= start else (0, MAX_EXTENSION_WORDS)
    end = start + 4 * words
    if len(data) < end:
        raise RemoteProtocolError("RTP header extension cut off", section="RFC 3550 §5.3.1", at=at)
    return HeaderExtension(profile, data[start:end]), end


def _end_of_payload(data: bytes, at: int) -> int:
    """Where the padding begins: its last byte counts all of it, itself included (§5.1)."""
    padding_bytes = data[-1]
    if not 0 < padding_bytes <= len(data) - at:
        raise RemoteProtocolError(f"RTP padding of {padding_bytes} bytes, {len(data) - at} there", section=_SECTION)
    return len(data) - padding_bytes


def serialize_extension(extension: HeaderExtension) -> bytes:
    """Give the bytes of a header extension (§5.3.1).

    Raises:
        LocalProtocolError: too long, or no whole words of 32 bits.
    """
    words, odd_bytes = divmod(len(extension.data), 4)
    if odd_bytes or words > MAX_EXTENSION_WORDS:
        raise LocalProtocolError(f"RTP header extension of {len(extension.data)} bytes")
    return _EXTENSION.pack(extension.profile, words) + extension.data


def pack_header(
    *, marker: bool, payload_type: int, sequence_number: int, timestamp: int, ssrc: int, extended: bool = False
) -> bytes:
    """Give the 12 bytes that begin a packet without contributing sources; `extended`: a header extension follows (§5.1)."""
    first = _VERSION | _HAS_EXTENSION if extended else _VERSION
    second = payload_type | _MARKER if marker else payload_type
    return _HEADER.pack(first, second, sequence_number & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)


def is_rtcp(data: bytes) -> bool:
    """Whether a packet of a port that carries both is RTCP (RFC 5761 §4)."""
    return len(data) > 1 and _FIRST_RTCP <= data[1] <= _LAST_RTCP
