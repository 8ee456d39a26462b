from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lalmesh.relay_path import MAX_CLUSTERS, cluster_mark, parse_via, serialize_via


def test_a_mark_is_the_name_and_something_of_the_key() -> None:
    one, other = cluster_mark("east", b"key"), cluster_mark("east", b"another key")
    assert one != other
    assert one.startswith("east~")
    assert parse_via(one) == (one,)


def test_what_was_said_is_understood() -> None:
    path = (cluster_mark("a", b"1"), cluster_mark("b", b"2"))
    assert parse_via(serialize_via(path)) == path


def test_a_cluster_counts_once_and_what_is_none_not_at_all() -> None:
    assert parse_via("a~1,, a~1,b~2,<script>,c d") == ("a~1", "b~2")
    assert parse_via("") == ()


@given(st.text(max_size=3000))
def test_any_text_gives_a_few_marks(text: str) -> None:
    assert len(parse_via(text)) <= MAX_CLUSTERS


def test_a_flood_is_cut() -> None:
    assert len(parse_via(",".join(f"c{number}" for number in range(1000)))) == MAX_CLUSTERS
