from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.hls.recording import ByteRange, Unsatisfiable, answer_range, parse_range


@pytest.mark.parametrize(
    ("header", "size", "expected"),
    [
        ("bytes=0-499", 10000, ByteRange(0, 500)),  # RFC 9110 §14.1.2, the first 500 bytes
        ("bytes=500-999", 10000, ByteRange(500, 1000)),  # the second
        ("bytes=-500", 10000, ByteRange(9500, 10000)),  # the last
        ("bytes=9500-", 10000, ByteRange(9500, 10000)),
        ("bytes=0-0", 10000, ByteRange(0, 1)),
        ("bytes=9000-20000", 10000, ByteRange(9000, 10000)),
        ("bytes=-20000", 10000, ByteRange(0, 10000)),  # longer than the whole: the whole
        ("Bytes = 1 - 2", 10, ByteRange(1, 3)),
        ("bytes=10000-", 10000, Unsatisfiable()),
        ("bytes=-0", 10000, Unsatisfiable()),
        ("bytes=0-", 0, Unsatisfiable()),
        ("bytes=-5", 0, Unsatisfiable()),
        ("bytes=5-4", 10000, None),  # §14.1.1: invalid, so passed over
        ("bytes=", 10000, None),
        ("bytes=-", 10000, None),
        ("bytes=a-b", 10000, None),
        ("bytes=0-1,4-5", 10000, None),
        ("seconds=0-1", 10000, None),
        ("", 10000, None),
        ("bytes=" + "9" * 5000 + "-", 10000, None),
        ("bytes=٠-١", 10000, None),
    ],
)
def test_a_range_field_is_read_as_the_standard_says(header: str, size: int, expected: ByteRange | Unsatisfiable | None) -> None:
    assert parse_range(header, size) == expected


@given(st.text(max_size=30) | st.from_regex(r"bytes=[0-9]{0,4}-[0-9]{0,4}", fullmatch=True), st.integers(0, 2000))
def test_any_field_gives_bytes_that_exist_or_none(header: str, size: int) -> None:
    match parse_range(header, size):
        case ByteRange(start, end):
            assert 0 <= start < end <= size
        case found:
            assert found is None or found == Unsatisfiable()


def test_an_answer_has_the_fields_of_its_status() -> None:
    part = answer_range("bytes=0-9", 100, entity_tag='"a"')
    assert (part.status, part.start, part.end) == (206, 0, 10)
    assert part.headers == {"Accept-Ranges": "bytes", "ETag": '"a"', "Content-Range": "bytes 0-9/100"}
    assert answer_range("bytes=100-", 100).headers["Content-Range"] == "bytes */100"
    assert answer_range("bytes=100-", 100).status == 416
    assert answer_range("", 100).status == 200


def test_a_part_of_another_version_is_not_sent() -> None:
    assert answer_range("bytes=5-", 100, entity_tag='"new"', if_range='"old"').status == 200
    assert answer_range("bytes=5-", 100, entity_tag='"new"', if_range='"new"').status == 206
