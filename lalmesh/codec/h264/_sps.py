"""The sequence parameter set (ISO/IEC 14496-10 §7.3.2.1.1)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from lalmesh.bits import BitReader
from lalmesh.codec.h264._nalus import NaluType, nalu_type
from lalmesh.codec.h264._profiles import MAX_DPB_FRAMES, is_intra_only, max_dpb_frames, profile_name
from lalmesh.codec.h264._vui import Vui, parse_vui
from lalmesh.codec.nalu import bounded_ue, parameter_set_bits, parse_cropped_size
from lalmesh.errors import LimitExceeded, RemoteProtocolError

MAX_SIDE_MBS = 1055  #: macroblocks: the square root of 8 * MaxFS of level 6.2 (§A.3.1)
MAX_FRAME_MBS = 139_264  #: macroblocks: MaxFS of level 6.2 (Table A-1)
MAX_REF_FRAMES_IN_POC_CYCLE = 255  #: num_ref_frames_in_pic_order_cnt_cycle (§7.4.2.1.1)

_SPS_SECTION = "ISO/IEC 14496-10 §7.3.2.1.1"
_PROFILES_WITH_CHROMA_FORMAT = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})


@dataclass(slots=True, frozen=True, kw_only=True)
class PicOrderCnt:
    """How slice headers say a picture's place in output order (§8.2.1)."""

    type: int  #: pic_order_cnt_type, 0 to 2; with 2, output order is decoding order
    log2_max_lsb: int = 0  #: bits of pic_order_cnt_lsb, 4 to 16; type 0
    delta_always_zero: bool = False  #: delta_pic_order_always_zero_flag; type 1, as the following
    offset_for_non_ref_pic: int = 0
    offset_for_top_to_bottom_field: int = 0
    offsets_for_ref_frame: tuple[int, ...] = ()  #: at most `MAX_REF_FRAMES_IN_POC_CYCLE`


@dataclass(slots=True, frozen=True, kw_only=True)
class Sps:
    """One sequence parameter set: what a stream server and a slice header parser need of it (§7.4.2.1.1)."""

    sps_id: int  #: 0 to 31
    profile_idc: int
    constraint_flags: int  #: the byte between profile_idc and level_idc, constraint_set0_flag its highest bit
    level_idc: int  #: ten times the level; 9 is 1b
    chroma_format_idc: int  #: 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4
    separate_colour_plane: bool
    bit_depth_luma: int  #: bits, 8 to 14
    bit_depth_chroma: int  #: bits, 8 to 14
    log2_max_frame_num: int  #: bits of frame_num in slice headers, 4 to 16
    poc: PicOrderCnt
    max_num_ref_frames: int  #: 0 to `MAX_DPB_FRAMES`
    frame_mbs_only: bool  #: False: pictures may be fields
    width: int  #: pixels after cropping
    height: int  #: pixels of a frame after cropping
    frame_rate: Fraction | None  #: frames a second by the VUI timing, None unknown
    reorder_depth: int  #: frames that may be decoded before one that is shown earlier, 0 to `MAX_DPB_FRAMES`

    @property
    def profile(self) -> str:
        """The name of the profile (§A.2), such as ``High``."""
        return profile_name(self.profile_idc, self.constraint_flags)


def parse_sps(nalu: bytes) -> Sps:
    """Read a sequence parameter set.

    Args:
        nalu: the whole NALU, header and emulation prevention included, at most `MAX_PARAMETER_SET_BYTES`.

    Raises:
        RemoteProtocolError: another NALU type, cut off, a value outside the range of the standard.
    Source: ISO/IEC 14496-10 §7.3.2.1.1
    """
    if nalu_type(nalu) != NaluType.SPS:
        raise RemoteProtocolError(f"NALU type {nalu_type(nalu)} is no SPS", section=_SPS_SECTION, at=0)
    bits = parameter_set_bits(nalu, header_bytes=1)
    profile_idc, constraint_flags, level_idc = bits.read(8), bits.read(8), bits.read(8)
    sps_id = bounded_ue(bits, "seq_parameter_set_id", 31)
    chroma = _parse_chroma(bits) if profile_idc in _PROFILES_WITH_CHROMA_FORMAT else _Chroma()
    log2_max_frame_num = 4 + bounded_ue(bits, "log2_max_frame_num_minus4", 12)
    poc = _parse_pic_order_cnt(bits)
    max_num_ref_frames = bounded_ue(bits, "max_num_ref_frames", MAX_DPB_FRAMES)
    bits.skip(1)  # gaps_in_frame_num_value_allowed_flag
    size = _parse_frame_size(bits, chroma.format_idc)
    vui = parse_vui(bits) if bits.flag() else Vui()
    reorder_depth = vui.max_num_reorder_frames
    if reorder_depth is None and (poc.type == 2 or is_intra_only(profile_idc, constraint_flags)):
        reorder_depth = 0  # with type 2, output order is decoding order (§8.2.1.3)
    elif reorder_depth is None:  # all that the decoder may hold (§E.2.1)
        held = max_dpb_frames(profile_idc, constraint_flags, level_idc, size.frame_mbs)
        reorder_depth = max(held, max_num_ref_frames)  # Interop: some encoders name a level too low for their frames
    return Sps(
        sps_id=sps_id,
        profile_idc=profile_idc,
        constraint_flags=constraint_flags,
        level_idc=level_idc,
        chroma_format_idc=chroma.format_idc,
        separate_colour_plane=chroma.separate_planes,
        bit_depth_luma=chroma.bit_depth_luma,
        bit_depth_chroma=chroma.bit_depth_chroma,
        log2_max_frame_num=log2_max_frame_num,
        poc=poc,
        max_num_ref_frames=max_num_ref_frames,
        frame_mbs_only=size.frame_mbs_only,
        width=size.width,
        height=size.height,
        frame_rate=vui.frame_rate,
        reorder_depth=reorder_depth,
    )


@dataclass(slots=True, frozen=True)
class _Chroma:
    """What only the High profiles say; the defaults hold for the others (§7.4.2.1.1)."""

    format_idc: int = 1
    separate_planes: bool = False
    bit_depth_luma: int = 8
    bit_depth_chroma: int = 8


def _parse_chroma(bits: BitReader) -> _Chroma:
    format_idc = bounded_ue(bits, "chroma_format_idc", 3)
    separate_planes = format_idc == 3 and bits.flag()
    bit_depth_luma = 8 + bounded_ue(bits, "bit_depth_luma_minus8", 6)
    bit_depth_chroma = 8 + bounded_ue(bits, "bit_depth_chroma_minus8", 6)
    bits.skip(1)  # qpprime_y_zero_transform_bypass_flag
    if bits.flag():  # seq_scaling_matrix_present_flag
        for index in range(12 if format_idc == 3 else 8):
            if bits.flag():
                _skip_scaling_list(bits, 16 if index < 6 else 64)
    return _Chroma(format_idc, separate_planes, bit_depth_luma, bit_depth_chroma)


def _skip_scaling_list(bits: BitReader, size: int) -> None:
    """Pass over scaling_list(): it ends where the next scale would be 0 (§7.3.2.1.1.1)."""
    scale = 8
    for _ in range(size):
        scale = (scale + bits.se()) % 256
        if scale == 0:
            return


def _parse_pic_order_cnt(bits: BitReader) -> PicOrderCnt:
    kind = bounded_ue(bits, "pic_order_cnt_type", 2)
    if kind == 0:
        return PicOrderCnt(type=kind, log2_max_lsb=4 + bounded_ue(bits, "log2_max_pic_order_cnt_lsb_minus4", 12))
    if kind == 2:
        return PicOrderCnt(type=kind)
    return PicOrderCnt(
        type=kind,
        delta_always_zero=bits.flag(),
        offset_for_non_ref_pic=bits.se(),
        offset_for_top_to_bottom_field=bits.se(),
        offsets_for_ref_frame=_parse_offsets_for_ref_frame(bits),
    )


def _parse_offsets_for_ref_frame(bits: BitReader) -> tuple[int, ...]:
    count = bounded_ue(bits, "num_ref_frames_in_pic_order_cnt_cycle", MAX_REF_FRAMES_IN_POC_CYCLE)
    return tuple(bits.se() for _ in range(count))


@dataclass(slots=True, frozen=True)
class _FrameSize:
    frame_mbs_only: bool
    frame_mbs: int  #: macroblocks of a frame
    width: int  #: pixels after cropping
    height: int


def _parse_frame_size(bits: BitReader, chroma_format_idc: int) -> _FrameSize:
    width_mbs = 1 + bounded_ue(bits, "pic_width_in_mbs_minus1", MAX_SIDE_MBS - 1)
    map_units = 1 + bounded_ue(bits, "pic_height_in_map_units_minus1", MAX_SIDE_MBS - 1)
    frame_mbs_only = bits.flag()
    if not frame_mbs_only:
        bits.skip(1)  # mb_adaptive_frame_field_flag
    bits.skip(1)  # direct_8x8_inference_flag
    fields = 1 if frame_mbs_only else 2  # a map unit is as high as two macroblocks where pictures may be fields (7-18)
    frame_mbs = width_mbs * map_units * fields
    if frame_mbs > MAX_FRAME_MBS:
        raise LimitExceeded("macroblocks of a frame", frame_mbs, MAX_FRAME_MBS, section="ISO/IEC 14496-10 Table A-1")
    width, height = parse_cropped_size(bits, 16 * width_mbs, 16 * map_units * fields, chroma_format_idc, fields=fields)
    return _FrameSize(frame_mbs_only, frame_mbs, width, height)
