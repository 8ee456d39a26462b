"""H.264 and H.265 by one interface."""

from __future__ import annotations

import pytest

from lalmesh.codec import h264, h265
from lalmesh.codec.nalu_codecs import H264, H265, NaluCodec

# parameter sets of ffmpeg 9.0 with libx264 and libx265, 320x180
SPS, PPS = bytes.fromhex("6764000dacd941419f9f011000000300100000030320f1429960"), bytes.fromhex("68efbcb0")
VPS_265 = bytes.fromhex("40010c01ffff016000000300900000030000030078959409")
SPS_265 = bytes.fromhex("42010101600000030090000003000003003ca00a080c1f3e595952930bc05a020000030002000003003210")
PPS_265 = bytes.fromhex("4401c073c189")


@pytest.mark.parametrize(
    ("codec", "slices", "others"),
    [(H264, b"\x41\x65", b"\x06\x67\x74"), (H265, b"\x02\x26\x2a", b"\x40\x4e")],
)
def test_slices_are_told_from_other_nalus(codec: NaluCodec, slices: bytes, others: bytes) -> None:
    assert all(codec.is_slice(bytes((first, 1))) for first in slices)
    assert not any(codec.is_slice(bytes((first, 1))) for first in others)


def test_the_types_of_both_codecs_are_those_of_the_standards() -> None:
    assert (H264.type_of(SPS), H264.type_of(PPS)) == (h264.NaluType.SPS, h264.NaluType.PPS)
    assert tuple(map(H265.type_of, (VPS_265, SPS_265, PPS_265))) == H265.sets == (h265.NaluType.VPS, *H265.needed)


@pytest.mark.parametrize(
    ("codec", "sets"), [(H264, {7: (SPS,), 8: (PPS,)}), (H265, {32: (VPS_265,), 33: (SPS_265,), 34: (PPS_265,)})]
)
def test_a_configuration_holds_the_sets_that_it_is_made_of(codec: NaluCodec, sets: dict[int, tuple[bytes, ...]]) -> None:
    assert codec.parameter_sets(codec.configuration(sets)) == tuple(nalu for nalus in sets.values() for nalu in nalus)
