"""The picture parameter set (ISO/IEC 14496-10 §7.3.2.2)."""

from __future__ import annotations

from dataclasses import dataclass

from lalmesh.codec.h264._nalus import NaluType, nalu_type
from lalmesh.codec.nalu import bounded_ue, parameter_set_bits
from lalmesh.errors import RemoteProtocolError


@dataclass(slots=True, frozen=True, kw_only=True)
class Pps:
    """One picture parameter set: what a slice header needs of it (§7.4.2.2)."""

    pps_id: int  #: 0 to 255
    sps_id: int  #: 0 to 31
    bottom_field_pic_order: bool  #: bottom_field_pic_order_in_frame_present_flag


def parse_pps(nalu: bytes) -> Pps:
    """Read a picture parameter set as far as picture order needs it.

    Args:
        nalu: the whole NALU, at most `MAX_PARAMETER_SET_BYTES`.

    Raises:
        RemoteProtocolError: another NALU type, cut off, a value outside the range of the standard.
    Source: ISO/IEC 14496-10 §7.3.2.2
    """
    if nalu_type(nalu) != NaluType.PPS:
        raise RemoteProtocolError(f"NALU type {nalu_type(nalu)} is no PPS", section="ISO/IEC 14496-10 §7.3.2.2", at=0)
    bits = parameter_set_bits(nalu, header_bytes=1)
    pps_id, sps_id = bounded_ue(bits, "pic_parameter_set_id", 255), bounded_ue(bits, "seq_parameter_set_id", 31)
    bits.skip(1)  # entropy_coding_mode_flag
    return Pps(pps_id=pps_id, sps_id=sps_id, bottom_field_pic_order=bits.flag())
