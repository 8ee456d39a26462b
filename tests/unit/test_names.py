from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.errors import InvalidName
from lalmesh.names import MAX_APP_PARTS, MAX_PART_BYTES, StreamKey

PARTS = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/\\"), min_size=1, max_size=40).filter(
    lambda part: part not in (".", "..")
)
KEYS = st.builds(lambda app, name: StreamKey.of("/".join(app), name), st.lists(PARTS, min_size=1, max_size=3), PARTS)


@given(KEYS)
def test_a_key_comes_back_from_its_path_and_from_its_quoted_form(key: StreamKey) -> None:
    assert StreamKey.parse(str(key)) == key
    assert StreamKey.parse(f"/{key}/") == key
    assert StreamKey.from_quoted(key.quoted()) == key


@given(KEYS)
def test_a_quoted_key_is_safe_in_keys_and_paths(key: StreamKey) -> None:
    assert key.quoted().count("/") == 1
    assert key.quoted().isascii()
    assert not set(key.quoted()) & set("\\?#& \0")


@given(KEYS, KEYS)
def test_two_keys_never_share_a_quoted_form(one: StreamKey, other: StreamKey) -> None:
    assert (one == other) == (one.quoted() == other.quoted())


def test_the_name_is_the_last_part_and_the_application_all_before() -> None:
    assert StreamKey.parse("a/b/c") == StreamKey("a/b", "c")
    assert StreamKey("a/b", "c").quoted() == "a%2Fb/c"


@pytest.mark.parametrize(
    "path",
    ["", "/", "cam", "/cam/", "live//cam", "./cam", "live/..", "live/.", "a/../b", "live/a\nb", "live/\x7f", "live/\x85", "a\\b/c",
     "live/\ud800", "live/" + "x" * (MAX_PART_BYTES + 1),
     "live/" + "ä" * (MAX_PART_BYTES // 2 + 1), "a/" * (MAX_APP_PARTS + 1) + "b"],
)  # fmt: skip
def test_a_name_that_cannot_be_a_path_or_a_key_is_refused(path: str) -> None:
    with pytest.raises(InvalidName):
        StreamKey.parse(path)


def test_a_name_that_was_decoded_from_other_bytes_than_utf8_is_refused() -> None:
    with pytest.raises(InvalidName, match="UTF-8"):
        StreamKey.parse(b"live/\xff".decode(errors="replace"))


def test_the_longest_names_are_accepted() -> None:
    key = StreamKey.parse("a/" * MAX_APP_PARTS + "x" * MAX_PART_BYTES)
    assert (key.app.count("/"), len(key.name)) == (MAX_APP_PARTS - 1, MAX_PART_BYTES)


def test_a_stream_name_holds_no_slash() -> None:
    with pytest.raises(InvalidName, match="slash"):
        StreamKey.of("live", "a/b")


@given(st.text(max_size=20))
def test_any_quoted_text_gives_a_key_or_a_documented_error(text: str) -> None:
    try:
        key = StreamKey.from_quoted(text)
    except InvalidName:
        return
    assert StreamKey.from_quoted(key.quoted()) == key
