"""The `av1C` record (AV1-ISOBMFF §2.3.3)."""

from __future__ import annotations

from dataclasses import dataclass

from lalmesh.bits import BitReader, BitWriter
from lalmesh.codec.av1._obus import OBU_SEQUENCE_HEADER, Obu, parse_obus, serialize_obu
from lalmesh.codec.av1._sequence_header import SequenceHeader, parse_color_config, parse_sequence_header
from lalmesh.errors import RemoteProtocolError

_RECORD_SECTION = "AV1-ISOBMFF §2.3.3"
_RECORD_BYTES = 4
_MARKER_AND_VERSION = 0x81


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

    @classmethod
    def from_sequence_header(cls, payload: bytes) -> AV1CodecConfigurationRecord:
        """Make the record of a stream that comes without one, from the payload of its sequence header OBU.

        Raises:
            RemoteProtocolError: cut off, or a reserved profile.
        Source: AV1-ISOBMFF §2.3.3; AV1 §5.5
        """
        header, colours = parse_sequence_header(payload), parse_color_config(payload)
        return cls(
            profile=header.profile,
            level_idx=header.level_idx,
            tier=header.tier,
            high_bitdepth=colours.high_bitdepth,
            twelve_bit=colours.twelve_bit,
            monochrome=colours.monochrome,
            chroma_subsampling_x=colours.subsampling[0],
            chroma_subsampling_y=colours.subsampling[1],
            chroma_sample_position=colours.chroma_sample_position,
            config_obus=serialize_obu(Obu(OBU_SEQUENCE_HEADER, payload)),
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
