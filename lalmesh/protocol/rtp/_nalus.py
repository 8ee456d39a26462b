"""NALUs out of the payloads of H.264 and H.265, whole or in fragments (RFC 6184 §5.6 to §5.8; RFC 7798 §4.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from lalmesh.errors import LimitExceeded, RemoteProtocolError

MAX_NALUS_PER_PACKET: Final = 1024  #: of a datagram of 64 KiB, more would be NALUs of a few bytes

_H264_SECTION, _H265_SECTION = "RFC 6184 §5.2", "RFC 7798 §4.4"
_STAP_A, _STAP_B, _MTAP16, _MTAP24, _FU_A, _FU_B = 24, 25, 26, 27, 28, 29
_AP, _FU = 48, 49
#: Types that payloads have, and NALUs in them do not: aggregates, fragments, and what is kept for more of that.
H264_PAYLOAD_TYPES: Final = range(24, 32)  #: RFC 6184 §5.2
H265_PAYLOAD_TYPES: Final = range(48, 51)  #: RFC 7798 §4.4; above them is what encoders have for themselves
_FIRST_RESERVED_H265 = 41  # 41 to 47; and from 50 on PACI and what is not specified
_START, _END = 0x80, 0x40
_H265_TYPE, _H265_NOT_TYPE = 0x7E, 0x81  # of the first byte of a NALU header


class Part(Enum):
    """How much of a NALU a piece is."""

    WHOLE = "whole"
    FIRST = "first"
    MIDDLE = "middle"
    LAST = "last"


@dataclass(slots=True)
class Piece:
    """A NALU or a fragment of one; a first fragment begins with the NALU header, the others are without it."""

    part: Part
    data: bytes
    don: int | None = None  #: decoding order number, 16 bits; None: not said
    later: int = 0  #: its time after the timestamp of the packet, in ticks of 90 kHz


NaluParser: TypeAlias = Callable[[bytes], list[Piece]]


def parse_h264(payload: bytes) -> list[Piece]:
    """The pieces of a payload of H.264; none of one whose type is reserved.

    Raises:
        RemoteProtocolError: empty, cut off, an aggregate of nothing or of too much, or an aggregate or fragment inside another.
    Source: RFC 6184 §5.2
    """
    if not payload:
        raise RemoteProtocolError("empty H264 payload", section=_H264_SECTION)
    match kind := payload[0] & 0x1F:
        case 0 | 30 | 31:
            return []
        case 24:
            return _checked_h264(_aggregated(payload, 1, _H264_SECTION))
        case 25:
            don = _number(payload, 1, 2, _H264_SECTION)
            pieces = _checked_h264(_aggregated(payload, 3, _H264_SECTION))
            for index, piece in enumerate(pieces):  # the numbers of those that follow rise by one (§5.7.1)
                piece.don = don + index & 0xFFFF
            return pieces
        case 26 | 27:
            return _multi_time(payload, offset_bytes=2 if kind == _MTAP16 else 3)
        case 28 | 29:
            return [_h264_fragment(payload, has_don=kind == _FU_B)]
        case _:
            return [Piece(Part.WHOLE, payload)]


def _h264_fragment(payload: bytes, *, has_don: bool) -> Piece:
    """FU-A and FU-B (RFC 6184 §5.8)."""
    head = 4 if has_don else 2
    if len(payload) <= head:
        raise RemoteProtocolError(f"FU of {len(payload)} bytes", section="RFC 6184 §5.8")
    don = _number(payload, 2, 2, "RFC 6184 §5.8") if has_don else None
    return _fragment(bytes((payload[0] & 0xE0 | payload[1] & 0x1F,)), payload[1], payload[head:], don)


def _fragment(header: bytes, flags: int, body: bytes, don: int | None) -> Piece:
    if flags & _START:
        # A NALU in one fragment is not allowed; there is no doubt what it means, though.
        return Piece(Part.WHOLE if flags & _END else Part.FIRST, header + body, don)
    return Piece(Part.LAST if flags & _END else Part.MIDDLE, body, don)


def _multi_time(payload: bytes, *, offset_bytes: int) -> list[Piece]:
    """MTAP16 and MTAP24: each NALU behind its size, its DON less a base, and its time less that of the packet (RFC 6184 §5.7.2)."""
    section = "RFC 6184 §5.7.2"
    base, at = _number(payload, 1, 2, section), 3
    pieces: list[Piece] = []
    while at < len(payload):
        _check_room(pieces, section)
        size, difference = _number(payload, at, 2, section), _number(payload, at + 2, 1, section)
        later = _number(payload, at + 3, offset_bytes, section)
        at += 3 + offset_bytes
        pieces.append(Piece(Part.WHOLE, _take(payload, at, size, section), base + difference & 0xFFFF, later))
        at += size
    return _checked_h264(pieces)


def h265_parser(*, has_don: bool) -> NaluParser:
    """What parses payloads of H.265; `has_don`: sprop-max-don-diff is above 0, so that they hold decoding order numbers."""
    return _parse_h265_with_don if has_don else _parse_h265


def _parse_h265(payload: bytes) -> list[Piece]:
    """The pieces of a payload of H.265 without DON fields; none of one whose type is reserved.

    Raises:
        RemoteProtocolError: cut off, an aggregate of nothing or of too much, or an aggregate or fragment inside another.
    Source: RFC 7798 §4.4
    """
    match _h265_type(payload):
        case 48:
            return _checked_h265(_aggregated(payload, 2, _H265_SECTION))
        case 49:
            return [_h265_fragment(payload, has_don=False)]
        case kind if kind >= _FIRST_RESERVED_H265:
            return []
        case _:
            return [Piece(Part.WHOLE, payload)]


def _parse_h265_with_don(payload: bytes) -> list[Piece]:
    match _h265_type(payload):
        case 48:
            return _h265_aggregated_with_don(payload)
        case 49:
            return [_h265_fragment(payload, has_don=True)]
        case kind if kind >= _FIRST_RESERVED_H265:
            return []
        case _:  # DONL is between the header and the rest (§4.4.1)
            don = _number(payload, 2, 2, _H265_SECTION)
            return [Piece(Part.WHOLE, payload[:2] + payload[4:], don)]


def _h265_type(payload: bytes) -> int:
    if len(payload) < 2:
        raise RemoteProtocolError(f"H265 payload of {len(payload)} bytes", section=_H265_SECTION)
    return payload[0] >> 1 & 0x3F


def _h265_fragment(payload: bytes, *, has_don: bool) -> Piece:
    """FU: DONL is in the first fragment alone (RFC 7798 §4.4.3)."""
    section = "RFC 7798 §4.4.3"
    flags = _number(payload, 2, 1, section)
    has_don = has_don and bool(flags & _START)
    head = 5 if has_don else 3
    if len(payload) <= head:
        raise RemoteProtocolError(f"FU of {len(payload)} bytes", section=section)
    header = bytes((payload[0] & _H265_NOT_TYPE | flags << 1 & _H265_TYPE, payload[1]))
    return _fragment(header, flags, payload[head:], _number(payload, 3, 2, section) if has_don else None)


def _h265_aggregated_with_don(payload: bytes) -> list[Piece]:
    """AP: DONL before the first NALU, then DOND, one less than the difference, before each (RFC 7798 §4.4.2)."""
    section = "RFC 7798 §4.4.2"
    pieces: list[Piece] = []
    don, at = _number(payload, 2, 2, section), 4
    while at < len(payload):
        _check_room(pieces, section)
        if pieces:
            don = don + _number(payload, at, 1, section) + 1 & 0xFFFF
            at += 1
        size = _number(payload, at, 2, section)
        pieces.append(Piece(Part.WHOLE, _take(payload, at + 2, size, section), don))
        at += 2 + size
    return _checked_h265(pieces)


def _aggregated(payload: bytes, at: int, section: str) -> list[Piece]:
    """NALUs behind their sizes: STAP-A (RFC 6184 §5.7.1) and AP (RFC 7798 §4.4.2)."""
    pieces: list[Piece] = []
    while at < len(payload):
        _check_room(pieces, section)
        size = _number(payload, at, 2, section)
        pieces.append(Piece(Part.WHOLE, _take(payload, at + 2, size, section)))
        at += 2 + size
    return pieces


def _check_room(pieces: list[Piece], section: str) -> None:
    """Before another piece is made: those that are too many cost the most."""
    if len(pieces) >= MAX_NALUS_PER_PACKET:
        raise LimitExceeded("NALUs in a packet", len(pieces) + 1, MAX_NALUS_PER_PACKET, section=section)


def _checked_h264(pieces: list[Piece]) -> list[Piece]:
    """What an aggregate holds, which is single NALUs (RFC 6184 §5.7)."""
    return _checked(pieces, any(piece.data[0] & 0x1F in H264_PAYLOAD_TYPES for piece in pieces), "RFC 6184 §5.7")


def _checked_h265(pieces: list[Piece]) -> list[Piece]:
    """What an aggregate holds, which is single NALUs (RFC 7798 §4.4.2)."""
    return _checked(pieces, any(piece.data[0] >> 1 & 0x3F in H265_PAYLOAD_TYPES for piece in pieces), "RFC 7798 §4.4.2")


def _checked(pieces: list[Piece], is_nested: bool, section: str) -> list[Piece]:
    if is_nested or not pieces:
        raise RemoteProtocolError(f"aggregate of {len(pieces)} NALUs, or of another payload", section=section)
    return pieces


def _number(payload: bytes, at: int, size: int, section: str) -> int:
    if at + size > len(payload):
        raise RemoteProtocolError("aggregate or DON cut off", section=section, at=at)
    return int.from_bytes(payload[at : at + size], "big")


def _take(payload: bytes, at: int, size: int, section: str) -> bytes:
    if not 0 < size <= len(payload) - at:
        raise RemoteProtocolError(f"NALU of {size} bytes, {len(payload) - at} there", section=section, at=at)
    return payload[at : at + size]
