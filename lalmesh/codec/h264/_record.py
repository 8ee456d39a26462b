"""The `avcC` record (ISO/IEC 14496-15 §5.3.3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lalmesh.codec.h264._sps import parse_sps
from lalmesh.codec.nalu import LENGTH_SIZE, RecordReader, check_parameter_sets, serialize_record_nalus
from lalmesh.errors import UnsupportedError

MAX_SPS = 31  #: numOfSequenceParameterSets has five bits (ISO/IEC 14496-15 §5.3.3.1.2)
MAX_PPS = 255  #: numOfPictureParameterSets has eight

_RECORD_SECTION = "ISO/IEC 14496-15 §5.3.3.1"
_PROFILES_WITHOUT_RECORD_EXTENSION = frozenset({66, 77, 88})  #: their `avcC` ends with the PPS


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
        check_parameter_sets({"SPS": sps, "PPS": pps}, {"SPS": MAX_SPS, "PPS": MAX_PPS}, _RECORD_SECTION)
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
