"""NALU types, and where decoding can start (ISO/IEC 14496-10 §7.4.1)."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Final

from lalmesh.codec.nalu import iter_avcc_headers, unescape_rbsp
from lalmesh.errors import RemoteProtocolError

MAX_SEI_MESSAGES = 32  #: messages of one SEI NALU that are looked at; encoders write a handful
MAX_SEI_NALUS = 16  #: SEI NALUs of one access unit that are looked at

RECOVERY_POINT: Final = 6  #: payloadType of the recovery point SEI message (§D.1.8)

_FIRST_SLICE, _LAST_SLICE = 1, 5  # SLICE to IDR_SLICE
_FF_BYTES = re.compile(rb"\xff*")


class NaluType(IntEnum):
    """nal_unit_type (Table 7-1); those missing here are reserved or unspecified."""

    SLICE = 1
    SLICE_PARTITION_A = 2
    SLICE_PARTITION_B = 3
    SLICE_PARTITION_C = 4
    IDR_SLICE = 5
    SEI = 6
    SPS = 7
    PPS = 8
    ACCESS_UNIT_DELIMITER = 9
    END_OF_SEQUENCE = 10
    END_OF_STREAM = 11
    FILLER = 12
    SPS_EXTENSION = 13
    PREFIX = 14
    SUBSET_SPS = 15
    DEPTH_PARAMETER_SET = 16
    AUXILIARY_SLICE = 19
    SLICE_EXTENSION = 20
    DEPTH_SLICE_EXTENSION = 21


def nalu_type(nalu: bytes) -> int:
    """Give the nal_unit_type of a NALU, 0 to 31, comparable with `NaluType` (§7.3.1).

    Raises:
        RemoteProtocolError: the NALU is empty.
    """
    if not nalu:
        raise RemoteProtocolError("empty NALU", section="ISO/IEC 14496-10 §7.3.1")
    return nalu[0] & 0x1F


def is_slice(nalu: bytes) -> bool:
    """Whether a NALU, which is not empty, is a slice or a partition of one (§7.3.1)."""
    return _FIRST_SLICE <= nalu[0] & 0x1F <= _LAST_SLICE


def is_random_access(payload: bytes) -> bool:
    """Whether decoding can start at an AVCC access unit (4-byte lengths): an IDR picture, or one with a recovery point SEI message.

    Nothing behind the first slice is read. After a recovery point the picture may need some frames until it is whole.

    Raises:
        RemoteProtocolError: as `iter_avcc_headers`, up to the first slice.
    Source: ISO/IEC 14496-10 §7.4.1.2.4, §D.2.8
    """
    recovery_point, sei_nalus = False, 0
    for at, length in iter_avcc_headers(payload):
        kind = payload[at] & 0x1F
        if NaluType.SLICE <= kind <= NaluType.IDR_SLICE:
            return recovery_point or kind == NaluType.IDR_SLICE
        if kind == NaluType.SEI and not recovery_point and sei_nalus < MAX_SEI_NALUS:
            sei_nalus += 1
            recovery_point = _has_recovery_point(payload[at : at + length])
    return False


def _has_recovery_point(sei: bytes) -> bool:
    """Whether a SEI NALU has a recovery point message (§7.3.2.3.1); what is cut off counts as absent, since SEI may be ignored."""
    rbsp = unescape_rbsp(sei)
    at = 1
    for _ in range(MAX_SEI_MESSAGES):
        kind, at = _sei_number(rbsp, at)
        size, at = _sei_number(rbsp, at)
        if at + size >= len(rbsp):  # the trailing bits fill one more byte
            return False
        if kind == RECOVERY_POINT:
            return True
        at += size
    return False


def _sei_number(rbsp: bytes, at: int) -> tuple[int, int]:
    """Read a payloadType or payloadSize at `at`: ``(value, offset behind it)``; a last byte that is cut off counts as 0."""
    run = _FF_BYTES.match(rbsp, at)
    end = run.end() if run else at
    return 255 * (end - at) + (rbsp[end] if end < len(rbsp) else 0), end + 1
