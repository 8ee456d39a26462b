"""What H.264 and H.265 share: the two ways to hold the NALUs of an access unit, and pieces of their parameter sets and records.

*AVCC* puts a big-endian length before each NALU (ISO/IEC 14496-15 §5.3.2), 4 bytes wide wherever lalmesh holds an access unit;
*Annex B* puts a start code before each (ISO/IEC 14496-10 Annex B, ISO/IEC 23008-2 Annex B). Empty NALUs, which some encoders write,
are dropped on the way in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fractions import Fraction

from lalmesh.bits import BitReader
from lalmesh.errors import LimitExceeded, LocalProtocolError, RemoteProtocolError

LENGTH_SIZE = 4  #: bytes of a NALU length inside lalmesh
MAX_NALU_BYTES = 8 << 20  #: key frames of 4K at 50 Mbit/s stay far below
MAX_NALUS_PER_ACCESS_UNIT = 8192  #: slices cut to 1200 bytes for RTP fill 8 MiB with fewer
MAX_PARAMETER_SET_BYTES = 4096  #: the largest that encoders write are a few hundred bytes; reading bits costs their square
MAX_RECORD_BYTES = 256 << 10  #: a decoder configuration record with all of an encoder's SEI is below 4 KiB
MAX_NALU_LENGTH_IN_RECORD = 0xFFFF  #: 16-bit lengths (ISO/IEC 14496-15 §5.3.3.1.2, §8.3.3.1.2)
MAX_FRAME_RATE = 1000  #: pictures a second; above, encoders wrote their clock rate and not a picture rate
EXTENDED_SAR = 255  #: aspect_ratio_idc after which width and height follow

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


def parameter_set_bits(nalu: bytes, header_bytes: int) -> BitReader:
    """Start reading a parameter set behind its NALU header of `header_bytes`.

    Raises:
        LimitExceeded: more than `MAX_PARAMETER_SET_BYTES`.
    """
    if len(nalu) > MAX_PARAMETER_SET_BYTES:
        raise LimitExceeded("parameter set bytes", len(nalu), MAX_PARAMETER_SET_BYTES)
    return BitReader(unescape_rbsp(nalu)[header_bytes:])


def bounded_ue(bits: BitReader, what: str, limit: int) -> int:
    """Read the ue(v) called `what` in the standard, 0 to `limit`.

    Raises:
        RemoteProtocolError: it is cut off, or (LimitExceeded) above `limit`.
    """
    value = bits.ue()
    if value > limit:
        raise LimitExceeded(what, value, limit)
    return value


def skip_vui_appearance(bits: BitReader) -> None:
    """Pass over what begins both VUIs, aspect ratio to chroma location (ISO/IEC 14496-10 §E.1.1, ISO/IEC 23008-2 §E.2.1)."""
    if bits.flag() and bits.read(8) == EXTENDED_SAR:  # aspect_ratio_info_present_flag
        bits.skip(32)  # sar_width, sar_height
    if bits.flag():  # overscan_info_present_flag
        bits.skip(1)
    if bits.flag():  # video_signal_type_present_flag
        bits.skip(4)  # video_format, video_full_range_flag
        if bits.flag():  # colour_description_present_flag
            bits.skip(24)
    if bits.flag():  # chroma_loc_info_present_flag
        bits.ue()
        bits.ue()


def picture_rate(time_scale: int, ticks: int) -> Fraction | None:
    """Pictures a second where one lasts `ticks` of a clock of `time_scale` Hz; None where that says nothing."""
    if not time_scale or not ticks or time_scale > MAX_FRAME_RATE * ticks:
        return None
    return Fraction(time_scale, ticks)


class RecordReader:
    """Read the bytes of a decoder configuration record in order."""

    __slots__ = ("_at", "_data", "_section")

    def __init__(self, data: bytes, section: str) -> None:
        """Start at the first byte of `data`, a record defined in `section`.

        Raises:
            LimitExceeded: more than `MAX_RECORD_BYTES`.
        """
        if len(data) > MAX_RECORD_BYTES:
            raise LimitExceeded("decoder configuration record bytes", len(data), MAX_RECORD_BYTES, section=section)
        self._data = data
        self._at = 0
        self._section = section

    @property
    def bytes_left(self) -> int:
        """How many bytes have not been read."""
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """Give the next `count` bytes.

        Raises:
            RemoteProtocolError: fewer are left.
        """
        if count > self.bytes_left:
            raise RemoteProtocolError(f"{count} bytes wanted, {self.bytes_left} left", section=self._section, at=self._at)
        self._at += count
        return self._data[self._at - count : self._at]

    def uint(self, count: int) -> int:
        """Give the next `count` bytes as an unsigned number."""
        return int.from_bytes(self.take(count), "big")

    def nalus(self, count: int) -> tuple[bytes, ...]:
        """Give the next `count` NALUs, each after a length of 16 bits.

        Raises:
            RemoteProtocolError: one is empty or cut off.
        """
        return tuple(self._nalu() for _ in range(count))

    def _nalu(self) -> bytes:
        nalu = self.take(self.uint(2))
        if not nalu:
            raise RemoteProtocolError("empty parameter set", section=self._section, at=self._at)
        return nalu


def serialize_record_nalus(nalus: Iterable[bytes]) -> bytes:
    """Give `nalus` each after its length of 16 bits.

    Raises:
        LocalProtocolError: one is longer than a length can say.
    """
    parts: list[bytes] = []
    for nalu in nalus:
        if len(nalu) > MAX_NALU_LENGTH_IN_RECORD:
            raise LocalProtocolError(f"parameter set of {len(nalu)} bytes, limit {MAX_NALU_LENGTH_IN_RECORD}")
        parts += (len(nalu).to_bytes(2, "big"), nalu)
    return b"".join(parts)
