from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.hls.bytes_cache import BytesCache


def test_the_one_not_asked_for_the_longest_goes_first() -> None:
    cache: BytesCache[str] = BytesCache(10)
    cache.put("a", b"1234")
    cache.put("b", b"1234")
    assert cache.get("a") == b"1234"
    cache.put("c", b"12", key_bytes=2)
    assert (cache.get("a"), cache.get("b"), cache.get("c"), cache.size_bytes) == (b"1234", None, b"12", 8)


def test_what_is_more_than_all_is_not_kept_and_costs_nobody_his_place() -> None:
    cache: BytesCache[str] = BytesCache(10)
    cache.put("a", b"1234")
    cache.put("b", b"12345678", key_bytes=3)
    assert (cache.get("a"), cache.get("b")) == (b"1234", None)


def test_what_has_become_useless_is_forgotten() -> None:
    cache: BytesCache[str] = BytesCache(10)
    cache.put("a", b"1234")
    cache.put("b", b"123")
    cache.forget(lambda key: key == "a")
    assert (cache.get("a"), cache.get("b"), cache.size_bytes) == (None, b"123", 3)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 12))))
def test_never_more_bytes_are_kept_than_may_be(puts: list[tuple[int, int]]) -> None:
    cache: BytesCache[int] = BytesCache(20)
    for key, size in puts:
        cache.put(key, bytes(size), key_bytes=1)
        assert cache.size_bytes <= 20
    assert cache.size_bytes == sum(len(made) + 1 for key in range(6) if (made := cache.get(key)) is not None)
