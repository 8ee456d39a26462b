"""AVCC and Annex B, and the bytes that keep NALUs free of start codes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from lalmesh.errors import LimitExceeded, LocalProtocolError, RemoteProtocolError

LENGTH_SIZE = 4  #: bytes of a NALU length inside lalmesh
MAX_NALU_BYTES = 8 << 20  #: key frames of 4K at 50 Mbit/s stay far below
MAX_NALUS_PER_ACCESS_UNIT = 8192  #: slices cut to 1200 bytes for RTP fill 8 MiB with fewer

START_CODE = b"\x00\x00\x00\x01"
_SHORT_START_CODE = START_CODE[1:]
_EMULATION = re.compile(rb"\x00\x00(?=[\x00-\x03]|\Z)")


def iter_avcc_headers(payload: bytes, length_size: int = LENGTH_SIZE) -> Iterator[tuple[int, int]]:
    """Iterate over ``(offset, length)`` of the NALUs of an AVCC access unit, copying nothing; empty ones are left out.

    Args:
        payload: one access unit, each NALU after its length.
        length_size: bytes of a length, 1 to 4.

    Raises:
        RemoteProtocolError: a length or a NALU is cut off, a NALU or their number is over its bound; the good ones come first.
        LocalProtocolError: `length_size` is not 1 to 4.
    Source: ISO/IEC 14496-15 §5.3.2
    """
    if not 1 <= length_size <= LENGTH_SIZE:
        raise LocalProtocolError(f"NALU lengths of {length_size} bytes")
    count, at, end = 0, 0, len(payload)
    while at < end:
        start = at + length_size
        length = int.from_bytes(payload[at:start], "big")
        if start + length > end:
            raise RemoteProtocolError(
                f"NALU of {length} bytes, {max(end - start, 0)} left", section="ISO/IEC 14496-15 §5.3.2", at=at
            )
        if length > MAX_NALU_BYTES:
            raise LimitExceeded("NALU bytes", length, MAX_NALU_BYTES, at=at)
        count += 1
        if count > MAX_NALUS_PER_ACCESS_UNIT:
            raise LimitExceeded("NALUs in an access unit", count, MAX_NALUS_PER_ACCESS_UNIT, at=at)
        if length:
            yield start, length
        at = start + length


def split_avcc(payload: bytes, length_size: int = LENGTH_SIZE) -> list[bytes]:
    """Give the NALUs of an AVCC access unit in order.

    Raises:
        RemoteProtocolError: as `iter_avcc_headers`.
    Source: ISO/IEC 14496-15 §5.3.2
    """
    return [payload[at : at + length] for at, length in iter_avcc_headers(payload, length_size)]


def join_avcc(nalus: Iterable[bytes]) -> bytes:
    """Give `nalus` as one AVCC access unit with 4-byte lengths (ISO/IEC 14496-15 §5.3.2)."""
    return b"".join(part for nalu in nalus for part in (len(nalu).to_bytes(LENGTH_SIZE, "big"), nalu))


def relength(payload: bytes, length_size: int) -> bytes:
    """Give an AVCC access unit whose lengths have `length_size` bytes with 4-byte ones; with 4 it is passed on unread.

    Raises:
        RemoteProtocolError: as `iter_avcc_headers`.
    """
    return payload if length_size == LENGTH_SIZE else join_avcc(split_avcc(payload, length_size))


def split_annexb(data: bytes) -> list[bytes]:
    """Give the NALUs of an Annex B access unit, without start codes and the zero bytes around them.

    Args:
        data: one access unit; start codes of 3 and 4 bytes may be mixed.

    Raises:
        RemoteProtocolError: bytes other than zero before the first start code, a NALU or their number over its bound.
    Source: ISO/IEC 14496-10 §B.1.1
    """
    head, *parts = data.split(_SHORT_START_CODE, MAX_NALUS_PER_ACCESS_UNIT + 1)
    if head.strip(b"\x00"):
        raise RemoteProtocolError("no start code at the beginning", section="ISO/IEC 14496-10 §B.1.1", at=0)
    if len(parts) > MAX_NALUS_PER_ACCESS_UNIT:
        raise LimitExceeded("NALUs in an access unit", len(parts), MAX_NALUS_PER_ACCESS_UNIT)
    nalus = [nalu for part in parts if (nalu := part.rstrip(b"\x00"))]  # no NALU ends in a zero byte (§7.4.1)
    longest = max(map(len, nalus), default=0)
    if longest > MAX_NALU_BYTES:
        raise LimitExceeded("NALU bytes", longest, MAX_NALU_BYTES)
    return nalus


def join_annexb(nalus: Iterable[bytes]) -> bytes:
    """Give `nalus` as one Annex B access unit, each after a start code of 4 bytes (ISO/IEC 14496-10 §B.1.1)."""
    return b"".join(part for nalu in nalus for part in (START_CODE, nalu))


def avcc_to_annexb(payload: bytes) -> bytes:
    """Give an AVCC access unit (4-byte lengths) as Annex B.

    Raises:
        RemoteProtocolError: as `iter_avcc_headers`.
    """
    view = memoryview(payload)  # so that the bytes are copied once, by the join
    return b"".join(part for at, length in iter_avcc_headers(payload) for part in (START_CODE, view[at : at + length]))


def annexb_to_avcc(data: bytes) -> bytes:
    """Give an Annex B access unit as AVCC with 4-byte lengths.

    Raises:
        RemoteProtocolError: as `split_annexb`.
    """
    return join_avcc(split_annexb(data))


def unescape_rbsp(nalu: bytes) -> bytes:
    """Give a NALU, header included, without its emulation prevention bytes (ISO/IEC 14496-10 §7.3.1)."""
    return nalu.replace(b"\x00\x00\x03", b"\x00\x00")


def escape_rbsp(rbsp: bytes) -> bytes:
    """Give a NALU, header included, with the emulation prevention bytes that it needs (ISO/IEC 14496-10 §7.4.1)."""
    return _EMULATION.sub(b"\x00\x00\x03", rbsp)
