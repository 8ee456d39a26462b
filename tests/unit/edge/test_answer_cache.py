"""What an edge keeps of hls nodes' answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge.answer_cache import ENTRY_BYTES, Answer, AnswerCache


def answer(control: str = "max-age=10", *, status: int = 200, body: bytes = b"body", at: float = 0.0) -> Answer:
    return Answer(status=status, headers={"Cache-Control": control}, body=body, fetched_at=at)


def test_an_answer_is_given_for_as_long_as_it_says() -> None:
    cache = AnswerCache(1 << 20)
    cache.put("/hls/a", answer())
    assert cache.get("/hls/a", 9.9) == answer()
    assert cache.get("/hls/a", 10.0) is None
    assert (len(cache), cache.size_bytes) == (0, 0)


@pytest.mark.parametrize(
    ("control", "status", "fresh_s", "shared"),
    [
        ("max-age=10", 200, 10, True),
        ("public, max-age=10", 200, 10, True),
        ("max-age=10, s-maxage=3", 200, 3, True),  # RFC 9111 §5.2.2.10
        ('MAX-AGE="7"', 200, 7, True),
        ("max-age=10, no-cache", 200, 0, True),
        ("no-store", 200, 0, False),
        ("private, max-age=10", 200, 0, False),
        ("", 200, 0, True),
        ("max-age=-5", 200, 0, True),
        ("max-age=99999999999999", 200, 0, True),
        ("max-age=10", 302, 0, False),
        ("max-age=1", 404, 1, True),
        ("no-store", 404, 0, True),
        ("no-store", 503, 0, True),  # nobody may keep it, but those who asked together need not ask again one by one
        ("max-age=10", 503, 0, True),
        ("private", 404, 0, False),
        ("max-age=10", 403, 0, False),
    ],
)
def test_what_may_be_kept_and_shared(control: str, status: int, fresh_s: int, shared: bool) -> None:
    assert (answer(control, status=status).fresh_s, answer(control, status=status).may_be_shared) == (fresh_s, shared)


def test_the_one_not_asked_for_the_longest_goes_first() -> None:
    cache = AnswerCache(1 << 20, max_entries=2)
    cache.put("a", answer())
    cache.put("b", answer())
    cache.get("a", 1.0)
    cache.put("c", answer())
    assert [target for target in "abc" if cache.get(target, 1.0)] == ["a", "c"]


def test_an_answer_over_the_bound_is_not_kept() -> None:
    cache = AnswerCache(2 * ENTRY_BYTES)
    cache.put("a", answer(body=bytes(ENTRY_BYTES + 1)))
    assert len(cache) == 0


def test_an_answer_that_may_not_be_kept_takes_the_place_of_the_one_before() -> None:
    cache = AnswerCache(1 << 20)
    cache.put("a", answer())
    cache.put("a", answer("no-store"))
    assert cache.get("a", 0.0) is None


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 5 * ENTRY_BYTES), st.integers(0, 20)), max_size=50))
def test_the_bounds_hold_whatever_comes(puts: list[tuple[str, int, int]]) -> None:
    cache = AnswerCache(8 * ENTRY_BYTES, max_entries=3)
    for target, size, age in puts:
        cache.put(target, answer(f"max-age={age}", body=bytes(size)))
        assert len(cache) <= 3
        assert cache.size_bytes <= 8 * ENTRY_BYTES
