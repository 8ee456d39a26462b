"""H.264: NALU types, the sequence parameter set, the `avcC` record, random access (ISO/IEC 14496-10; ISO/IEC 14496-15 §5)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from fractions import Fraction
from typing import Final

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

MAX_DPB_FRAMES = 16  #: no level lets a decoder hold more frames (§A.3.1)
MAX_SIDE_MBS = 1055  #: macroblocks: the square root of 8 * MaxFS of level 6.2 (§A.3.1)
MAX_FRAME_MBS = 139_264  #: macroblocks: MaxFS of level 6.2 (Table A-1)
MAX_REF_FRAMES_IN_POC_CYCLE = 255  #: num_ref_frames_in_pic_order_cnt_cycle (§7.4.2.1.1)
MAX_CPB_COUNT = 32  #: cpb_cnt_minus1 + 1 (§E.2.2)
MAX_SEI_MESSAGES = 32  #: messages of one SEI NALU that are looked at; encoders write a handful
MAX_SEI_NALUS = 16  #: SEI NALUs of one access unit that are looked at
MAX_SPS = 31  #: numOfSequenceParameterSets has five bits (ISO/IEC 14496-15 §5.3.3.1.2)
MAX_PPS = 255  #: numOfPictureParameterSets has eight

RECOVERY_POINT: Final = 6  #: payloadType of the recovery point SEI message (§D.1.8)

_SLICE_HEAD_BYTES: Final = 64  #: of a slice that are read: all fields up to delta_pic_order_cnt fit in 32, escaped in 48
_FIRST_SLICES = frozenset({1, 2, 5})  #: a slice, its partition A, an IDR slice: each begins with a slice header

_FF_BYTES = re.compile(rb"\xff*")
_RECORD_SECTION = "ISO/IEC 14496-15 §5.3.3.1"
_SPS_SECTION = "ISO/IEC 14496-10 §7.3.2.1.1"
_CONSTRAINT_SET1, _CONSTRAINT_SET3, _CONSTRAINT_SET4, _CONSTRAINT_SET5 = 0x40, 0x10, 0x08, 0x04
_PROFILES_WITH_CHROMA_FORMAT = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})
_PROFILES_WITH_INTRA = frozenset({44, 86, 100, 110, 122, 244})  #: constraint_set3_flag means "only intra" (§E.2.1)
_PROFILES_WITHOUT_RECORD_EXTENSION = frozenset({66, 77, 88})  #: their `avcC` ends with the PPS

#: level_idc -> MaxDpbMbs in macroblocks (Table A-1); 9 is level 1b
_MAX_DPB_MBS = (
    {9: 396, 10: 396, 11: 900, 12: 2376, 13: 2376, 20: 2376, 21: 4752, 22: 8100, 30: 8100, 31: 18_000, 32: 20_480}
    | {40: 32_768, 41: 32_768, 42: 34_816, 50: 110_400, 51: 184_320, 52: 184_320}
    | {60: 696_320, 61: 696_320, 62: 696_320}
)
#: chroma_format_idc -> (SubWidthC, SubHeightC), both 1 where chroma has planes of its own or none (Table 6-1)
_CHROMA_SUBSAMPLING = {0: (1, 1), 1: (2, 2), 2: (2, 1), 3: (1, 1)}
_PROFILE_NAMES = {
    44: "CAVLC 4:4:4 Intra",
    66: "Baseline",
    77: "Main",
    83: "Scalable Baseline",
    86: "Scalable High",
    88: "Extended",
    100: "High",
    110: "High 10",
    118: "Multiview High",
    122: "High 4:2:2",
    128: "Stereo High",
    244: "High 4:4:4 Predictive",
}


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
        return _profile_name(self.profile_idc, self.constraint_flags)


def _profile_name(profile_idc: int, flags: int) -> str:
    name = _PROFILE_NAMES.get(profile_idc, f"profile {profile_idc}")
    if profile_idc == 66 and flags & _CONSTRAINT_SET1:
        return f"Constrained {name}"
    if profile_idc == 100 and flags & _CONSTRAINT_SET4:
        return f"Constrained {name}" if flags & _CONSTRAINT_SET5 else f"Progressive {name}"
    if profile_idc in (110, 122, 244) and flags & _CONSTRAINT_SET3:
        return f"{name.removesuffix(' Predictive')} Intra"
    return name


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
    size = _parse_frame_size(bits, chroma)
    vui = _parse_vui(bits) if bits.flag() else _Vui()
    reorder_depth = vui.max_num_reorder_frames
    if reorder_depth is None and (poc.type == 2 or _is_intra_only(profile_idc, constraint_flags)):
        reorder_depth = 0  # with type 2, output order is decoding order (§8.2.1.3)
    elif (
        reorder_depth is None
    ):  # all that the decoder may hold (§E.2.1); Interop: some encoders name a level too low for their frames
        reorder_depth = max(_max_dpb_frames(profile_idc, constraint_flags, level_idc, size.frame_mbs), max_num_ref_frames)
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


def _parse_frame_size(bits: BitReader, chroma: _Chroma) -> _FrameSize:
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
    left, right, top, bottom = (bits.ue(), bits.ue(), bits.ue(), bits.ue()) if bits.flag() else (0, 0, 0, 0)
    unit_x, unit_y = _CHROMA_SUBSAMPLING[0 if chroma.separate_planes else chroma.format_idc]
    width = 16 * width_mbs - unit_x * (left + right)  # (7-19) to (7-22)
    height = 16 * map_units * fields - unit_y * fields * (top + bottom)
    if width <= 0 or height <= 0:
        raise RemoteProtocolError(f"frame cropped to {width}x{height}", section="ISO/IEC 14496-10 §7.4.2.1.1")
    return _FrameSize(frame_mbs_only, frame_mbs, width, height)


@dataclass(slots=True, frozen=True)
class _Vui:
    frame_rate: Fraction | None = None
    max_num_reorder_frames: int | None = None


def _parse_vui(bits: BitReader) -> _Vui:
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
    return _Vui(frame_rate, _parse_max_num_reorder_frames(bits) if bits.flag() else None)


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


def _is_intra_only(profile_idc: int, constraint_flags: int) -> bool:
    """Whether no picture refers to another, so that none is shown out of order (§E.2.1)."""
    return profile_idc in _PROFILES_WITH_INTRA and bool(constraint_flags & _CONSTRAINT_SET3)


def _max_dpb_frames(profile_idc: int, constraint_flags: int, level_idc: int, frame_mbs: int) -> int:
    """MaxDpbFrames, how many frames a decoder of the level holds (§A.3.1)."""
    is_1b = level_idc == 11 and constraint_flags & _CONSTRAINT_SET3 and profile_idc in (66, 77, 88)
    max_dpb_mbs = _MAX_DPB_MBS.get(9 if is_1b else level_idc)
    return MAX_DPB_FRAMES if max_dpb_mbs is None else min(max_dpb_mbs // frame_mbs, MAX_DPB_FRAMES)


@dataclass(slots=True, frozen=True, kw_only=True)
class AvcDecoderConfigurationRecord:
    """The `avcC` record: what a decoder must know before the first picture (ISO/IEC 14496-15 §5.3.3.1)."""

    profile: int  #: AVCProfileIndication
    compatibility: int  #: profile_compatibility, the constraint flags of the SPS
    level: int  #: AVCLevelIndication
    length_size: int = LENGTH_SIZE  #: bytes of a NALU length in the access units, 1 to 4
    sps: tuple[bytes, ...] = ()  #: at most `MAX_SPS`
    pps: tuple[bytes, ...] = ()  #: at most `MAX_PPS`
    chroma_format: int | None = None  #: 0 to 3; None: the record has no High profile extension, and the fields below no meaning
    bit_depth_luma: int = 8  #: bits, 8 to 15
    bit_depth_chroma: int = 8  #: bits, 8 to 15
    sps_ext: tuple[bytes, ...] = ()  #: sequence parameter set extensions, at most 255

    @classmethod
    def parse(cls, data: bytes) -> AvcDecoderConfigurationRecord:
        """Read a record; bytes behind it are ignored.

        Args:
            data: the body of an `avcC` box or an FLV sequence header, at most `MAX_RECORD_BYTES`.

        Raises:
            RemoteProtocolError: cut off, an empty parameter set, (LimitExceeded) too large.
            UnsupportedError: a configurationVersion other than 1.
        Source: ISO/IEC 14496-15 §5.3.3.1.2
        """
        reader = RecordReader(data, _RECORD_SECTION)
        version, profile, compatibility, level = reader.take(4)
        if version != 1:
            raise UnsupportedError(f"avcC of configurationVersion {version}")
        length_size = (reader.uint(1) & 0x03) + 1
        sps = reader.nalus(reader.uint(1) & 0x1F)
        pps = reader.nalus(reader.uint(1))
        base = cls(profile=profile, compatibility=compatibility, level=level, length_size=length_size, sps=sps, pps=pps)
        # Interop: many writers leave the extension out though the profile asks for it.
        return base if profile in _PROFILES_WITHOUT_RECORD_EXTENSION or reader.bytes_left < 4 else _with_extension(base, reader)

    @classmethod
    def from_parameter_sets(cls, sps: Sequence[bytes], pps: Sequence[bytes]) -> AvcDecoderConfigurationRecord:
        """Make the record that the first of `sps` asks for, with 4-byte NALU lengths.

        Raises:
            RemoteProtocolError: no SPS, a first SPS that `parse_sps` refuses, an empty set, too many or too long ones.
        """
        if not sps or not all(sps) or not all(pps):
            raise RemoteProtocolError("no SPS or an empty parameter set", section=_RECORD_SECTION)
        for what, count, limit in (("SPS", len(sps), MAX_SPS), ("PPS", len(pps), MAX_PPS)):
            if count > limit:
                raise LimitExceeded(what, count, limit, section=_RECORD_SECTION)
        longest = max(map(len, (*sps, *pps)))
        if longest > MAX_NALU_LENGTH_IN_RECORD:
            raise LimitExceeded("parameter set bytes", longest, MAX_NALU_LENGTH_IN_RECORD, section=_RECORD_SECTION)
        first = parse_sps(sps[0])
        return cls(
            profile=first.profile_idc,
            compatibility=first.constraint_flags,
            level=first.level_idc,
            sps=tuple(sps),
            pps=tuple(pps),
            chroma_format=None if first.profile_idc in _PROFILES_WITHOUT_RECORD_EXTENSION else first.chroma_format_idc,
            bit_depth_luma=first.bit_depth_luma,
            bit_depth_chroma=first.bit_depth_chroma,
        )

    def serialize(self) -> bytes:
        """Give the bytes of the record (ISO/IEC 14496-15 §5.3.3.1.2).

        Raises:
            LocalProtocolError: a parameter set over 65535 bytes.
        """
        parts = [
            bytes((1, self.profile, self.compatibility, self.level, 0xFC | self.length_size - 1, 0xE0 | len(self.sps))),
            serialize_record_nalus(self.sps),
            bytes((len(self.pps),)),
            serialize_record_nalus(self.pps),
        ]
        if self.chroma_format is not None:
            depths = (0xF8 | self.bit_depth_luma - 8, 0xF8 | self.bit_depth_chroma - 8)
            parts += (bytes((0xFC | self.chroma_format, *depths, len(self.sps_ext))), serialize_record_nalus(self.sps_ext))
        return b"".join(parts)

    @property
    def rfc6381(self) -> str:
        """The codec for a CODECS parameter, such as ``avc1.640028`` (RFC 6381 §3.3)."""
        return f"avc1.{self.profile:02x}{self.compatibility:02x}{self.level:02x}"


def _with_extension(record: AvcDecoderConfigurationRecord, reader: RecordReader) -> AvcDecoderConfigurationRecord:
    return replace(
        record,
        chroma_format=reader.uint(1) & 0x03,
        bit_depth_luma=8 + (reader.uint(1) & 0x07),
        bit_depth_chroma=8 + (reader.uint(1) & 0x07),
        sps_ext=reader.nalus(reader.uint(1)),
    )


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


def begins_picture(nalu: bytes | memoryview) -> bool:
    """Whether a slice is the first of its picture: first_mb_in_slice is 0 (§7.4.3). False of what is no slice, or cut off."""
    return len(nalu) > 1 and nalu[0] & 0x1F in _FIRST_SLICES and nalu[1] >= 0x80


def slice_type(nalu: bytes) -> int:
    """Give the slice_type of a slice, 0 to 9: P, B, I, SP, SI, and again from 5 on where all slices of the picture are (Table 7-6).

    Raises:
        RemoteProtocolError: the header is cut off, or the value over 9.
    """
    bits = BitReader(unescape_rbsp(nalu[:_SLICE_HEAD_BYTES])[1:])
    bits.ue()  # first_mb_in_slice
    return bounded_ue(bits, "slice_type", 9)


@dataclass(slots=True, frozen=True)
class _SliceOrder:
    """What a slice header says of its picture's place."""

    sps: Sps
    is_idr: bool
    is_reference: bool
    frame_num: int
    is_field: bool
    is_bottom: bool
    lsb: int  #: pic_order_cnt_lsb; type 0
    deltas: tuple[int, int]  #: delta_pic_order_cnt_bottom is the second with type 0; delta_pic_order_cnt with type 1


class PictureOrder:
    """The output order of the pictures of one stream, worked out from their slice headers in decoding order (§8.2.1).

    memory_management_control_operation 5, which hardly any encoder writes, is not looked for: counts behind it are off until the
    next IDR picture.
    """

    def __init__(self, record: AvcDecoderConfigurationRecord) -> None:
        """Read the parameter sets of `record`.

        Raises:
            RemoteProtocolError: one does not parse.
        """
        self._sps = {sps.sps_id: sps for sps in map(parse_sps, record.sps)}
        self._pps = {pps.pps_id: pps for pps in map(parse_pps, record.pps)}
        self._sequence = 0
        self._reference = (0, 0)  # prevPicOrderCntMsb and prevPicOrderCntLsb
        self._frame_num = 0  # prevFrameNum
        self._frame_num_offset = 0  # prevFrameNumOffset

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
            if payload[at] & 0x1F in _FIRST_SLICES:
                header = self._parse_slice(payload[at : at + min(length, _SLICE_HEAD_BYTES)])
                if header is None:
                    return None
                count = self._count(header)
                return self._sequence, count
        return None

    def _parse_slice(self, nalu: bytes) -> _SliceOrder | None:
        """Read slice_header() up to delta_pic_order_cnt (§7.3.3)."""
        bits = BitReader(unescape_rbsp(nalu)[1:])
        bits.ue()  # first_mb_in_slice
        bits.ue()  # slice_type
        pps = self._pps.get(bits.ue())
        sps = self._sps.get(pps.sps_id) if pps is not None else None
        if pps is None or sps is None:
            return None
        bits.skip(2 if sps.separate_colour_plane else 0)
        frame_num = bits.read(sps.log2_max_frame_num)
        is_field = not sps.frame_mbs_only and bits.flag()
        is_bottom = is_field and bits.flag()
        is_idr = nalu[0] & 0x1F == NaluType.IDR_SLICE
        if is_idr:
            bits.ue()  # idr_pic_id
        lsb = bits.read(sps.poc.log2_max_lsb) if sps.poc.type == 0 else 0
        deltas = _parse_order_deltas(bits, sps.poc, pps.bottom_field_pic_order and not is_field)
        return _SliceOrder(sps, is_idr, nalu[0] & 0x60 != 0, frame_num, is_field, is_bottom, lsb, deltas)

    def _count(self, header: _SliceOrder) -> int:
        """PicOrderCnt of the picture, and what the next one needs to know of it."""
        if header.is_idr:
            self._sequence += 1
            self._reference = (0, 0)
            self._frame_num_offset = 0
        elif self._frame_num > header.frame_num:
            self._frame_num_offset += 1 << header.sps.log2_max_frame_num
        self._frame_num = header.frame_num
        match header.sps.poc.type:
            case 0:
                return self._count_by_lsb(header)
            case 1:
                return self._count_by_cycle(header)
            case _:
                return 2 * (self._frame_num_offset + header.frame_num) - (not header.is_reference)  # (8-12)

    def _count_by_lsb(self, header: _SliceOrder) -> int:
        """Type 0 (§8.2.1.1)."""
        (msb, previous), lsb, size = self._reference, header.lsb, 1 << header.sps.poc.log2_max_lsb
        if lsb < previous and previous - lsb >= size // 2:
            msb += size
        elif lsb > previous and lsb - previous > size // 2:
            msb -= size
        if header.is_reference:
            self._reference = msb, lsb
        return msb + lsb + min(0, header.deltas[1])

    def _count_by_cycle(self, header: _SliceOrder) -> int:
        """Type 1 (§8.2.1.2)."""
        poc, offsets = header.sps.poc, header.sps.poc.offsets_for_ref_frame
        number = self._frame_num_offset + header.frame_num if offsets else 0
        if not header.is_reference and number > 0:
            number -= 1
        expected = 0
        if number > 0:
            cycles, place = divmod(number - 1, len(offsets))
            expected = cycles * sum(offsets) + sum(offsets[: place + 1])
        if not header.is_reference:
            expected += poc.offset_for_non_ref_pic
        top = expected + header.deltas[0]
        bottom = top + poc.offset_for_top_to_bottom_field + header.deltas[1]
        if header.is_field:
            return bottom if header.is_bottom else top
        return min(top, bottom)


def _parse_order_deltas(bits: BitReader, poc: PicOrderCnt, of_frame: bool) -> tuple[int, int]:
    """Read delta_pic_order_cnt_bottom or delta_pic_order_cnt; `of_frame`: both fields may have their own (§7.3.3)."""
    if poc.type == 0:
        return 0, bits.se() if of_frame else 0
    if poc.type == 1 and not poc.delta_always_zero:
        return bits.se(), bits.se() if of_frame else 0
    return 0, 0
