"""PTS, DTS and PCR as they stand in the bytes (ISO/IEC 13818-1 §2.4.3.5, §2.4.3.7)."""

from __future__ import annotations

import struct
from typing import Final

from lalmesh.container.mpegts._constants import TIME_BITS
from lalmesh.errors import RemoteProtocolError
from lalmesh.media import TICKS_PER_MS, TICKS_PER_SECOND

#: Added to every time that goes out, so that the PCR, which runs before the times, is not below 0 at the start of a stream.
TIME_OFFSET_TICKS: Final = TICKS_PER_SECOND
#: How long before its decoding time a unit goes out: what a decoder has to take it in, audio that is muxed late included.
PCR_LEAD_TICKS: Final = 200 * TICKS_PER_MS

_MASK = (1 << TIME_BITS) - 1
_STAMP = struct.Struct(">BHH")  # 3, 15 and 15 bits, marker_bit after each


def parse_timestamp(data: bytes | bytearray, at: int) -> int:
    """The PTS or DTS that begins at `at`, 33 bits.

    Raises:
        RemoteProtocolError: cut off, or a marker bit is missing.
    Source: ISO/IEC 13818-1 §2.4.3.7
    """
    if len(data) < at + _STAMP.size:
        raise RemoteProtocolError(f"time stamp of {len(data) - at} bytes", section="ISO/IEC 13818-1 §2.4.3.7")
    high: int
    middle: int
    low: int
    high, middle, low = _STAMP.unpack_from(data, at)
    if not high & middle & low & 1:
        raise RemoteProtocolError("time stamp without its marker bits", section="ISO/IEC 13818-1 §2.4.3.7")
    return (high & 0x0E) << 29 | (middle & 0xFFFE) << 14 | low >> 1


def pcr_field(ticks: int) -> bytes:
    """program_clock_reference of a time in ticks, of which 33 bits are written: base, reserved bits, extension 0 (§2.4.3.5)."""
    return ((ticks & _MASK) << 15 | 0x7E00).to_bytes(6, "big")
