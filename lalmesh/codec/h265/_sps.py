"""The sequence parameter set (ISO/IEC 23008-2 §7.3.2.2.1)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from lalmesh.bits import BitReader
from lalmesh.codec.h265._nalus import HEADER_BYTES, NaluType, nalu_type
from lalmesh.codec.h265._profile import ProfileTierLevel, parse_profile_tier_level
from lalmesh.codec.h265._reference_pictures import MAX_DPB_PICTURES, skip_reference_pictures
from lalmesh.codec.h265._vui import Vui, parse_vui
from lalmesh.codec.nalu import bounded_ue, parameter_set_bits, parse_cropped_size
from lalmesh.errors import LimitExceeded, RemoteProtocolError, UnsupportedError

MAX_SIDE = 33_776  #: pixels: the square root of 8 * MaxLumaPs of level 7.2 (§A.4.1)

_SPS_SECTION = "ISO/IEC 23008-2 §7.3.2.2.1"


@dataclass(slots=True, frozen=True, kw_only=True)
class Sps:
    """One sequence parameter set: what a stream server and a slice header parser need of it (§7.4.3.2.1)."""

    sps_id: int  #: 0 to 15
    vps_id: int  #: 0 to 15
    ptl: ProfileTierLevel
    max_sub_layers: int  #: temporal sub-layers, 1 to 7
    temporal_id_nesting: bool
    chroma_format_idc: int  #: 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4
    separate_colour_plane: bool
    bit_depth_luma: int  #: bits, 8 to 16
    bit_depth_chroma: int  #: bits, 8 to 16
    log2_max_poc_lsb: int  #: bits of slice_pic_order_cnt_lsb in slice headers, 4 to 16
    width: int  #: pixels inside the conformance window
    height: int  #: pixels inside the conformance window; of one field where `field_seq`
    field_seq: bool  #: each picture is one field (§E.3.1)
    frame_rate: Fraction | None  #: pictures a second by the VUI timing, None unknown
    reorder_depth: int  #: pictures that may be decoded before one that is shown earlier, 0 to 15
    min_spatial_segmentation_idc: int  #: 0 to `MAX_SPATIAL_SEGMENTATION`, 0 no promise (§E.3.1)

    @property
    def profile(self) -> str:
        """The name of the profile (§A.3), such as ``Main 10``."""
        return self.ptl.profile


def parse_sps(nalu: bytes) -> Sps:
    """Read a sequence parameter set of the base layer.

    Args:
        nalu: the whole NALU, header and emulation prevention included, at most `MAX_PARAMETER_SET_BYTES`.

    Raises:
        RemoteProtocolError: another NALU type, cut off, a value outside the range of the standard.
        UnsupportedError: it belongs to another layer than 0.
    Source: ISO/IEC 23008-2 §7.3.2.2.1
    """
    if nalu_type(nalu) != NaluType.SPS:
        raise RemoteProtocolError(f"NALU type {nalu_type(nalu)} is no SPS", section=_SPS_SECTION, at=0)
    if _layer_id(nalu):
        raise UnsupportedError(f"H.265 layer {_layer_id(nalu)}")
    bits = parameter_set_bits(nalu, HEADER_BYTES)
    vps_id, max_sub_layers, temporal_id_nesting = bits.read(4), 1 + bits.read(3), bits.flag()
    if max_sub_layers > 7:
        raise LimitExceeded("sps_max_sub_layers_minus1", max_sub_layers - 1, 6, section=_SPS_SECTION)
    ptl = parse_profile_tier_level(bits, max_sub_layers)
    sps_id = bounded_ue(bits, "sps_seq_parameter_set_id", 15)
    picture = _parse_picture_format(bits)
    log2_max_poc_lsb = 4 + bounded_ue(bits, "log2_max_pic_order_cnt_lsb_minus4", 12)
    reorder_depth = _parse_reorder_depth(bits, max_sub_layers)
    _skip_coding_tools(bits)
    skip_reference_pictures(bits, log2_max_poc_lsb)
    bits.skip(2)  # sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag
    vui = parse_vui(bits, max_sub_layers) if bits.flag() else Vui()
    return Sps(
        sps_id=sps_id,
        vps_id=vps_id,
        ptl=ptl,
        max_sub_layers=max_sub_layers,
        temporal_id_nesting=temporal_id_nesting,
        chroma_format_idc=picture.chroma_format_idc,
        separate_colour_plane=picture.separate_colour_plane,
        bit_depth_luma=picture.bit_depth_luma,
        bit_depth_chroma=picture.bit_depth_chroma,
        log2_max_poc_lsb=log2_max_poc_lsb,
        width=picture.width,
        height=picture.height,
        field_seq=vui.field_seq,
        frame_rate=vui.frame_rate,
        reorder_depth=reorder_depth,
        min_spatial_segmentation_idc=vui.min_spatial_segmentation_idc,
    )


def _layer_id(nalu: bytes) -> int:
    return (nalu[0] & 1) << 5 | nalu[1] >> 3


@dataclass(slots=True, frozen=True)
class _PictureFormat:
    chroma_format_idc: int
    separate_colour_plane: bool
    width: int
    height: int
    bit_depth_luma: int
    bit_depth_chroma: int


def _parse_picture_format(bits: BitReader) -> _PictureFormat:
    """Read chroma_format_idc to bit_depth_chroma_minus8."""
    chroma_format_idc = bounded_ue(bits, "chroma_format_idc", 3)
    separate_colour_plane = chroma_format_idc == 3 and bits.flag()
    coded_width = bounded_ue(bits, "pic_width_in_luma_samples", MAX_SIDE)
    coded_height = bounded_ue(bits, "pic_height_in_luma_samples", MAX_SIDE)
    width, height = parse_cropped_size(bits, coded_width, coded_height, chroma_format_idc)
    bit_depth_luma = 8 + bounded_ue(bits, "bit_depth_luma_minus8", 8)
    bit_depth_chroma = 8 + bounded_ue(bits, "bit_depth_chroma_minus8", 8)
    return _PictureFormat(chroma_format_idc, separate_colour_plane, width, height, bit_depth_luma, bit_depth_chroma)


def _parse_reorder_depth(bits: BitReader, max_sub_layers: int) -> int:
    """Give sps_max_num_reorder_pics of the highest sub-layer, which is read last."""
    depth = 0
    all_layers = bits.flag()  # sps_sub_layer_ordering_info_present_flag
    for _ in range(max_sub_layers if all_layers else 1):
        bounded_ue(bits, "sps_max_dec_pic_buffering_minus1", MAX_DPB_PICTURES - 1)
        depth = bounded_ue(bits, "sps_max_num_reorder_pics", MAX_DPB_PICTURES - 1)
        bits.ue()  # sps_max_latency_increase_plus1
    return depth


def _skip_coding_tools(bits: BitReader) -> None:
    """Pass over log2_min_luma_coding_block_size_minus3 to pcm_loop_filter_disabled_flag."""
    for _ in range(6):  # four block sizes, two transform depths
        bits.ue()
    if bits.flag() and bits.flag():  # scaling_list_enabled_flag, sps_scaling_list_data_present_flag
        _skip_scaling_list_data(bits)
    bits.skip(2)  # amp_enabled_flag, sample_adaptive_offset_enabled_flag
    if bits.flag():  # pcm_enabled_flag
        bits.skip(8)  # two bit depths
        bits.ue()
        bits.ue()
        bits.skip(1)  # pcm_loop_filter_disabled_flag


def _skip_scaling_list_data(bits: BitReader) -> None:
    """Pass over scaling_list_data() (§7.3.4)."""
    for size_id in range(4):
        for _ in range(2 if size_id == 3 else 6):
            if not bits.flag():  # scaling_list_pred_mode_flag
                bits.ue()  # scaling_list_pred_matrix_id_delta
                continue
            for _ in range(min(64, 16 << 2 * size_id) + (size_id > 1)):  # the coefficients, before them that for DC
                bits.se()
