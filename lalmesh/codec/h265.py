"""H.265: NALU types, the sequence parameter set, the `hvcC` record, random access (ISO/IEC 23008-2; ISO/IEC 14496-15 §8)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction

from lalmesh.bits import BitReader
from lalmesh.codec.nalu import (
    LENGTH_SIZE,
    MAX_NALU_LENGTH_IN_RECORD,
    RecordReader,
    bounded_ue,
    iter_avcc_headers,
    parameter_set_bits,
    picture_rate,
    serialize_record_nalus,
    skip_vui_appearance,
    unescape_rbsp,
)
from lalmesh.errors import LimitExceeded, RemoteProtocolError, UnsupportedError

MAX_SIDE = 33_776  #: pixels: the square root of 8 * MaxLumaPs of level 7.2 (§A.4.1)
MAX_DPB_PICTURES = 16  #: MaxDpbSize never is more (§A.4.2)
MAX_SHORT_TERM_REF_PIC_SETS = 64  #: num_short_term_ref_pic_sets (§7.4.3.2.1)
MAX_LONG_TERM_REF_PICS = 32  #: num_long_term_ref_pics_sps (§7.4.3.2.1)
MAX_DELTA_POC_MINUS1 = 0x7FFF  #: delta_poc_s0_minus1 and its kin (§7.4.8)
MAX_CPB_COUNT = 32  #: cpb_cnt_minus1 + 1 (§E.3.2)
MAX_SPATIAL_SEGMENTATION = 4095  #: min_spatial_segmentation_idc (§E.3.1)
MAX_ARRAYS = 255  #: numOfArrays has eight bits (ISO/IEC 14496-15 §8.3.3.1.2)
MAX_NALUS_IN_ARRAY = 0xFFFF  #: numNalus has sixteen

_RECORD_SECTION = "ISO/IEC 14496-15 §8.3.3.1"
_SPS_SECTION = "ISO/IEC 23008-2 §7.3.2.2.1"
_HEADER_BYTES = 2
_FIRST_IRAP, _LAST_IRAP = 16, 23  #: BLA, IDR, CRA and two reserved types (Table 7-1)
_FIRST_NON_VCL = 32
_BLA = (16, 17, 18)  #: BLA_W_LP to BLA_N_LP
#: leading pictures, and those that no picture of their sub-layer refers to: none of them is prevTid0Pic (§8.3.1)
_NO_REFERENCE_FOR_ORDER = frozenset((*range(0, 15, 2), 7, 9))
_SLICE_HEAD_BYTES = 64  #: of a slice segment that are read: all fields up to slice_pic_order_cnt_lsb fit in 32
#: chroma_format_idc -> (SubWidthC, SubHeightC) (Table 6-1)
_CHROMA_SUBSAMPLING = {0: (1, 1), 1: (2, 2), 2: (2, 1), 3: (1, 1)}
_PROFILE_NAMES = {
    1: "Main",
    2: "Main 10",
    3: "Main Still Picture",
    4: "Format Range Extensions",
    5: "High Throughput",
    6: "Multiview Main",
    7: "Scalable Main",
    8: "3D Main",
    9: "Screen Content Coding",
    10: "Scalable Format Range Extensions",
    11: "High Throughput Screen Content Coding",
}


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
    if len(nalu) < _HEADER_BYTES:
        raise RemoteProtocolError(f"NALU of {len(nalu)} bytes", section="ISO/IEC 23008-2 §7.3.1.2")
    return (nalu[0] >> 1) & 0x3F


@dataclass(slots=True, frozen=True, kw_only=True)
class ProfileTierLevel:
    """What a decoder must be capable of: the general part of profile_tier_level() (§7.3.3), the same bits as in `hvcC`."""

    profile_space: int  #: 0 to 3
    high_tier: bool  #: general_tier_flag
    profile_idc: int  #: 0 to 31
    compatibility_flags: int  #: 32 bits, general_profile_compatibility_flag[0] the highest
    constraint_flags: int  #: 48 bits, general_progressive_source_flag the highest
    level_idc: int  #: thirty times the level

    def serialize(self) -> bytes:
        """Give the 12 bytes in which parameter sets and `hvcC` carry it."""
        first = self.profile_space << 6 | self.high_tier << 5 | self.profile_idc
        return b"".join(
            (
                bytes((first,)),
                self.compatibility_flags.to_bytes(4, "big"),
                self.constraint_flags.to_bytes(6, "big"),
                bytes((self.level_idc,)),
            )
        )

    @property
    def profile(self) -> str:
        """The name of the profile (§A.3), such as ``Main 10``."""
        return _PROFILE_NAMES.get(self.profile_idc, f"profile {self.profile_idc}")


def _parse_general_profile(bits: BitReader) -> ProfileTierLevel:
    return ProfileTierLevel(
        profile_space=bits.read(2),
        high_tier=bits.flag(),
        profile_idc=bits.read(5),
        compatibility_flags=bits.read(32),
        constraint_flags=bits.read(48),
        level_idc=bits.read(8),
    )


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
    bits = parameter_set_bits(nalu, _HEADER_BYTES)
    vps_id, max_sub_layers, temporal_id_nesting = bits.read(4), 1 + bits.read(3), bits.flag()
    if max_sub_layers > 7:
        raise LimitExceeded("sps_max_sub_layers_minus1", max_sub_layers - 1, 6, section=_SPS_SECTION)
    ptl = _parse_profile_tier_level(bits, max_sub_layers)
    sps_id = bounded_ue(bits, "sps_seq_parameter_set_id", 15)
    picture = _parse_picture_format(bits)
    log2_max_poc_lsb = 4 + bounded_ue(bits, "log2_max_pic_order_cnt_lsb_minus4", 12)
    reorder_depth = _parse_reorder_depth(bits, max_sub_layers)
    _skip_coding_tools(bits)
    _skip_reference_pictures(bits, log2_max_poc_lsb)
    bits.skip(2)  # sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag
    vui = _parse_vui(bits, max_sub_layers) if bits.flag() else _Vui()
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


def _parse_profile_tier_level(bits: BitReader, max_sub_layers: int) -> ProfileTierLevel:
    """Read profile_tier_level(1, max_sub_layers - 1), passing over the sub-layers (§7.3.3)."""
    general = _parse_general_profile(bits)
    present = [(bits.flag(), bits.flag()) for _ in range(max_sub_layers - 1)]
    if present:
        bits.skip(2 * (8 - len(present)))  # reserved_zero_2bits, up to the eighth sub-layer
    for has_profile, has_level in present:
        bits.skip(88 * has_profile + 8 * has_level)
    return general


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
    left, right, top, bottom = _parse_window(bits)
    unit_x, unit_y = _CHROMA_SUBSAMPLING[chroma_format_idc]
    width, height = coded_width - unit_x * (left + right), coded_height - unit_y * (top + bottom)
    if width <= 0 or height <= 0:
        raise RemoteProtocolError(f"picture cropped to {width}x{height}", section="ISO/IEC 23008-2 §7.4.3.2.1")
    bit_depth_luma = 8 + bounded_ue(bits, "bit_depth_luma_minus8", 8)
    bit_depth_chroma = 8 + bounded_ue(bits, "bit_depth_chroma_minus8", 8)
    return _PictureFormat(chroma_format_idc, separate_colour_plane, width, height, bit_depth_luma, bit_depth_chroma)


def _parse_window(bits: BitReader) -> tuple[int, int, int, int]:
    """Read a flag and, where it is set, the left, right, top and bottom offset of a window."""
    return (bits.ue(), bits.ue(), bits.ue(), bits.ue()) if bits.flag() else (0, 0, 0, 0)


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


def _skip_reference_pictures(bits: BitReader, log2_max_poc_lsb: int) -> None:
    """Pass over the short-term and long-term reference pictures."""
    deltas: list[int] = []
    for index in range(bounded_ue(bits, "num_short_term_ref_pic_sets", MAX_SHORT_TERM_REF_PIC_SETS)):
        deltas = _predict_ref_pic_set(bits, deltas) if index and bits.flag() else _parse_ref_pic_set(bits)
    if bits.flag():  # long_term_ref_pics_present_flag
        count = bounded_ue(bits, "num_long_term_ref_pics_sps", MAX_LONG_TERM_REF_PICS)
        bits.skip(count * (log2_max_poc_lsb + 1))


def _parse_ref_pic_set(bits: BitReader) -> list[int]:
    """Give the delta POCs of a st_ref_pic_set() that stands for itself: those before the picture, then those after (§7.3.7)."""
    negative = bounded_ue(bits, "num_negative_pics", MAX_DPB_PICTURES)
    positive = bounded_ue(bits, "num_positive_pics", MAX_DPB_PICTURES - negative)
    return [*_parse_deltas(bits, negative, -1), *_parse_deltas(bits, positive, 1)]


def _parse_deltas(bits: BitReader, count: int, sign: int) -> list[int]:
    deltas: list[int] = []
    for _ in range(count):
        previous = deltas[-1] if deltas else 0
        deltas.append(previous + sign * (1 + bounded_ue(bits, "delta_poc_minus1", MAX_DELTA_POC_MINUS1)))
        bits.skip(1)  # used_by_curr_pic_flag
    return deltas


def _predict_ref_pic_set(bits: BitReader, reference: list[int]) -> list[int]:
    """Give the delta POCs of a st_ref_pic_set() that is predicted from the one before it (§7.3.7, 7-61, 7-62)."""
    negative = bits.flag()  # delta_rps_sign
    magnitude = 1 + bounded_ue(bits, "abs_delta_rps_minus1", MAX_DELTA_POC_MINUS1)
    shift = -magnitude if negative else magnitude
    kept = [delta + shift for delta in (*reference, 0) if bits.flag() or bits.flag()]  # used_by_curr_pic_flag, else use_delta_flag
    if len(kept) > MAX_DPB_PICTURES + 1:  # one may be the picture itself, which does not count
        raise LimitExceeded("NumDeltaPocs", len(kept), MAX_DPB_PICTURES)
    return sorted((delta for delta in kept if delta < 0), reverse=True) + sorted(delta for delta in kept if delta > 0)


@dataclass(slots=True, frozen=True)
class _Vui:
    field_seq: bool = False
    frame_rate: Fraction | None = None
    min_spatial_segmentation_idc: int = 0


def _parse_vui(bits: BitReader, max_sub_layers: int) -> _Vui:
    """Read vui_parameters() (§E.2.1)."""
    skip_vui_appearance(bits)
    bits.skip(1)  # neutral_chroma_indication_flag
    field_seq = bits.flag()
    bits.skip(1)  # frame_field_info_present_flag
    _parse_window(bits)  # the default display window: a hint for the player, the coded size stays
    frame_rate = _parse_timing(bits, max_sub_layers) if bits.flag() else None
    return _Vui(field_seq, frame_rate, _parse_min_spatial_segmentation(bits) if bits.flag() else 0)


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


@dataclass(slots=True, frozen=True, kw_only=True)
class ParameterSets:
    """The parameter sets of a stream, each a whole NALU."""

    vps: tuple[bytes, ...] = ()
    sps: tuple[bytes, ...] = ()
    pps: tuple[bytes, ...] = ()


@dataclass(slots=True, frozen=True, kw_only=True)
class NaluArray:
    """The NALUs of one type in a `hvcC` record."""

    nalu_type: int  #: VPS, SPS, PPS or SEI
    nalus: tuple[bytes, ...]  #: at most `MAX_NALUS_IN_ARRAY`
    complete: bool = True  #: array_completeness: none of this type is in the access units


@dataclass(slots=True, frozen=True, kw_only=True)
class HevcDecoderConfigurationRecord:
    """The `hvcC` record: what a decoder must know before the first picture (ISO/IEC 14496-15 §8.3.3.1)."""

    ptl: ProfileTierLevel
    chroma_format: int  #: 0 to 3
    bit_depth_luma: int  #: bits, 8 to 15
    bit_depth_chroma: int  #: bits, 8 to 15
    arrays: tuple[NaluArray, ...]  #: in the order of the record, at most `MAX_ARRAYS`
    min_spatial_segmentation_idc: int = 0  #: 0 to `MAX_SPATIAL_SEGMENTATION`
    parallelism_type: int = 0  #: 0 mixed or unknown, 1 slices, 2 tiles, 3 wavefronts
    average_frame_rate: int = 0  #: pictures in 256 seconds, 0 unknown
    constant_frame_rate: int = 0  #: 0 unknown, 1 constant, 2 constant in each sub-layer
    temporal_layers: int = 0  #: 0 unknown, 1 the stream has no sub-layers, else their number
    temporal_id_nested: bool = False
    length_size: int = LENGTH_SIZE  #: bytes of a NALU length in the access units, 1 to 4

    @classmethod
    def parse(cls, data: bytes) -> HevcDecoderConfigurationRecord:
        """Read a record; bytes behind it are ignored.

        Args:
            data: the body of a `hvcC` box or an FLV sequence header, at most `MAX_RECORD_BYTES`.

        Raises:
            RemoteProtocolError: cut off, an empty parameter set, (LimitExceeded) too large.
            UnsupportedError: a configurationVersion other than 1, or 0, which drafts of the standard had.
        Source: ISO/IEC 14496-15 §8.3.3.1.2
        """
        reader = RecordReader(data, _RECORD_SECTION)
        if (version := reader.uint(1)) > 1:
            raise UnsupportedError(f"hvcC of configurationVersion {version}")
        bits = BitReader(reader.take(21))
        ptl = _parse_general_profile(bits)
        bits.skip(4)
        min_spatial_segmentation_idc = bits.read(12)
        bits.skip(6)
        parallelism_type = bits.read(2)
        bits.skip(6)
        chroma_format = bits.read(2)
        bits.skip(5)
        bit_depth_luma = 8 + bits.read(3)
        bits.skip(5)
        bit_depth_chroma = 8 + bits.read(3)
        return cls(
            ptl=ptl,
            min_spatial_segmentation_idc=min_spatial_segmentation_idc,
            parallelism_type=parallelism_type,
            chroma_format=chroma_format,
            bit_depth_luma=bit_depth_luma,
            bit_depth_chroma=bit_depth_chroma,
            average_frame_rate=bits.read(16),
            constant_frame_rate=bits.read(2),
            temporal_layers=bits.read(3),
            temporal_id_nested=bits.flag(),
            length_size=1 + bits.read(2),
            arrays=tuple(_parse_array(reader) for _ in range(reader.uint(1))),
        )

    @classmethod
    def from_parameter_sets(cls, sets: ParameterSets) -> HevcDecoderConfigurationRecord:
        """Make the record that the first SPS asks for, with 4-byte NALU lengths.

        Raises:
            RemoteProtocolError: no SPS, a first SPS that `parse_sps` refuses, an empty set, too many or too long ones.
            UnsupportedError: the first SPS belongs to another layer than 0, or has more than 15 bits a sample.
        """
        _check_parameter_sets(sets)
        sps = parse_sps(sets.sps[0])
        if max(sps.bit_depth_luma, sps.bit_depth_chroma) > 15:
            raise UnsupportedError("hvcC of 16 bits a sample")
        types = ((NaluType.VPS, sets.vps), (NaluType.SPS, sets.sps), (NaluType.PPS, sets.pps))
        return cls(
            ptl=sps.ptl,
            chroma_format=sps.chroma_format_idc,
            bit_depth_luma=sps.bit_depth_luma,
            bit_depth_chroma=sps.bit_depth_chroma,
            arrays=tuple(NaluArray(nalu_type=kind, nalus=nalus) for kind, nalus in types if nalus),
            min_spatial_segmentation_idc=sps.min_spatial_segmentation_idc,
            temporal_layers=sps.max_sub_layers,
            temporal_id_nested=sps.temporal_id_nesting,
        )

    def serialize(self) -> bytes:
        """Give the bytes of the record (ISO/IEC 14496-15 §8.3.3.1.2).

        Raises:
            LocalProtocolError: a NALU over 65535 bytes.
        """
        last = self.constant_frame_rate << 6 | self.temporal_layers << 3 | self.temporal_id_nested << 2 | self.length_size - 1
        return b"".join(
            (
                b"\x01",
                self.ptl.serialize(),
                (0xF000 | self.min_spatial_segmentation_idc).to_bytes(2, "big"),
                bytes((0xFC | self.parallelism_type, 0xFC | self.chroma_format)),
                bytes((0xF8 | self.bit_depth_luma - 8, 0xF8 | self.bit_depth_chroma - 8)),
                self.average_frame_rate.to_bytes(2, "big"),
                bytes((last, len(self.arrays))),
                *map(_serialize_array, self.arrays),
            )
        )

    @property
    def parameter_sets(self) -> ParameterSets:
        """The parameter sets of the record."""
        return ParameterSets(vps=self._nalus(NaluType.VPS), sps=self._nalus(NaluType.SPS), pps=self._nalus(NaluType.PPS))

    def _nalus(self, kind: int) -> tuple[bytes, ...]:
        return tuple(nalu for array in self.arrays if array.nalu_type == kind for nalu in array.nalus)

    @property
    def rfc6381(self) -> str:
        """The codec for a CODECS parameter, such as ``hvc1.1.6.L93.B0`` (ISO/IEC 14496-15 Annex E.3)."""
        space = ("", "A", "B", "C")[self.ptl.profile_space]
        compatibility = int(f"{self.ptl.compatibility_flags:032b}"[::-1], 2)  # written in reverse bit order
        tier = "H" if self.ptl.high_tier else "L"
        constraints = self.ptl.constraint_flags.to_bytes(6, "big").rstrip(b"\x00")  # trailing zero bytes are left out
        profile = f"hvc1.{space}{self.ptl.profile_idc}.{compatibility:X}.{tier}{self.ptl.level_idc}"
        return "".join((profile, *(f".{byte:X}" for byte in constraints)))


def _parse_array(reader: RecordReader) -> NaluArray:
    head = reader.uint(1)
    return NaluArray(complete=head >= 0x80, nalu_type=head & 0x3F, nalus=reader.nalus(reader.uint(2)))


def _serialize_array(array: NaluArray) -> bytes:
    head = bytes((array.complete << 7 | array.nalu_type,)) + len(array.nalus).to_bytes(2, "big")
    return head + serialize_record_nalus(array.nalus)


def _check_parameter_sets(sets: ParameterSets) -> None:
    if not sets.sps or not all((*sets.vps, *sets.sps, *sets.pps)):
        raise RemoteProtocolError("no SPS or an empty parameter set", section=_RECORD_SECTION)
    most = max(map(len, (sets.vps, sets.sps, sets.pps)))
    if most > MAX_NALUS_IN_ARRAY:
        raise LimitExceeded("parameter sets of one type", most, MAX_NALUS_IN_ARRAY, section=_RECORD_SECTION)
    longest = max(map(len, (*sets.vps, *sets.sps, *sets.pps)))
    if longest > MAX_NALU_LENGTH_IN_RECORD:
        raise LimitExceeded("parameter set bytes", longest, MAX_NALU_LENGTH_IN_RECORD, section=_RECORD_SECTION)


def is_random_access(payload: bytes) -> bool:
    """Whether decoding can start at an AVCC access unit (4-byte lengths): its picture is an IRAP picture.

    Nothing behind the first slice is read.

    Raises:
        RemoteProtocolError: as `iter_avcc_headers`, up to the first slice.
    Source: ISO/IEC 23008-2 §7.4.2.2
    """
    for at, _ in iter_avcc_headers(payload):
        kind = (payload[at] >> 1) & 0x3F
        if kind < _FIRST_NON_VCL:
            return _FIRST_IRAP <= kind <= _LAST_IRAP
    return False


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
    bits = parameter_set_bits(nalu, _HEADER_BYTES)
    pps_id, sps_id = bounded_ue(bits, "pps_pic_parameter_set_id", 63), bounded_ue(bits, "pps_seq_parameter_set_id", 15)
    bits.skip(1)  # dependent_slice_segments_enabled_flag
    return Pps(pps_id=pps_id, sps_id=sps_id, output_flag_present=bits.flag(), extra_slice_header_bits=bits.read(3))


def begins_picture(nalu: bytes | memoryview) -> bool:
    """Whether a NALU is the first slice segment of its picture (§7.4.7.1). False of what is no slice segment, or cut off."""
    return len(nalu) > _HEADER_BYTES and (nalu[0] >> 1) & 0x3F < _FIRST_NON_VCL and nalu[_HEADER_BYTES] >= 0x80


class PictureOrder:
    """The output order of the pictures of one stream, worked out from their slice headers in decoding order (§8.3.1)."""

    def __init__(self, record: HevcDecoderConfigurationRecord) -> None:
        """Read the parameter sets of `record`.

        Raises:
            RemoteProtocolError: one does not parse.
            UnsupportedError: one belongs to another layer than 0.
        """
        sets = record.parameter_sets
        self._sps = {sps.sps_id: sps for sps in map(parse_sps, sets.sps)}
        self._pps = {pps.pps_id: pps for pps in map(parse_pps, sets.pps)}
        self._sequence = 0
        self._reference = 0  # PicOrderCntVal of prevTid0Pic

    def place(self, payload: bytes) -> tuple[int, int] | None:
        """The place of the next access unit: coded video sequences so far, and its picture order count in the last.

        Args:
            payload: one AVCC access unit (4-byte lengths), behind the one before it in decoding order.

        Returns:
            What sorts in output order; None without a slice of a known parameter set.

        Raises:
            RemoteProtocolError: as `iter_avcc_headers` up to the first slice, or its header is broken.
        """
        for at, length in iter_avcc_headers(payload):
            if length > _HEADER_BYTES and (payload[at] >> 1) & 0x3F < _FIRST_NON_VCL:
                return self._place(payload[at : at + min(length, _SLICE_HEAD_BYTES)])
        return None

    def _place(self, nalu: bytes) -> tuple[int, int] | None:
        kind, temporal_id = nalu_type(nalu), (nalu[1] & 7) - 1
        is_idr = kind in (NaluType.IDR_W_RADL, NaluType.IDR_N_LP)
        parsed = self._parse_lsb(nalu, is_irap=_FIRST_IRAP <= kind <= _LAST_IRAP, is_idr=is_idr)
        if parsed is None:
            return None
        lsb, size = parsed
        if is_idr or kind in _BLA or not self._sequence:
            self._sequence += 1  # NoRaslOutputFlag is 1: the most significant bits begin at 0 (§8.3.1)
            count = lsb
        else:
            before = size // 2 - 1  # the nearest to the reference, of two equally near the later (8-1)
            count = self._reference + (lsb - self._reference + before) % size - before
        if temporal_id == 0 and kind not in _NO_REFERENCE_FOR_ORDER:
            self._reference = count
        return self._sequence, count

    def _parse_lsb(self, nalu: bytes, *, is_irap: bool, is_idr: bool) -> tuple[int, int] | None:
        """slice_pic_order_cnt_lsb and what it counts up to, of the first slice segment of a picture (§7.3.6.1)."""
        bits = BitReader(unescape_rbsp(nalu)[_HEADER_BYTES:])
        if not bits.flag():  # first_slice_segment_in_pic_flag
            return None
        bits.skip(1 if is_irap else 0)  # no_output_of_prior_pics_flag
        pps = self._pps.get(bits.ue())
        sps = self._sps.get(pps.sps_id) if pps is not None else None
        if pps is None or sps is None:
            return None
        bits.skip(pps.extra_slice_header_bits)
        bits.ue()  # slice_type
        bits.skip(pps.output_flag_present + 2 * sps.separate_colour_plane)  # pic_output_flag, colour_plane_id
        return 0 if is_idr else bits.read(sps.log2_max_poc_lsb), 1 << sps.log2_max_poc_lsb
