"""The output order of H.264 pictures, against a real encoder and slices built by the tables of the standard."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.bits import BitWriter
from lalmesh.codec.h264 import AvcDecoderConfigurationRecord, PictureOrder, begins_picture, parse_pps, slice_type
from lalmesh.codec.nalu import escape_rbsp, join_avcc
from lalmesh.errors import RemoteProtocolError

# ffmpeg 9.0 -f lavfi -i testsrc2=s=320x180:r=25 -c:v libx264 -preset veryfast -g 25 -bf 3 -b_strategy 0
SPS, PPS = bytes.fromhex("6764000dacd941419f9f011000000300100000030320f1429960"), bytes.fromhex("68efbcb0")
# the begin of each slice, and when its picture is shown, counted from the first
X264 = [
    ("65888400dfccff9e95b1e0dcbe9e", 0),
    ("419a24189bffc4537ff78b940fc9", 4),
    ("419e424210fffeed75efdc31c857", 2),
    ("019e614425fffef2ecb84a19f141", 1),
    ("019e634425fffef232852045fef5", 3),
    ("419a68344c49ffbc6fd3b8f1a312", 8),
    ("419e8645112c67b9f190de19e4ae", 6),
    ("019ea54425ffba3a864ccd8a689c", 5),
    ("019ea74421ffbc83ca0cf7ff376e", 7),
    ("6588820017ff63537352defe605d", 9),
    ("419a241889ff0d21307299ac3269", 13),
    ("419e42424fa39c7f8ffad00cfcd0", 11),
]


@dataclass
class Sequence:
    """Write parameter sets and slices of one kind of picture order (ISO/IEC 14496-10 §7.3.2.1.1, §7.3.2.2, §7.3.3)."""

    poc_type: int
    cycle: tuple[int, ...] = ()
    non_ref: int = 0
    top_to_bottom: int = 0
    frame_mbs_only: bool = True
    bottom_field_pic_order: bool = False

    def order(self) -> PictureOrder:
        record = AvcDecoderConfigurationRecord(profile=77, compatibility=0, level=30, sps=(self.sps(),), pps=(self.pps(),))
        return PictureOrder(record)

    def sps(self) -> bytes:
        bits = BitWriter().write(0x67, 8).write(77, 8).write(0, 8).write(30, 8).ue(0).ue(0).ue(self.poc_type)
        if self.poc_type == 0:
            bits.ue(0)  # four bits of pic_order_cnt_lsb
        if self.poc_type == 1:
            bits.write(0, 1).se(self.non_ref).se(self.top_to_bottom).ue(len(self.cycle))
            for offset in self.cycle:
                bits.se(offset)
        bits.ue(4).write(0, 1).ue(19).ue(14).write(self.frame_mbs_only, 1).write(1, 1 if self.frame_mbs_only else 2)
        return escape_rbsp(bits.write(0, 2).write(1, 1).to_bytes())

    def pps(self) -> bytes:
        return BitWriter().write(0x68, 8).ue(0).ue(0).write(0, 1).write(self.bottom_field_pic_order, 1).write(1, 1).to_bytes()

    def unit(
        self, frame_num: int, lsb: int = 0, *, idr: bool = False, ref: bool = True, field: str = "", deltas: str = ""
    ) -> bytes:
        """`field`: t or b where the picture is one; `deltas`: numbers with spaces between."""
        bits = BitWriter().write((0x60 if ref else 0) | (5 if idr else 1), 8).ue(0).ue(0).ue(0).write(frame_num, 4)
        if not self.frame_mbs_only:
            bits.write(bool(field), 1)
            if field:
                bits.write(field == "b", 1)
        if idr:
            bits.ue(0)
        if self.poc_type == 0:
            bits.write(lsb, 4)
        for delta in deltas.split():
            bits.se(int(delta))
        return join_avcc([b"\x06\x05\x01\x00\x80", escape_rbsp(bits.write(1, 1).to_bytes())])


def test_places_of_a_real_encoder_sort_as_it_shows_them() -> None:
    order = PictureOrder(AvcDecoderConfigurationRecord.from_parameter_sets([SPS], [PPS]))
    places = [order.place(join_avcc([bytes.fromhex(wire)])) for wire, _ in X264]
    assert sorted(range(len(X264)), key=lambda index: places[index] or (0, 0)) == sorted(
        range(len(X264)), key=lambda index: X264[index][1]
    )
    assert places[:4] == [(1, 0), (1, 8), (1, 4), (1, 2)]
    assert places[9:11] == [(2, 0), (2, 8)]


def test_least_significant_bits_wrap() -> None:
    # §8.2.1.1 with MaxPicOrderCntLsb 16: P8, b4, P16, b12, P24, each named by its lowest four bits
    sequence = Sequence(0)
    order = sequence.order()
    units = [
        sequence.unit(0, 0, idr=True),
        sequence.unit(1, 7),
        sequence.unit(2, 4, ref=False),
        sequence.unit(2, 14),
        sequence.unit(3, 12, ref=False),
        sequence.unit(3, 5),
        sequence.unit(4, 2, ref=False),
    ]
    assert [order.place(unit) for unit in units] == [(1, 0), (1, 7), (1, 4), (1, 14), (1, 12), (1, 21), (1, 18)]


def test_a_frame_is_as_early_as_its_earlier_field() -> None:
    sequence = Sequence(0, frame_mbs_only=False, bottom_field_pic_order=True)
    order = sequence.order()
    assert order.place(sequence.unit(0, 0, idr=True, deltas="-1")) == (1, -1)
    assert order.place(sequence.unit(1, 4, deltas="1")) == (1, 4)
    assert order.place(sequence.unit(2, 6, field="b")) == (1, 6)


def test_counts_by_frame_number_follow_a_cycle() -> None:
    # §8.2.1.2 with a cycle of one: each reference frame 4 after the one before, the frames between 2 before the next
    sequence = Sequence(1, cycle=(4,), non_ref=-2)
    order = sequence.order()
    units = [
        sequence.unit(0, idr=True, deltas="0"),
        sequence.unit(1, deltas="0"),
        sequence.unit(2, ref=False, deltas="0"),
        sequence.unit(2, deltas="0"),
        sequence.unit(3, ref=False, deltas="1"),
    ]
    assert [order.place(unit) for unit in units] == [(1, 0), (1, 4), (1, 2), (1, 8), (1, 7)]


def test_counts_by_frame_number_know_fields() -> None:
    sequence = Sequence(1, cycle=(2, 4), top_to_bottom=1, frame_mbs_only=False, bottom_field_pic_order=True)
    order = sequence.order()
    assert order.place(sequence.unit(0, idr=True, deltas="0 0")) == (1, 0)
    assert order.place(sequence.unit(1, field="t", deltas="0")) == (1, 2)
    assert order.place(sequence.unit(1, field="b", deltas="0")) == (1, 3)
    assert order.place(sequence.unit(2, deltas="3 -9")) == (1, 1)


def test_without_counts_the_order_is_that_of_decoding() -> None:
    # §8.2.1.3: frame_num wraps after 15; a frame that is no reference is one before the next
    sequence = Sequence(2)
    order = sequence.order()
    places = [order.place(sequence.unit(0, idr=True))]
    places += [order.place(sequence.unit(number % 16)) for number in range(1, 20)]
    places.append(order.place(sequence.unit(4, ref=False)))
    assert places == [(1, 2 * number) for number in range(20)] + [(1, 39)]


def test_a_slice_of_unknown_parameter_sets_has_no_place() -> None:
    order = PictureOrder(AvcDecoderConfigurationRecord(profile=77, compatibility=0, level=30))
    assert order.place(Sequence(0).unit(0, idr=True)) is None
    assert order.place(join_avcc([SPS, PPS])) is None


def test_a_broken_slice_header_is_told() -> None:
    with pytest.raises(RemoteProtocolError):
        Sequence(0).order().place(join_avcc([b"\x41\x80"]))


def test_begins_and_types_of_slices() -> None:
    first = bytes.fromhex(X264[0][0])
    assert begins_picture(first)
    assert not begins_picture(b"\x41\x40")  # first_mb_in_slice is not 0
    assert not begins_picture(b"\x41")
    assert not begins_picture(SPS)
    assert slice_type(first) == 7
    assert slice_type(bytes.fromhex(X264[1][0])) == 5
    assert slice_type(bytes.fromhex(X264[2][0])) == 6
    with pytest.raises(RemoteProtocolError):
        slice_type(b"\x41\x80")


def test_pps_fields() -> None:
    pps = parse_pps(Sequence(0, bottom_field_pic_order=True).pps())
    assert (pps.pps_id, pps.sps_id, pps.bottom_field_pic_order) == (0, 0, True)
    with pytest.raises(RemoteProtocolError):
        parse_pps(SPS)
    with pytest.raises(RemoteProtocolError):
        parse_pps(b"\x68")


@given(st.binary(max_size=80))
def test_any_slice_has_a_place_or_is_refused(data: bytes) -> None:
    for sequence in (Sequence(0, frame_mbs_only=False, bottom_field_pic_order=True), Sequence(1, cycle=(4,)), Sequence(2)):
        with suppress(RemoteProtocolError):
            sequence.order().place(join_avcc([b"\x65" + data]))
