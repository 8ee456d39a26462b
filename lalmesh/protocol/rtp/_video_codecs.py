"""What differs between H.264 and H.265 in RTP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from lalmesh.codec import h264, h265
from lalmesh.errors import RemoteProtocolError
from lalmesh.media import Codec

ParameterSetsByType: TypeAlias = dict[int, tuple[bytes, ...]]

_FIRST_NON_VCL_H265 = 32
_LAST_SLICE_H264 = 5
_I_SLICES = (2, 7)  # slice_type (ISO/IEC 14496-10 Table 7-6)


@dataclass(slots=True, frozen=True, kw_only=True)
class VideoCodec:
    """One of the two."""

    codec: Codec
    header_bytes: int  #: of a NALU
    delimiter: int  #: type of access unit delimiters, which are left out
    sps: int
    needed: tuple[int, ...]  #: types of parameter sets that a configuration needs
    sets: tuple[int, ...]  #: all types of parameter sets, in the order in which they are sent
    type_of: Callable[[bytes], int]
    is_slice: Callable[[bytes], bool]
    begins_picture: Callable[[bytes], bool]
    configuration: Callable[[ParameterSetsByType], bytes]  #: of parameter sets
    parameter_sets: Callable[[bytes], tuple[bytes, ...]]  #: of a configuration, in the order in which they are sent
    is_random_access: Callable[[list[bytes], bytes], bool]  #: of the NALUs of an access unit, and the same as its payload


def _is_h264_slice(nalu: bytes) -> bool:
    return 1 <= nalu[0] & 0x1F <= _LAST_SLICE_H264


def _is_h265_slice(nalu: bytes) -> bool:
    return nalu[0] >> 1 & 0x3F < _FIRST_NON_VCL_H265


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


def _is_h264_random_access(nalus: list[bytes], payload: bytes) -> bool:
    """An IDR picture or a recovery point; or an I picture that parameter sets go with.

    Interop: encoders that never send IDR pictures, and say so nowhere, repeat their parameter sets where decoding can start.
    """
    if h264.is_random_access(payload):
        return True
    has_sps = any(h264.nalu_type(nalu) == h264.NaluType.SPS for nalu in nalus)
    return has_sps and all(_is_intra(nalu) for nalu in nalus if _is_h264_slice(nalu))


def _is_intra(nalu: bytes) -> bool:
    """Whether an H.264 slice refers to no other picture; of one that is cut off, nobody knows."""
    try:
        return h264.slice_type(nalu) in _I_SLICES
    except RemoteProtocolError:
        return False


H264: Final = VideoCodec(
    codec=Codec.H264,
    header_bytes=1,
    delimiter=h264.NaluType.ACCESS_UNIT_DELIMITER,
    sps=h264.NaluType.SPS,
    needed=(h264.NaluType.SPS, h264.NaluType.PPS),
    sets=(h264.NaluType.SPS, h264.NaluType.PPS),
    type_of=h264.nalu_type,
    is_slice=_is_h264_slice,
    begins_picture=h264.begins_picture,
    configuration=_avcc,
    parameter_sets=_sets_of_avcc,
    is_random_access=_is_h264_random_access,
)
H265: Final = VideoCodec(
    codec=Codec.H265,
    header_bytes=2,
    delimiter=h265.NaluType.ACCESS_UNIT_DELIMITER,
    sps=h265.NaluType.SPS,
    needed=(h265.NaluType.SPS, h265.NaluType.PPS),
    sets=(h265.NaluType.VPS, h265.NaluType.SPS, h265.NaluType.PPS),
    type_of=h265.nalu_type,
    is_slice=_is_h265_slice,
    begins_picture=h265.begins_picture,
    configuration=_hvcc,
    parameter_sets=_sets_of_hvcc,
    is_random_access=lambda nalus, payload: h265.is_random_access(payload),
)
