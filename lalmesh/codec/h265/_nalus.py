"""NALU types, and where decoding can start (ISO/IEC 23008-2 §7.4.2.2)."""

from __future__ import annotations

from enum import IntEnum

from lalmesh.codec.nalu import iter_avcc_headers
from lalmesh.errors import RemoteProtocolError

HEADER_BYTES = 2  #: of a NALU
FIRST_IRAP, LAST_IRAP = 16, 23  #: BLA, IDR, CRA and two reserved types (Table 7-1)
FIRST_NON_VCL = 32  #: below, NALUs hold slice segments (Table 7-1)


class NaluType(IntEnum):
    """nal_unit_type (Table 7-1); those missing here are reserved or unspecified."""

    TRAIL_N = 0
    TRAIL_R = 1
    TSA_N = 2
    TSA_R = 3
    STSA_N = 4
    STSA_R = 5
    RADL_N = 6
    RADL_R = 7
    RASL_N = 8
    RASL_R = 9
    BLA_W_LP = 16
    BLA_W_RADL = 17
    BLA_N_LP = 18
    IDR_W_RADL = 19
    IDR_N_LP = 20
    CRA = 21
    VPS = 32
    SPS = 33
    PPS = 34
    ACCESS_UNIT_DELIMITER = 35
    END_OF_SEQUENCE = 36
    END_OF_BITSTREAM = 37
    FILLER = 38
    PREFIX_SEI = 39
    SUFFIX_SEI = 40


def nalu_type(nalu: bytes) -> int:
    """Give the nal_unit_type of a NALU, 0 to 63, comparable with `NaluType` (§7.3.1.2).

    Raises:
        RemoteProtocolError: the NALU is shorter than its header of two bytes.
    """
    if len(nalu) < HEADER_BYTES:
        raise RemoteProtocolError(f"NALU of {len(nalu)} bytes", section="ISO/IEC 23008-2 §7.3.1.2")
    return (nalu[0] >> 1) & 0x3F


def is_slice(nalu: bytes) -> bool:
    """Whether a NALU, which is not empty, is a slice segment (§7.4.2.2)."""
    return nalu[0] >> 1 & 0x3F < FIRST_NON_VCL


def is_random_access(payload: bytes) -> bool:
    """Whether decoding can start at an AVCC access unit (4-byte lengths): its picture is an IRAP picture.

    Nothing behind the first slice is read.

    Raises:
        RemoteProtocolError: as `iter_avcc_headers`, up to the first slice.
    Source: ISO/IEC 23008-2 §7.4.2.2
    """
    for at, _ in iter_avcc_headers(payload):
        kind = (payload[at] >> 1) & 0x3F
        if kind < FIRST_NON_VCL:
            return FIRST_IRAP <= kind <= LAST_IRAP
    return False
