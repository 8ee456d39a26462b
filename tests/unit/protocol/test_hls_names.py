from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.errors import RemoteProtocolError
from lalmesh.protocol.hls import (
    MAX_EPOCH_NUMBER,
    MAX_INIT_INDEX,
    MAX_MEDIA_SEQUENCE,
    MAX_PART_INDEX,
    FileName,
    InitName,
    PartName,
    SegmentName,
    parse_file_name,
)

EPOCH_NUMBERS = st.integers(0, MAX_EPOCH_NUMBER)
NUMBERS = st.integers(0, MAX_MEDIA_SEQUENCE)
FILES = st.one_of(
    st.builds(SegmentName, EPOCH_NUMBERS, EPOCH_NUMBERS, NUMBERS, st.sampled_from(["ts", "m4s"])),
    st.builds(PartName, EPOCH_NUMBERS, EPOCH_NUMBERS, NUMBERS, st.integers(0, MAX_PART_INDEX)),
    st.builds(InitName, EPOCH_NUMBERS, EPOCH_NUMBERS, st.integers(0, MAX_INIT_INDEX)),
)


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("1700000000.42-7.ts", SegmentName(1_700_000_000, 42, 7, "ts")),
        ("1700000000.42-7.m4s", SegmentName(1_700_000_000, 42, 7, "m4s")),
        ("1700000000.42-7.0.m4s", PartName(1_700_000_000, 42, 7, 0)),
        ("1700000000.42-init3.mp4", InitName(1_700_000_000, 42, 3)),
    ],
)
def test_the_name_tells_epoch_and_place(text: str, file: FileName) -> None:
    assert parse_file_name(text) == file
    assert str(file) == text


@given(FILES)
def test_a_name_comes_back_from_its_text(file: FileName) -> None:
    assert parse_file_name(str(file)) == file


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1.2-3",
        "1.2-3.mp4",
        "1.2-3.0.ts",
        "01.2-3.ts",
        "1.2-+3.ts",
        "1.2--3.ts",
        "1.2-3.ts\n",
        "1.2-٣.ts",
        "../1.2-3.ts",
        "1.2-init.mp4",
        f"1.2-{MAX_MEDIA_SEQUENCE + 1}.ts",
        f"1.2-3.{MAX_PART_INDEX + 1}.m4s",
        f"1.{MAX_EPOCH_NUMBER + 1}-3.ts",
        "1.2-" + "3" * 5000 + ".ts",
    ],
)
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_file_name(text)


@given(st.text(st.sampled_from("0123456789.-mstinp4"), max_size=30))
def test_any_text_is_refused_or_is_the_only_spelling(text: str) -> None:
    try:
        file = parse_file_name(text)
    except RemoteProtocolError:
        return
    assert str(file) == text
