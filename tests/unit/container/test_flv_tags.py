import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.container.flv import MAX_BODY_BYTES, Tag, TagReader, flv_header, previous_tag_size, tag_header
from lalmesh.errors import LimitExceeded, RemoteProtocolError, UnsupportedError

HEADER = bytes.fromhex("464c56 01 05 00000009 00000000")  # FLV 10.1 §E.2, then PreviousTagSize0

tags = st.builds(Tag, st.sampled_from([8, 9, 18]), st.integers(0, 0xFFFFFFFF), st.binary(max_size=40))


def flv(*sent: Tag) -> bytes:
    return flv_header(True, True) + b"".join(
        tag_header(tag.type_id, tag.timestamp_ms, len(tag.body)) + tag.body + previous_tag_size(len(tag.body)) for tag in sent
    )


def read(wire: bytes) -> list[Tag]:
    return list(TagReader().feed(wire))


def test_the_file_header_is_that_of_the_standard() -> None:
    assert flv_header(True, True) == HEADER
    assert (flv_header(True, False)[4], flv_header(False, True)[4]) == (4, 1)


def test_a_tag_header_is_that_of_the_standard() -> None:
    # §E.4.1: type, size, low 24 bits of the time, its high 8, stream id
    assert tag_header(9, 0x12345678, 0x010203) == bytes.fromhex("09 010203 345678 12 000000")
    assert previous_tag_size(0x010203) == bytes.fromhex("0001020e")


def test_a_time_past_32_bits_wraps() -> None:
    assert read(flv() + tag_header(8, (1 << 32) + 5, 0)) == [Tag(8, 5, b"")]


def test_a_tag_comes_as_soon_as_its_body_is_there() -> None:
    wire = flv(Tag(9, 40, b"body"))
    assert read(wire[:-4]) == [Tag(9, 40, b"body")]
    assert read(wire[:-5]) == []


def test_a_longer_file_header_is_skipped() -> None:
    wire = HEADER[:5] + (12).to_bytes(4, "big") + b"abc" + bytes(4) + tag_header(8, 0, 1) + b"x"
    assert read(wire) == [Tag(8, 0, b"x")]


def test_wrong_previous_tag_sizes_are_forgiven() -> None:
    wire = flv(Tag(8, 0, b"x")) + tag_header(8, 1, 0)
    assert read(wire[:-15] + bytes(4) + wire[-11:]) == [Tag(8, 0, b"x"), Tag(8, 1, b"")]


@pytest.mark.parametrize("start", [b"X", b"FLX", b"<html>", b"FLV\x01\x05\x00\x00\x00\x08"])
def test_what_is_no_flv_is_refused(start: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        read(start)


def test_a_huge_file_header_is_refused() -> None:
    with pytest.raises(LimitExceeded):
        read(HEADER[:5] + b"\xff\xff\xff\xff")


def test_an_encrypted_tag_is_not_supported() -> None:
    with pytest.raises(UnsupportedError):
        read(flv() + tag_header(0x29, 0, 0))


def test_the_good_tags_come_before_the_error() -> None:
    seen = TagReader().feed(flv(Tag(8, 0, b"x")) + tag_header(0x29, 0, 0))
    assert next(seen) == Tag(8, 0, b"x")
    with pytest.raises(UnsupportedError):
        next(seen)


def test_a_body_of_24_bits_is_read() -> None:
    body = bytes(MAX_BODY_BYTES)
    assert read(flv(Tag(9, 0, body))) == [Tag(9, 0, body)]


@given(st.lists(tags, max_size=5), st.lists(st.integers(1, 30), min_size=1, max_size=5))
def test_any_split_of_the_bytes_gives_the_same_tags(sent: list[Tag], sizes: list[int]) -> None:
    wire, reader, seen = flv(*sent), TagReader(), list[Tag]()
    at = 0
    while at < len(wire):
        size = sizes[at % len(sizes)]
        seen += reader.feed(wire[at : at + size])
        at += size
    assert seen == sent


@given(st.binary(max_size=80), st.booleans())
def test_any_bytes_give_tags_or_an_error(wire: bytes, with_header: bool) -> None:
    with contextlib.suppress(RemoteProtocolError, UnsupportedError):
        read(HEADER + wire if with_header else wire)
