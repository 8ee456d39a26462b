"""The VUI of a sequence parameter set (ISO/IEC 14496-10 Annex E)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from lalmesh.bits import BitReader
from lalmesh.codec.h264._profiles import MAX_DPB_FRAMES
from lalmesh.codec.nalu import bounded_ue, picture_rate, skip_vui_appearance

MAX_CPB_COUNT = 32  #: cpb_cnt_minus1 + 1 (§E.2.2)


@dataclass(slots=True, frozen=True)
class Vui:
    frame_rate: Fraction | None = None
    max_num_reorder_frames: int | None = None


def parse_vui(bits: BitReader) -> Vui:
    """Read vui_parameters() (§E.1.1)."""
    skip_vui_appearance(bits)
    frame_rate = None
    if bits.flag():  # timing_info_present_flag
        num_units_in_tick, time_scale = bits.read(32), bits.read(32)
        frame_rate = picture_rate(time_scale, 2 * num_units_in_tick)  # a tick is a field (§E.2.1)
        bits.skip(1)  # fixed_frame_rate_flag
    if _skip_hrd_if_present(bits) | _skip_hrd_if_present(bits):  # NAL, then VCL; both are always read
        bits.skip(1)  # low_delay_hrd_flag
    bits.skip(1)  # pic_struct_present_flag
    return Vui(frame_rate, _parse_max_num_reorder_frames(bits) if bits.flag() else None)


def _parse_max_num_reorder_frames(bits: BitReader) -> int:
    bits.skip(1)  # motion_vectors_over_pic_boundaries_flag
    for _ in range(4):  # max_bytes_per_pic_denom, max_bits_per_mb_denom, log2_max_mv_length_horizontal, _vertical
        bits.ue()
    return bounded_ue(bits, "max_num_reorder_frames", MAX_DPB_FRAMES)


def _skip_hrd_if_present(bits: BitReader) -> bool:
    """Pass over a flag and, where it is set, hrd_parameters() (§E.1.2); give the flag."""
    if not bits.flag():
        return False
    cpb_count = 1 + bounded_ue(bits, "cpb_cnt_minus1", MAX_CPB_COUNT - 1)
    bits.skip(8)  # bit_rate_scale, cpb_size_scale
    for _ in range(cpb_count):
        bits.ue()  # bit_rate_value_minus1
        bits.ue()  # cpb_size_value_minus1
        bits.skip(1)  # cbr_flag
    bits.skip(20)  # four lengths of delays and offsets
    return True
