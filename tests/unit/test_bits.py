from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.bits import MAX_EXP_GOLOMB_BITS, BitReader, BitWriter
from lalmesh.errors import RemoteProtocolError

FIELDS = st.lists(
    st.integers(1, 70).flatmap(lambda count: st.tuples(st.integers(0, (1 << count) - 1), st.just(count))), max_size=12
)


@given(FIELDS)
def test_fields_come_back_as_they_were_written(fields: list[tuple[int, int]]) -> None:
    writer = BitWriter()
    for value, count in fields:
        writer.write(value, count)
    reader = BitReader(writer.to_bytes())
    assert [reader.read(count) for _, count in fields] == [value for value, _ in fields]
    assert reader.bits_left < 8


@given(st.lists(st.integers(0, 2**32 - 2), max_size=8), st.lists(st.integers(-(2**31) + 1, 2**31 - 1), max_size=8))
def test_exp_golomb_codes_come_back(unsigned: list[int], signed: list[int]) -> None:
    writer = BitWriter()
    for value in unsigned:
        writer.ue(value)
    for value in signed:
        writer.se(value)
    reader = BitReader(writer.to_bytes())
    assert [reader.ue() for _ in unsigned] == unsigned
    assert [reader.se() for _ in signed] == signed


@pytest.mark.parametrize(
    ("bits", "code", "signed"),
    [("1", 0, 0), ("010", 1, 1), ("011", 2, -1), ("00100", 3, 2), ("00101", 4, -2), ("00110", 5, 3), ("00111", 6, -3)],
)
def test_exp_golomb_codes_are_those_of_the_standard(bits: str, code: int, signed: int) -> None:
    # ISO/IEC 14496-10 Tables 9-2 and 9-3
    data = int(bits.ljust(8, "0"), 2).to_bytes(1, "big")
    assert (BitReader(data).ue(), BitReader(data).se()) == (code, signed)
    assert BitWriter().ue(code).to_bytes() == BitWriter().se(signed).to_bytes() == data


def test_bits_are_read_most_significant_first() -> None:
    reader = BitReader(bytes.fromhex("a5 0f"))
    assert (reader.flag(), reader.read(3), reader.bits_left) == (True, 0b010, 12)
    reader.skip(4)
    assert reader.read(0) == 0
    assert reader.read(8) == 0x0F


def test_reading_past_the_end_says_where() -> None:
    reader = BitReader(b"\xff\xff")
    reader.read(9)
    with pytest.raises(RemoteProtocolError, match="8 bits wanted, 7 left") as caught:
        reader.read(8)
    assert caught.value.at == 1
    assert reader.read(7) == 0x7F  # a refused read takes nothing


def test_a_code_longer_than_any_legal_one_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="32 bits"):
        BitReader(bytes(MAX_EXP_GOLOMB_BITS // 8 + 9)).ue()


@given(st.binary(max_size=12))
def test_any_bytes_give_codes_or_a_documented_error(data: bytes) -> None:
    reader = BitReader(data)
    try:
        while True:
            assert 0 <= reader.ue() <= 2**33
    except RemoteProtocolError:
        pass


@pytest.mark.parametrize(("value", "count"), [(4, 2), (-1, 8), (1, 0)])
def test_a_value_that_does_not_fit_is_our_bug(value: int, count: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        BitWriter().write(value, count)
