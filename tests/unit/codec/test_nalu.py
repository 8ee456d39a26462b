"""NALU containers: AVCC, Annex B, emulation prevention."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.bits import BitReader
from lalmesh.codec.nalu import (
    MAX_NALU_BYTES,
    MAX_NALUS_PER_ACCESS_UNIT,
    MAX_PARAMETER_SET_BYTES,
    MAX_RECORD_BYTES,
    RecordReader,
    annexb_to_avcc,
    avcc_to_annexb,
    bounded_ue,
    check_parameter_sets,
    escape_rbsp,
    iter_avcc_headers,
    join_annexb,
    join_avcc,
    parameter_set_bits,
    parse_cropped_size,
    picture_rate,
    relength,
    serialize_record_nalus,
    split_annexb,
    split_avcc,
    unescape_rbsp,
)
from lalmesh.errors import LimitExceeded, LocalProtocolError, RemoteProtocolError

#: bytes that come near start codes and emulation prevention
nasty_bytes = st.lists(st.sampled_from([0, 0, 0, 1, 2, 3, 4, 0x65, 0xFF]), max_size=40).map(bytes)
#: NALUs as encoders write them: escaped, not empty, the last byte not zero
nalus = nasty_bytes.map(lambda body: escape_rbsp(b"\x65" + body + b"\x80"))
access_units = st.lists(nalus, max_size=6)


def with_lengths(parts: list[bytes], length_size: int) -> bytes:
    return b"".join(len(part).to_bytes(length_size, "big") + part for part in parts)


def test_avcc_lengths_come_before_each_nalu() -> None:
    assert join_avcc([b"\x09\xf0", b"\x65"]) == bytes.fromhex("00000002 09f0 00000001 65")
    assert split_avcc(bytes.fromhex("00000002 09f0 00000001 65")) == [b"\x09\xf0", b"\x65"]


@given(access_units, st.integers(1, 4))
def test_avcc_of_any_length_size_gives_its_nalus_back(parts: list[bytes], length_size: int) -> None:
    wire = with_lengths(parts, length_size)
    assert split_avcc(wire, length_size) == parts
    assert relength(wire, length_size) == join_avcc(parts)


@given(access_units.filter(bool), st.data())
def test_a_truncated_avcc_access_unit_is_refused(parts: list[bytes], data: st.DataObject) -> None:
    wire = join_avcc(parts)
    cut = data.draw(st.integers(1, len(wire) - 1).filter(lambda n: n not in boundaries(parts)))
    with pytest.raises(RemoteProtocolError):
        split_avcc(wire[:cut])


def boundaries(parts: list[bytes]) -> set[int]:
    return {len(join_avcc(parts[:count])) for count in range(len(parts) + 1)}


def test_the_headers_say_where_each_nalu_begins() -> None:
    assert list(iter_avcc_headers(bytes.fromhex("0003 65aabb 0001 06"), 2)) == [(2, 3), (7, 1)]


def test_the_good_headers_come_before_the_error() -> None:
    headers = iter_avcc_headers(bytes.fromhex("00000001 65 00000002 41"))
    assert next(headers) == (4, 1)
    with pytest.raises(RemoteProtocolError, match="NALU of 2 bytes, 1 left") as caught:
        next(headers)
    assert caught.value.at == 5


def test_empty_nalus_are_dropped() -> None:
    assert split_avcc(bytes.fromhex("00000000 00000001 65 00000000")) == [b"\x65"]
    assert split_annexb(bytes.fromhex("000001 00000001 65 000001")) == [b"\x65"]


def test_lengths_of_four_bytes_are_passed_on_as_they_are() -> None:
    payload = join_avcc([b"\x65\x88"])
    assert relength(payload, 4) is payload


@pytest.mark.parametrize("length_size", [0, 5])
def test_a_length_size_that_no_record_can_name_is_our_bug(length_size: int) -> None:
    with pytest.raises(LocalProtocolError):
        split_avcc(b"\x00", length_size)


def test_too_many_nalus_are_refused() -> None:
    assert len(split_avcc(b"\x01\x65" * MAX_NALUS_PER_ACCESS_UNIT, 1)) == MAX_NALUS_PER_ACCESS_UNIT
    with pytest.raises(LimitExceeded):
        split_avcc(b"\x01\x65" * (MAX_NALUS_PER_ACCESS_UNIT + 1), 1)
    with pytest.raises(LimitExceeded):
        split_avcc(b"\x00" * (MAX_NALUS_PER_ACCESS_UNIT + 1), 1)
    with pytest.raises(LimitExceeded):
        split_annexb(b"\x00\x00\x01\x65" * (MAX_NALUS_PER_ACCESS_UNIT + 1))


def test_a_nalu_over_its_bound_is_refused() -> None:
    body = b"\x65" * (MAX_NALU_BYTES + 1)
    with pytest.raises(LimitExceeded):
        split_avcc(join_avcc([body]))
    with pytest.raises(LimitExceeded):
        split_annexb(join_annexb([body]))


def test_annexb_takes_start_codes_of_three_and_four_bytes_and_zeros_around_them() -> None:
    # ISO/IEC 14496-10 §B.1.1: leading_zero_8bits, zero_byte, start_code_prefix_one_3bytes, trailing_zero_8bits
    wire = bytes.fromhex("0000 00000001 09f0 000001 6742 0000 000001 68ce 000000")
    assert split_annexb(wire) == [b"\x09\xf0", b"\x67\x42", b"\x68\xce"]


@pytest.mark.parametrize("wire", ["65", "000065", "ff000001", "0000000265"])
def test_annexb_begins_with_a_start_code(wire: str) -> None:
    with pytest.raises(RemoteProtocolError, match="no start code"):
        split_annexb(bytes.fromhex(wire))


@given(access_units)
def test_annexb_and_avcc_turn_into_each_other(parts: list[bytes]) -> None:
    assert avcc_to_annexb(join_avcc(parts)) == join_annexb(parts)
    assert annexb_to_avcc(join_annexb(parts)) == join_avcc(parts)
    assert split_annexb(join_annexb(parts)) == parts


def test_emulation_prevention_follows_the_table_of_the_standard() -> None:
    # ISO/IEC 14496-10 §7.4.1: 000000, 000001, 000002 and 000003 must not appear in a NALU
    for last in range(4):
        assert escape_rbsp(bytes((0x67, 0, 0, last, 0x80))) == bytes((0x67, 0, 0, 3, last, 0x80))
    assert escape_rbsp(bytes.fromhex("67000004")) == bytes.fromhex("67000004")
    assert escape_rbsp(bytes.fromhex("6780 0000 0000")) == bytes.fromhex("6780 000003 000003")  # cabac_zero_words
    assert unescape_rbsp(bytes.fromhex("67000003000003000003")) == bytes.fromhex("67000000000000")


@given(nasty_bytes)
def test_escaping_leaves_no_start_code_and_is_undone(rbsp: bytes) -> None:
    nalu = escape_rbsp(rbsp)
    assert unescape_rbsp(nalu) == rbsp
    assert not any(code in nalu for code in (b"\x00\x00\x00", b"\x00\x00\x01", b"\x00\x00\x02"))


@given(st.binary(max_size=60) | nasty_bytes, st.sampled_from([split_avcc, split_annexb, avcc_to_annexb, annexb_to_avcc]))
def test_any_bytes_give_a_result_or_a_protocol_error(data: bytes, core: Callable[[bytes], object]) -> None:
    with suppress(RemoteProtocolError):
        core(data)


def test_a_parameter_set_over_its_bound_is_refused() -> None:
    assert parameter_set_bits(b"\x67" * MAX_PARAMETER_SET_BYTES, 1).bits_left == 8 * (MAX_PARAMETER_SET_BYTES - 1)
    with pytest.raises(LimitExceeded):
        parameter_set_bits(b"\x67" * (MAX_PARAMETER_SET_BYTES + 1), 1)


def test_a_value_above_its_range_is_named() -> None:
    with pytest.raises(LimitExceeded, match="sps_id of 6, limit 5"):
        bounded_ue(BitReader(b"\x38"), "sps_id", 5)  # 00111 is 6


def test_a_clock_rate_is_no_picture_rate() -> None:
    assert picture_rate(60_000, 2002) == Fraction(30_000, 1001)
    assert picture_rate(1000, 1) == 1000
    assert [picture_rate(90_000, 1), picture_rate(0, 1), picture_rate(25, 0)] == [None, None, None]


def test_a_record_is_read_in_order_and_bounded() -> None:
    reader = RecordReader(bytes.fromhex("01 0002 6742 ff"), "§1")
    assert (reader.uint(1), reader.nalus(1), reader.bytes_left) == (1, (b"\x67\x42",), 1)
    with pytest.raises(RemoteProtocolError, match="2 bytes wanted, 1 left"):
        reader.uint(2)
    with pytest.raises(RemoteProtocolError, match="empty parameter set"):
        RecordReader(b"\x00\x00", "§1").nalus(1)
    with pytest.raises(LimitExceeded):
        RecordReader(bytes(MAX_RECORD_BYTES + 1), "§1")


def test_a_parameter_set_longer_than_its_length_can_say_is_our_bug() -> None:
    assert serialize_record_nalus([b"\x68\xce"]) == bytes.fromhex("000268ce")
    with pytest.raises(LocalProtocolError):
        serialize_record_nalus([bytes(0x10000)])


@pytest.mark.parametrize(
    ("chroma_format_idc", "fields", "size"),
    [(0, 1, (97, 96)), (1, 1, (94, 92)), (1, 2, (94, 84)), (2, 1, (94, 96)), (3, 2, (97, 92))],
)
def test_a_window_counts_samples_of_chroma(chroma_format_idc: int, fields: int, size: tuple[int, int]) -> None:
    bits = BitReader(bytes.fromhex("a6 44 00"))  # 1 010 011 00100 010: left 1, right 2, top 3, bottom 1
    assert parse_cropped_size(bits, 100, 100, chroma_format_idc, fields=fields) == size


def test_a_window_leaves_something_of_the_picture() -> None:
    assert parse_cropped_size(BitReader(b"\x00"), 16, 16, 1) == (16, 16)
    with pytest.raises(RemoteProtocolError, match="picture cropped to -2x14"):
        parse_cropped_size(BitReader(bytes.fromhex("a6 44 00")), 4, 22, 1)


@pytest.mark.parametrize("sets", [{"SPS": []}, {"SPS": [b"\x67", b""]}, {"SPS": [b"\x67"] * 3}, {"SPS": [bytes(0x10000)]}])
def test_parameter_sets_that_fit_no_record_are_named(sets: dict[str, list[bytes]]) -> None:
    check_parameter_sets({"SPS": [b"\x67"] * 2}, {"SPS": 2}, "§1")
    with pytest.raises(RemoteProtocolError):
        check_parameter_sets(sets, {"SPS": 2}, "§1")
