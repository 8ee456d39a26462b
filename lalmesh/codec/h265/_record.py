"""The `hvcC` record (ISO/IEC 14496-15 §8.3.3.1)."""

from __future__ import annotations

from dataclasses import dataclass

from lalmesh.bits import BitReader
from lalmesh.codec.h265._nalus import NaluType
from lalmesh.codec.h265._profile import ProfileTierLevel, parse_general_profile
from lalmesh.codec.h265._sps import parse_sps
from lalmesh.codec.nalu import LENGTH_SIZE, RecordReader, check_parameter_sets, serialize_record_nalus
from lalmesh.errors import UnsupportedError

MAX_ARRAYS = 255  #: numOfArrays has eight bits (ISO/IEC 14496-15 §8.3.3.1.2)
MAX_NALUS_IN_ARRAY = 0xFFFF  #: numNalus has sixteen

_RECORD_SECTION = "ISO/IEC 14496-15 §8.3.3.1"


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
        ptl = parse_general_profile(bits)
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
        by_name = {"VPS": sets.vps, "SPS": sets.sps, "PPS": sets.pps}
        check_parameter_sets(by_name, dict.fromkeys(by_name, MAX_NALUS_IN_ARRAY), _RECORD_SECTION)
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
