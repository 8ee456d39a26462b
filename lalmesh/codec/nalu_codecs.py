"""H.264 and H.265 by one interface, for containers and protocols that carry both as NALUs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from lalmesh.codec import h264, h265
from lalmesh.media import Codec

ParameterSetsByType: TypeAlias = dict[int, tuple[bytes, ...]]


@dataclass(slots=True, frozen=True, kw_only=True)
class NaluCodec:
    """One of the two; what is told of a NALU is told of a whole one, header included."""

    codec: Codec
    header_bytes: int  #: of a NALU
    delimiter: int  #: type of access unit delimiters
    sps: int
    needed: tuple[int, ...]  #: types of parameter sets that a configuration needs
    sets: tuple[int, ...]  #: all types of parameter sets, in the order in which they are sent
    type_of: Callable[[bytes], int]
    is_slice: Callable[[bytes], bool]
    begins_picture: Callable[[bytes], bool]
    is_random_access: Callable[[bytes], bool]  #: of an AVCC access unit
    configuration: Callable[[ParameterSetsByType], bytes]  #: of parameter sets
    parameter_sets: Callable[[bytes], tuple[bytes, ...]]  #: of a configuration, in the order in which they are sent


def _avcc(sets: ParameterSetsByType) -> bytes:
    sps, pps = sets[h264.NaluType.SPS], sets[h264.NaluType.PPS]
    return h264.AvcDecoderConfigurationRecord.from_parameter_sets(sps, pps).serialize()


def _hvcc(sets: ParameterSetsByType) -> bytes:
    vps, sps, pps = (sets.get(kind, ()) for kind in (h265.NaluType.VPS, h265.NaluType.SPS, h265.NaluType.PPS))
    return h265.HevcDecoderConfigurationRecord.from_parameter_sets(h265.ParameterSets(vps=vps, sps=sps, pps=pps)).serialize()


def _sets_of_avcc(configuration: bytes) -> tuple[bytes, ...]:
    record = h264.AvcDecoderConfigurationRecord.parse(configuration)
    return (*record.sps, *record.pps)


def _sets_of_hvcc(configuration: bytes) -> tuple[bytes, ...]:
    sets = h265.HevcDecoderConfigurationRecord.parse(configuration).parameter_sets
    return (*sets.vps, *sets.sps, *sets.pps)


H264: Final = NaluCodec(
    codec=Codec.H264,
    header_bytes=1,
    delimiter=h264.NaluType.ACCESS_UNIT_DELIMITER,
    sps=h264.NaluType.SPS,
    needed=(h264.NaluType.SPS, h264.NaluType.PPS),
    sets=(h264.NaluType.SPS, h264.NaluType.PPS),
    type_of=h264.nalu_type,
    is_slice=h264.is_slice,
    begins_picture=h264.begins_picture,
    is_random_access=h264.is_random_access,
    configuration=_avcc,
    parameter_sets=_sets_of_avcc,
)
H265: Final = NaluCodec(
    codec=Codec.H265,
    header_bytes=2,
    delimiter=h265.NaluType.ACCESS_UNIT_DELIMITER,
    sps=h265.NaluType.SPS,
    needed=(h265.NaluType.SPS, h265.NaluType.PPS),
    sets=(h265.NaluType.VPS, h265.NaluType.SPS, h265.NaluType.PPS),
    type_of=h265.nalu_type,
    is_slice=h265.is_slice,
    begins_picture=h265.begins_picture,
    is_random_access=h265.is_random_access,
    configuration=_hvcc,
    parameter_sets=_sets_of_hvcc,
)
