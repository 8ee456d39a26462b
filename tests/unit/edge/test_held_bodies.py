"""What whole answers may take in memory."""

from __future__ import annotations

from contextlib import ExitStack

from services.edge.held_bodies import HeldBodies


def test_a_body_that_many_take_is_held_once() -> None:
    held, body = HeldBodies(100), bytes(60)
    with ExitStack() as stack:
        assert all(stack.enter_context(held.using(body)) for _ in range(5))
        assert held.size_bytes == 60
    assert held.size_bytes == 0


def test_where_there_is_no_room_it_is_not_held() -> None:
    held = HeldBodies(100)
    with held.using(bytes(60)) as first, held.using(bytes(61)) as second:
        assert (first, second, held.size_bytes) == (True, False, 60)
    assert held.size_bytes == 0


def test_what_comes_counts_as_what_goes() -> None:
    held = HeldBodies(100)
    assert held.take(80)
    assert not held.take(21)
    held.give_back(80)
    assert held.take(100)
