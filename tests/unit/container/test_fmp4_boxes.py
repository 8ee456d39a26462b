import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.container.fmp4._boxes import box, child, children, full_box, parse_header
from lalmesh.errors import RemoteProtocolError


def test_a_box_is_that_of_the_standard() -> None:
    # ISO/IEC 14496-12 §4.2: size, type, then of a full box version and flags
    assert box(b"free", b"ab", b"c") == bytes.fromhex("0000000b 66726565 616263")
    assert full_box(b"mfhd", 1, 0x020304, b"x") == bytes.fromhex("0000000d 6d666864 01 020304 78")


def test_a_size_of_one_stands_for_64_bits() -> None:
    assert parse_header(bytes.fromhex("00000001 6d646174 0000000100000000")) == (b"mdat", 16, 1 << 32)
    assert parse_header(bytes.fromhex("00000001 6d646174 00000001")) is None


def test_a_header_that_is_not_whole_is_waited_for() -> None:
    assert parse_header(b"\0\0\0\x08fre") is None
    assert parse_header(b"xx\0\0\0\x08free", 2) == (b"free", 8, 8)


@pytest.mark.parametrize("header", ["00000000 6d646174", "00000007 6d646174", "00000001 6d646174 000000000000000f"])
def test_a_size_that_is_none_is_refused(header: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_header(bytes.fromhex(header))


def test_boxes_are_found_by_their_path() -> None:
    body = box(b"free") + box(b"moov", box(b"trak", box(b"tkhd", b"x")))
    assert child(body, b"moov", b"trak", b"tkhd") == b"x"
    assert child(body, b"moov", b"mvex", b"trex") is None


def test_a_box_that_is_cut_off_comes_after_the_whole_ones() -> None:
    seen = children(box(b"free", b"x") + box(b"skip", b"y")[:-1])
    assert next(seen) == (b"free", b"x")
    with pytest.raises(RemoteProtocolError):
        next(seen)


@given(st.lists(st.tuples(st.binary(min_size=4, max_size=4), st.binary(max_size=20)), max_size=5))
def test_boxes_come_back(written: list[tuple[bytes, bytes]]) -> None:
    assert list(children(b"".join(box(kind, body) for kind, body in written))) == written
