"""The VUI of a sequence parameter set (ISO/IEC 23008-2 Annex E)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from lalmesh.bits import BitReader
from lalmesh.codec.nalu import bounded_ue, parse_window, picture_rate, skip_vui_appearance

MAX_CPB_COUNT = 32  #: cpb_cnt_minus1 + 1 (§E.3.2)
MAX_SPATIAL_SEGMENTATION = 4095  #: min_spatial_segmentation_idc (§E.3.1)


@dataclass(slots=True, frozen=True)
class Vui:
    field_seq: bool = False
    frame_rate: Fraction | None = None
    min_spatial_segmentation_idc: int = 0


def parse_vui(bits: BitReader, max_sub_layers: int) -> Vui:
    """Read vui_parameters() (§E.2.1)."""
    skip_vui_appearance(bits)
    bits.skip(1)  # neutral_chroma_indication_flag
    field_seq = bits.flag()
    bits.skip(1)  # frame_field_info_present_flag
    parse_window(bits)  # the default display window: a hint for the player, the coded size stays
    frame_rate = _parse_timing(bits, max_sub_layers) if bits.flag() else None
    return Vui(field_seq, frame_rate, _parse_min_spatial_segmentation(bits) if bits.flag() else 0)


def _parse_timing(bits: BitReader, max_sub_layers: int) -> Fraction | None:
    num_units_in_tick, time_scale = bits.read(32), bits.read(32)
    if bits.flag():  # vui_poc_proportional_to_timing_flag
        bits.ue()  # vui_num_ticks_poc_diff_one_minus1
    if bits.flag():  # vui_hrd_parameters_present_flag
        _skip_hrd(bits, max_sub_layers)
    return picture_rate(time_scale, num_units_in_tick)


def _parse_min_spatial_segmentation(bits: BitReader) -> int:
    bits.skip(3)  # tiles_fixed_structure_flag, motion_vectors_over_pic_boundaries_flag, restricted_ref_pic_lists_flag
    return bounded_ue(bits, "min_spatial_segmentation_idc", MAX_SPATIAL_SEGMENTATION)


def _skip_hrd(bits: BitReader, max_sub_layers: int) -> None:
    """Pass over hrd_parameters(1, max_sub_layers - 1) (§E.2.2)."""
    nal, vcl = bits.flag(), bits.flag()
    sub_pictures = (nal or vcl) and bits.flag()  # sub_pic_hrd_params_present_flag
    if sub_pictures:
        bits.skip(19)  # tick divisor, lengths of delays, where the parameters are
    if nal or vcl:
        bits.skip(8)  # bit_rate_scale, cpb_size_scale
        bits.skip(4 if sub_pictures else 0)  # cpb_size_du_scale
        bits.skip(15)  # three lengths of delays
    for _ in range(max_sub_layers):
        cpb_count = _parse_sub_layer_cpb_count(bits)
        for _ in range(cpb_count * (nal + vcl)):
            _skip_sub_layer_hrd_entry(bits, sub_pictures)


def _parse_sub_layer_cpb_count(bits: BitReader) -> int:
    low_delay = False
    fixed_rate = bits.flag() or bits.flag()  # fixed_pic_rate_general_flag implies fixed_pic_rate_within_cvs_flag
    if fixed_rate:
        bits.ue()  # elemental_duration_in_tc_minus1
    else:
        low_delay = bits.flag()  # low_delay_hrd_flag
    return 1 if low_delay else 1 + bounded_ue(bits, "cpb_cnt_minus1", MAX_CPB_COUNT - 1)


def _skip_sub_layer_hrd_entry(bits: BitReader, sub_pictures: bool) -> None:
    """Pass over one buffer of sub_layer_hrd_parameters() (§E.2.3)."""
    for _ in range(4 if sub_pictures else 2):  # bit rate and size, of the whole and of decoding units
        bits.ue()
    bits.skip(1)  # cbr_flag
