"""The picture parameter set (ISO/IEC 23008-2 §7.3.2.3.1)."""

from __future__ import annotations

from dataclasses import dataclass

from lalmesh.codec.h265._nalus import HEADER_BYTES, NaluType, nalu_type
from lalmesh.codec.nalu import bounded_ue, parameter_set_bits
from lalmesh.errors import RemoteProtocolError


@dataclass(slots=True, frozen=True, kw_only=True)
class Pps:
    """One picture parameter set: what the begin of a slice segment header needs of it (§7.4.3.3.1)."""

    pps_id: int  #: 0 to 63
    sps_id: int  #: 0 to 15
    output_flag_present: bool
    extra_slice_header_bits: int  #: num_extra_slice_header_bits, 0 to 7


def parse_pps(nalu: bytes) -> Pps:
    """Read a picture parameter set as far as picture order needs it.

    Args:
        nalu: the whole NALU, at most `MAX_PARAMETER_SET_BYTES`.

    Raises:
        RemoteProtocolError: another NALU type, cut off, a value outside the range of the standard.
    Source: ISO/IEC 23008-2 §7.3.2.3.1
    """
    if nalu_type(nalu) != NaluType.PPS:
        raise RemoteProtocolError(f"NALU type {nalu_type(nalu)} is no PPS", section="ISO/IEC 23008-2 §7.3.2.3.1", at=0)
    bits = parameter_set_bits(nalu, HEADER_BYTES)
    pps_id, sps_id = bounded_ue(bits, "pps_pic_parameter_set_id", 63), bounded_ue(bits, "pps_seq_parameter_set_id", 15)
    bits.skip(1)  # dependent_slice_segments_enabled_flag
    return Pps(pps_id=pps_id, sps_id=sps_id, output_flag_present=bits.flag(), extra_slice_header_bits=bits.read(3))
