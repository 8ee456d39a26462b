"""AV1: open bitstream units, the `av1C` record, the sequence header, and where decoding can start (AV1 bitstream specification)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from lalmesh.bits import BitReader, BitWriter
from lalmesh.errors import RemoteProtocolError

OBU_SEQUENCE_HEADER = 1
OBU_TEMPORAL_DELIMITER = 2
OBU_FRAME_HEADER = 3
OBU_FRAME = 6

PROFILES = ("Main", "High", "Professional")  #: by seq_profile (§6.4.1)

_OBU_SECTION = "AV1 §5.3"
_RECORD_SECTION = "AV1-ISOBMFF §2.3.3"
_MAX_LEB128_BYTES = 8  # §4.10.5
_MAX_UVLC_ZEROS = 32  # §4.10.3: from here on the value is 2**32 - 1
_RECORD_BYTES = 4
_MARKER_AND_VERSION = 0x81
_KEY_FRAME_SHOWN = 0b0001  # show_existing_frame 0, frame_type KEY_FRAME, show_frame 1 (§5.9.2)
_REDUCED_STILL_PICTURE = 0x08  # in the first byte of a sequence header (§5.5.1)


@dataclass(slots=True, frozen=True)
class Obu:
    """One open bitstream unit."""

    obu_type: int  #: 1..15 (§6.2.2)
    payload: bytes  #: without header and size
    temporal_id: int = 0  #: 0..7
    spatial_id: int = 0  #: 0..3


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


@dataclass(slots=True, frozen=True, kw_only=True)
class AV1CodecConfigurationRecord:
    """The `av1C` record (AV1-ISOBMFF §2.3.3)."""

    profile: int  #: seq_profile, 0..2
    level_idx: int  #: seq_level_idx_0, 0..31
    tier: int = 0  #: seq_tier_0
    high_bitdepth: bool = False
    twelve_bit: bool = False
    monochrome: bool = False
    chroma_subsampling_x: bool = True
    chroma_subsampling_y: bool = True
    chroma_sample_position: int = 0  #: 0 unknown, 1 vertical, 2 colocated
    initial_presentation_delay: int | None = None  #: samples, 1..16; None: not said
    config_obus: bytes = b""  #: OBUs with sizes: the sequence header, perhaps metadata

    @classmethod
    def parse(cls, data: bytes) -> AV1CodecConfigurationRecord:
        """Read a record; `config_obus` is kept, not looked into.

        Raises:
            RemoteProtocolError: cut off, or marker and version are not 0x81.
        Source: AV1-ISOBMFF §2.3.3
        """
        if len(data) < _RECORD_BYTES or data[0] != _MARKER_AND_VERSION:
            raise RemoteProtocolError(f"no av1C version 1: {data[:_RECORD_BYTES].hex()}", section=_RECORD_SECTION)
        reader = BitReader(data[1:_RECORD_BYTES])
        return cls(
            profile=reader.read(3),
            level_idx=reader.read(5),
            tier=reader.read(1),
            high_bitdepth=reader.flag(),
            twelve_bit=reader.flag(),
            monochrome=reader.flag(),
            chroma_subsampling_x=reader.flag(),
            chroma_subsampling_y=reader.flag(),
            chroma_sample_position=reader.read(2),
            initial_presentation_delay=_presentation_delay(reader),
            config_obus=data[_RECORD_BYTES:],
        )

    def serialize(self) -> bytes:
        """Give the bytes of the record (AV1-ISOBMFF §2.3.3)."""
        writer = BitWriter().write(_MARKER_AND_VERSION, 8).write(self.profile, 3).write(self.level_idx, 5).write(self.tier, 1)
        flags = (self.high_bitdepth, self.twelve_bit, self.monochrome, self.chroma_subsampling_x, self.chroma_subsampling_y)
        for flag in flags:
            writer.write(flag, 1)
        writer.write(self.chroma_sample_position, 2).write(0, 3)
        delay = self.initial_presentation_delay
        writer.write(delay is not None, 1).write((delay or 1) - 1, 4)
        return writer.to_bytes() + self.config_obus

    @property
    def bit_depth(self) -> int:
        """Bits a sample: 8, 10 or 12 (§5.5.2)."""
        if not self.high_bitdepth:
            return 8
        return 12 if self.twelve_bit and self.profile == 2 else 10

    @property
    def rfc6381(self) -> str:
        """The codec for a CODECS parameter in its short form, such as ``av01.0.04M.08`` (AV1-ISOBMFF §5)."""
        return f"av01.{self.profile}.{self.level_idx:02}{'MH'[self.tier]}.{self.bit_depth:02}"

    @property
    def sequence_header(self) -> SequenceHeader | None:
        """What the sequence header in `config_obus` says, None without one.

        Raises:
            RemoteProtocolError: OBUs or sequence header are broken.
        """
        headers = (obu.payload for obu in parse_obus(self.config_obus) if obu.obu_type == OBU_SEQUENCE_HEADER)
        payload = next(headers, None)
        return None if payload is None else parse_sequence_header(payload)


def _presentation_delay(reader: BitReader) -> int | None:
    reader.skip(3)  # reserved
    present, minus_one = reader.flag(), reader.read(4)
    return minus_one + 1 if present else None


def read_leb128(data: bytes, at: int = 0) -> tuple[int, int]:
    """The number at byte `at` and the offset behind it.

    Raises:
        RemoteProtocolError: cut off, over 8 bytes or over 32 bits.
    Source: AV1 §4.10.5
    """
    value = 0
    for index, byte in enumerate(data[at : at + _MAX_LEB128_BYTES]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if value >> 32:
                break
            return value, at + index + 1
    raise RemoteProtocolError("leb128 cut off or over 32 bits", section="AV1 §4.10.5", at=at)


def write_leb128(value: int) -> bytes:
    """The shortest leb128 of `value`, 0 to 2**32 - 1 (AV1 §4.10.5)."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _spans(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Offset of header, start and end of payload for each OBU (§5.3.1, §5.3.2)."""
    at = 0
    while at < len(data):
        header = data[at]
        if header & 0x80:
            raise RemoteProtocolError("obu_forbidden_bit set", section=_OBU_SECTION, at=at)
        start = at + (2 if header & 4 else 1)
        size = len(data) - start  # the last one may go without a size
        if header & 2:
            size, start = read_leb128(data, start)
        if size < 0 or start + size > len(data):
            raise RemoteProtocolError(f"OBU of {size} bytes, {len(data) - start} there", section=_OBU_SECTION, at=at)
        yield at, start, start + size
        at = start + size


def parse_obus(data: bytes) -> Iterator[Obu]:
    """Iterate over the OBUs of a temporal unit or of `config_obus`; the last one may lack its size.

    Raises:
        RemoteProtocolError: forbidden bit, bad size, cut off; after the good ones.
    Source: AV1 §5.3
    """
    for at, start, end in _spans(data):
        extension = data[at + 1] if data[at] & 4 else 0
        yield Obu(data[at] >> 3, data[start:end], extension >> 5, extension >> 3 & 3)


def serialize_obu(obu: Obu) -> bytes:
    """The OBU with its size (AV1 §5.3)."""
    extension = obu.temporal_id << 5 | obu.spatial_id << 3
    header = bytes((obu.obu_type << 3 | 6, extension)) if extension else bytes((obu.obu_type << 3 | 2,))
    return header + write_leb128(len(obu.payload)) + obu.payload


def is_random_access(temporal_unit: bytes) -> bool:
    """Whether decoding can start here: a sequence header, then as first frame a key frame that is shown (AV1 §7.6.2).

    Raises:
        RemoteProtocolError: an OBU before the first frame is broken.
    """
    sequence_header: int | None = None  # its first byte
    for at, start, end in _spans(temporal_unit):
        obu_type = temporal_unit[at] >> 3
        first = temporal_unit[start] if end > start else -1
        if obu_type == OBU_SEQUENCE_HEADER and first >= 0:
            sequence_header = first
        elif obu_type in (OBU_FRAME, OBU_FRAME_HEADER):
            return sequence_header is not None and bool(sequence_header & _REDUCED_STILL_PICTURE or first >> 4 == _KEY_FRAME_SHOWN)
    return False


def parse_sequence_header(payload: bytes) -> SequenceHeader:
    """What a sequence header OBU says, up to the frame size.

    Raises:
        RemoteProtocolError: cut off, or a reserved profile.
    Source: AV1 §5.5.1
    """
    reader = BitReader(payload)
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
