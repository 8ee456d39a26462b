"""The output order of H.265 pictures, against a real encoder and slice segments built by the tables of the standard."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.bits import BitWriter
from lalmesh.codec.h265 import (
    HevcDecoderConfigurationRecord,
    NaluType,
    ParameterSets,
    PictureOrder,
    begins_picture,
    parse_pps,
)
from lalmesh.codec.nalu import escape_rbsp, join_avcc
from lalmesh.errors import RemoteProtocolError

# ffmpeg 9.0 -f lavfi -i testsrc2=s=320x180:r=25 -c:v libx265 -preset ultrafast -x265-params keyint=25:min-keyint=25:scenecut=0
SPS = bytes.fromhex("42010101600000030090000003000003003ca00a080c1f3e595952930bc05a020000030002000003003210")
PPS = bytes.fromhex("4401c073c189")
SETS = ParameterSets(sps=(SPS,), pps=(PPS,))
X265 = [
    ("2801ac74c2ea7bca6029a52740a0", (1, 0)),  # IDR
    ("0201d02149883a61504b6241a88b", (1, 4)),
    ("0201e0449560812184c2d1c3891a", (1, 2)),
    ("0001e024fd7a240a4c22e88008d2", (1, 1)),
    ("0001e066b5e08141844a3018a1c6", (1, 3)),
    ("0201d0409255620e185471052490", (1, 8)),
    ("2a01ac645c8891930bc8676d0d43", (1, 25)),  # CRA: counts go on
    ("0201d0e94988386149d0c045ae37", (1, 29)),
]


def order(sets: ParameterSets = SETS) -> PictureOrder:
    return PictureOrder(HevcDecoderConfigurationRecord.from_parameter_sets(sets))


def unit(kind: int, lsb: int, *, temporal_id: int = 0, first: bool = True, pps_id: int = 0) -> bytes:
    """An access unit of one slice segment under the parameter sets above: slice_pic_order_cnt_lsb has eight bits (§7.3.6.1)."""
    bits = BitWriter().write(kind, 7).write(0, 6).write(temporal_id + 1, 3).write(first, 1)
    if 16 <= kind <= 23:
        bits.write(0, 1)
    bits.ue(pps_id).ue(1)
    if kind not in (NaluType.IDR_W_RADL, NaluType.IDR_N_LP):
        bits.write(lsb, 8)
    return join_avcc([escape_rbsp(bits.write(1, 1).to_bytes())])


def test_places_are_those_of_a_real_encoder() -> None:
    tested = order()
    assert [tested.place(join_avcc([bytes.fromhex(wire)])) for wire, _ in X265] == [place for _, place in X265]


def test_least_significant_bits_wrap() -> None:
    # §8.3.1 with MaxPicOrderCntLsb 256; a picture of a higher temporal sub-layer is no reference for the next
    tested = order()
    kinds = [(NaluType.IDR_N_LP, 0, 0), (1, 120, 0), (1, 240, 0), (1, 10, 1), (1, 250, 0), (1, 12, 0), (0, 252, 0), (1, 140, 0)]
    places = [tested.place(unit(kind, lsb, temporal_id=layer)) for kind, lsb, layer in kinds]
    assert places == [(1, 0), (1, 120), (1, 240), (1, 266), (1, 250), (1, 268), (1, 252), (1, 396)]


def test_leading_pictures_are_no_reference_for_the_next() -> None:
    tested = order()
    kinds = [(NaluType.CRA, 100), (NaluType.RASL_R, 98), (NaluType.TRAIL_R, 228), (NaluType.RADL_R, 3), (NaluType.TRAIL_R, 230)]
    assert [tested.place(unit(kind, lsb)) for kind, lsb in kinds] == [(1, 100), (1, 98), (1, 228), (1, 259), (1, 230)]


def test_only_pictures_that_begin_a_sequence_begin_to_count() -> None:
    tested = order()
    kinds = [NaluType.CRA, NaluType.CRA, NaluType.BLA_N_LP, NaluType.IDR_W_RADL]
    assert [tested.place(unit(kind, 7)) for kind in kinds] == [(1, 7), (1, 7), (2, 7), (3, 0)]


def test_extra_bits_and_the_output_flag_are_passed_over() -> None:
    pps = BitWriter().write(0x4401, 16).ue(1).ue(0).write(0, 1).write(1, 1).write(2, 3).write(1, 1).to_bytes()
    tested = order(ParameterSets(sps=(SPS,), pps=(PPS, pps)))
    bits = BitWriter().write(NaluType.TRAIL_R, 7).write(1, 9).write(1, 1).ue(1).write(3, 2).ue(0).write(0, 1).write(77, 8)
    assert tested.place(join_avcc([bits.write(1, 1).to_bytes()])) == (1, 77)
    assert (parse_pps(pps).output_flag_present, parse_pps(pps).extra_slice_header_bits) == (True, 2)


def test_what_is_no_first_slice_segment_has_no_place() -> None:
    tested = order()
    assert tested.place(unit(1, 5, first=False)) is None
    assert tested.place(unit(1, 5, pps_id=9)) is None
    assert tested.place(join_avcc([SPS, PPS])) is None


def test_a_broken_header_is_told() -> None:
    with pytest.raises(RemoteProtocolError):
        order().place(join_avcc([b"\x02\x01\x80"]))
    with pytest.raises(RemoteProtocolError):
        parse_pps(SPS)


def test_begin_of_a_picture() -> None:
    assert begins_picture(bytes.fromhex(X265[0][0]))
    assert not begins_picture(b"\x02\x01\x7f")
    assert not begins_picture(b"\x02\x01")
    assert not begins_picture(SPS)


@given(st.integers(0, 31), st.binary(max_size=80))
def test_any_slice_segment_has_a_place_or_is_refused(kind: int, data: bytes) -> None:
    with suppress(RemoteProtocolError):
        order().place(join_avcc([bytes((kind << 1, 1)) + data]))
