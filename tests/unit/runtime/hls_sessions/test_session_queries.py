"""Ids of players in queries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.runtime.hls_sessions import session_in, with_session


@pytest.mark.parametrize(
    ("query", "session_id", "rest"),
    [
        ("", "", ""),
        ("session_id=a", "a", ""),
        ("token=x%2Fy&session_id=a&_HLS_msn=3", "a", "token=x%2Fy&_HLS_msn=3"),
        ("session%5Fid=a%62", "ab", ""),
        ("session_id=a&session_id=b", "b", ""),
        ("session_id=&x", "", "x"),
        ("session_idx=1&my_session_id=2", "", "session_idx=1&my_session_id=2"),
    ],
)
def test_an_id_is_found_and_the_rest_stays_as_it_was(query: str, session_id: str, rest: str) -> None:
    assert session_in(query) == (session_id, rest)


@given(st.lists(st.text("abc=%+_/", max_size=8), max_size=4).map("&".join))
def test_what_is_put_in_comes_out(query: str) -> None:
    rest = session_in(query)[1]
    assert session_in(with_session(rest, "0a1b")) == ("0a1b", rest)
