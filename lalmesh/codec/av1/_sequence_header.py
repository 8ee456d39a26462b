"""The sequence header: profile and level, size, rate and colours (AV1 §5.5)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from lalmesh.bits import BitReader
from lalmesh.errors import RemoteProtocolError

PROFILES = ("Main", "High", "Professional")  #: by seq_profile (§6.4.1)

_MAX_UVLC_ZEROS = 32  # §4.10.3: from here on the value is 2**32 - 1
_SELECT_SCREEN_CONTENT_TOOLS = 2
_SRGB_DESCRIPTION = (1, 13, 0)  # CP_BT_709, TC_SRGB, MC_IDENTITY (§6.4.2)


@dataclass(slots=True, frozen=True, kw_only=True)
class SequenceHeader:
    """What holds for a whole coded video sequence (§5.5)."""

    profile: int  #: seq_profile, 0..2
    level_idx: int  #: seq_level_idx of operating point 0, 0..31
    tier: int  #: seq_tier of operating point 0: 0 Main, 1 High
    reduced_still_picture_header: bool
    max_frame_width: int  #: pixels, 1..65536
    max_frame_height: int  #: pixels, 1..65536
    frame_rate: Fraction | None  #: pictures a second where all pictures last equally long


def parse_sequence_header(payload: bytes) -> SequenceHeader:
    """What a sequence header OBU says, up to the frame size.

    Raises:
        RemoteProtocolError: cut off, or a reserved profile.
    Source: AV1 §5.5.1
    """
    return _read_up_to_size(BitReader(payload))


def _read_up_to_size(reader: BitReader) -> SequenceHeader:
    profile = reader.read(3)
    if profile >= len(PROFILES):
        raise RemoteProtocolError(f"seq_profile {profile} is reserved", section="AV1 §6.4.1")
    reader.skip(1)  # still_picture
    reduced = reader.flag()
    frame_rate, level_idx, tier = (None, reader.read(5), 0) if reduced else _read_timing_and_level(reader)
    width_bits, height_bits = reader.read(4) + 1, reader.read(4) + 1
    return SequenceHeader(
        profile=profile,
        level_idx=level_idx,
        tier=tier,
        reduced_still_picture_header=reduced,
        max_frame_width=reader.read(width_bits) + 1,
        max_frame_height=reader.read(height_bits) + 1,
        frame_rate=frame_rate,
    )


def _read_timing_and_level(reader: BitReader) -> tuple[Fraction | None, int, int]:
    frame_rate, delay_bits = None, 0
    if reader.flag():  # timing_info_present_flag
        frame_rate = _read_timing_info(reader)
        if reader.flag():  # decoder_model_info_present_flag
            delay_bits = reader.read(5) + 1
            reader.skip(32 + 5 + 5)
    display_delay_present = reader.flag()
    points = [_read_operating_point(reader, delay_bits, display_delay_present) for _ in range(reader.read(5) + 1)]
    return frame_rate, *points[0]


def _read_timing_info(reader: BitReader) -> Fraction | None:
    """timing_info() (§5.5.3): a rate only where each picture lasts the same number of ticks."""
    units_in_tick, time_scale = reader.read(32), reader.read(32)
    if not reader.flag():
        return None
    ticks = _read_uvlc(reader) + 1
    return Fraction(time_scale, units_in_tick * ticks) if units_in_tick and time_scale else None


def _read_uvlc(reader: BitReader) -> int:
    """uvlc() (§4.10.3)."""
    zeros = 0
    while not reader.flag():
        zeros += 1
    return (1 << 32) - 1 if zeros >= _MAX_UVLC_ZEROS else (1 << zeros) - 1 + reader.read(zeros)


def _read_operating_point(reader: BitReader, delay_bits: int, display_delay_present: bool) -> tuple[int, int]:
    """Level and tier of one operating point; `delay_bits` is 0 without a decoder model (§5.5.1, §5.5.5)."""
    reader.skip(12)  # operating_point_idc
    level_idx = reader.read(5)
    tier = reader.read(1) if level_idx > 7 else 0
    if delay_bits and reader.flag():
        reader.skip(2 * delay_bits + 1)
    if display_delay_present and reader.flag():
        reader.skip(4)
    return level_idx, tier


@dataclass(slots=True, frozen=True, kw_only=True)
class ColorConfig:
    """How samples are coded (§5.5.2)."""

    high_bitdepth: bool
    twelve_bit: bool
    monochrome: bool
    subsampling: tuple[bool, bool] = (True, True)  #: subsampling_x and subsampling_y
    chroma_sample_position: int = 0  #: 0 unknown, 1 vertical, 2 colocated


def parse_color_config(payload: bytes) -> ColorConfig:
    """What a sequence header OBU says of its colours.

    Raises:
        RemoteProtocolError: cut off, or a reserved profile.
    Source: AV1 §5.5.1, §5.5.2
    """
    reader = BitReader(payload)
    header = _read_up_to_size(reader)
    reduced = header.reduced_still_picture_header
    if not reduced and reader.flag():  # frame_id_numbers_present_flag
        reader.skip(7)
    reader.skip(3)  # use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter
    if not reduced:
        _skip_inter_tools(reader)
    reader.skip(3)  # enable_superres, enable_cdef, enable_restoration
    return _read_color_config(reader, header.profile)


def _skip_inter_tools(reader: BitReader) -> None:
    """Pass over enable_interintra_compound to order_hint_bits_minus_1."""
    reader.skip(4)
    order_hint = reader.flag()
    if order_hint:
        reader.skip(2)  # enable_jnt_comp, enable_ref_frame_mvs
    screen_content_tools = _SELECT_SCREEN_CONTENT_TOOLS if reader.flag() else reader.read(1)
    if screen_content_tools and not reader.flag():  # seq_choose_integer_mv
        reader.skip(1)  # seq_force_integer_mv
    if order_hint:
        reader.skip(3)


def _read_color_config(reader: BitReader, profile: int) -> ColorConfig:
    """color_config()."""
    high_bitdepth = reader.flag()
    twelve_bit = profile == 2 and high_bitdepth and reader.flag()
    monochrome = profile != 1 and reader.flag()
    description = (reader.read(8), reader.read(8), reader.read(8)) if reader.flag() else (2, 2, 2)
    subsampling, position = (True, True), 0
    if description == _SRGB_DESCRIPTION and not monochrome:
        subsampling = False, False
    elif not monochrome:
        reader.skip(1)  # color_range
        subsampling = _read_subsampling(reader, profile, twelve_bit=twelve_bit)
        position = reader.read(2) if subsampling == (True, True) else 0
    return ColorConfig(
        high_bitdepth=high_bitdepth,
        twelve_bit=twelve_bit,
        monochrome=monochrome,
        subsampling=subsampling,
        chroma_sample_position=position,
    )


def _read_subsampling(reader: BitReader, profile: int, *, twelve_bit: bool) -> tuple[bool, bool]:
    if profile < 2:
        return (True, True) if profile == 0 else (False, False)
    if not twelve_bit:
        return True, False
    horizontal = reader.flag()
    return horizontal, horizontal and reader.flag()
