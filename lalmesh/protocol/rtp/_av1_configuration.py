"""The `av1C` record of a sequence header: what a stream that comes without a record tells of its colours (AV1 §5.5)."""

from __future__ import annotations

from dataclasses import dataclass

from lalmesh.bits import BitReader
from lalmesh.codec.av1 import (
    OBU_SEQUENCE_HEADER,
    AV1CodecConfigurationRecord,
    Obu,
    parse_sequence_header,
    serialize_obu,
)

_SELECT = 2  # SELECT_SCREEN_CONTENT_TOOLS
_BT709, _SRGB, _IDENTITY = 1, 13, 0


def av1_configuration(sequence_header: bytes) -> bytes:
    """The record that goes with a sequence header.

    Args:
        sequence_header: the payload of the OBU.

    Raises:
        RemoteProtocolError: cut off, or a reserved profile.
    Source: AV1-ISOBMFF §2.3.3; AV1 §5.5.1, §5.5.2
    """
    header = parse_sequence_header(sequence_header)
    reader = BitReader(sequence_header)
    _skip_to_color_config(reader)
    colour = _parse_color_config(reader, header.profile)
    record = AV1CodecConfigurationRecord(
        profile=header.profile,
        level_idx=header.level_idx,
        tier=header.tier,
        high_bitdepth=colour.high_bitdepth,
        twelve_bit=colour.twelve_bit,
        monochrome=colour.monochrome,
        chroma_subsampling_x=colour.subsampling[0],
        chroma_subsampling_y=colour.subsampling[1],
        chroma_sample_position=colour.chroma_sample_position,
        config_obus=serialize_obu(Obu(OBU_SEQUENCE_HEADER, sequence_header)),
    )
    return record.serialize()


@dataclass(slots=True, frozen=True)
class _Colour:
    high_bitdepth: bool
    twelve_bit: bool
    monochrome: bool
    subsampling: tuple[bool, bool]
    chroma_sample_position: int = 0


def _skip_to_color_config(reader: BitReader) -> None:
    """Pass over sequence_header_obu() up to color_config() (§5.5.1)."""
    reader.skip(4)  # seq_profile, still_picture
    reduced = reader.flag()
    if reduced:
        reader.skip(5)  # seq_level_idx
    else:
        _skip_operating_points(reader)
    size_bits = reader.read(4) + 1 + reader.read(4) + 1
    reader.skip(size_bits)
    if not reduced and reader.flag():  # frame_id_numbers_present_flag
        reader.skip(7)
    reader.skip(3)  # use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter
    if not reduced:
        _skip_inter_tools(reader)
    reader.skip(3)  # enable_superres, enable_cdef, enable_restoration


def _skip_operating_points(reader: BitReader) -> None:
    """Pass over timing_info_present_flag to the last operating point."""
    delay_bits = 0
    if reader.flag():  # timing_info_present_flag
        reader.skip(64)  # num_units_in_display_tick, time_scale
        if reader.flag():  # equal_picture_interval
            _skip_uvlc(reader)
        if reader.flag():  # decoder_model_info_present_flag
            delay_bits = reader.read(5) + 1
            reader.skip(42)
    display_delay_present = reader.flag()
    for _ in range(reader.read(5) + 1):
        reader.skip(12)  # operating_point_idc
        if reader.read(5) > 7:
            reader.skip(1)  # seq_tier
        if delay_bits and reader.flag():
            reader.skip(2 * delay_bits + 1)
        if display_delay_present and reader.flag():
            reader.skip(4)


def _skip_uvlc(reader: BitReader) -> None:
    zeros = 0
    while not reader.flag():
        zeros += 1
    reader.skip(zeros if zeros < 32 else 0)  # §4.10.3


def _skip_inter_tools(reader: BitReader) -> None:
    """Pass over enable_interintra_compound to order_hint_bits_minus_1."""
    reader.skip(4)
    order_hint = reader.flag()
    if order_hint:
        reader.skip(2)  # enable_jnt_comp, enable_ref_frame_mvs
    screen_content_tools = _SELECT if reader.flag() else reader.read(1)
    if screen_content_tools and not reader.flag():  # seq_choose_integer_mv
        reader.skip(1)  # seq_force_integer_mv
    if order_hint:
        reader.skip(3)


def _parse_color_config(reader: BitReader, profile: int) -> _Colour:
    """color_config() (§5.5.2)."""
    high_bitdepth = reader.flag()
    twelve_bit = profile == 2 and high_bitdepth and reader.flag()
    monochrome = profile != 1 and reader.flag()
    description = (reader.read(8), reader.read(8), reader.read(8)) if reader.flag() else (2, 2, 2)
    if monochrome:
        return _Colour(high_bitdepth, twelve_bit, monochrome, (True, True))
    if description == (_BT709, _SRGB, _IDENTITY):
        return _Colour(high_bitdepth, twelve_bit, monochrome, (False, False))
    reader.skip(1)  # color_range
    subsampling = _parse_subsampling(reader, profile, twelve_bit=twelve_bit)
    position = reader.read(2) if subsampling == (True, True) else 0
    return _Colour(high_bitdepth, twelve_bit, monochrome, subsampling, position)


def _parse_subsampling(reader: BitReader, profile: int, *, twelve_bit: bool) -> tuple[bool, bool]:
    if profile < 2:
        return (True, True) if profile == 0 else (False, False)
    if not twelve_bit:
        return True, False
    horizontal = reader.flag()
    return horizontal, horizontal and reader.flag()
