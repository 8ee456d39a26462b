from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lalmesh.runtime.foreign_text import well_formed, within


def test_bytes_that_were_no_utf8_are_replaced() -> None:
    assert well_formed(b"VLC \xe9/3 \xc3\xa9".decode("utf-8", "surrogateescape")) == "VLC \ufffd/3 é"
    assert well_formed("\ud83d") == "\ufffd"


def test_no_character_is_cut_in_two() -> None:
    assert within("aé", 2) == "a"
    assert within("aé", 3) == "aé"


@given(st.text(st.characters(codec=None)) | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")), st.integers(0, 20))
def test_any_text_is_told_within_its_bound(text: str, limit_bytes: int) -> None:
    assert len(within(text, limit_bytes).encode()) <= limit_bytes
    assert within(text, 4 * len(text)) == well_formed(text)
