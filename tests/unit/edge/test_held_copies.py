"""What slow players that have copies may take in memory."""

from __future__ import annotations

from support.stuck_player import StuckPlayer

from services.edge.held_copies import EMPTY_LOOKS, HeldCopies


def test_there_is_one_bound_for_all_who_have_copies() -> None:
    held, first, second = HeldCopies(100), StuckPlayer(has_socket=False), StuckPlayer(has_socket=True, keeps_objects=False)
    assert held.begin(first.feed, 60)
    assert not held.begin(second.feed, 50)
    assert held.begin(second.feed, 40)
    assert held.size_bytes == 100


def test_what_others_share_is_not_counted() -> None:
    held, player = HeldCopies(100), StuckPlayer(has_socket=True)
    assert all(held.begin(player.feed, 60) for _ in range(9))
    assert held.size_bytes == 0


def test_what_is_handed_on_counts_until_what_came_after_it_is() -> None:
    held, player = HeldCopies(100), StuckPlayer(has_socket=False)
    held.begin(player.feed, 60)
    assert held.handed_bytes(player.feed) == 0
    held.drained(player.feed)
    assert held.handed_bytes(player.feed) == 60
    held.begin(player.feed, 30)
    assert not held.begin(player.feed, 11)
    held.drained(player.feed)
    assert (held.handed_bytes(player.feed), held.size_bytes) == (30, 30)


def test_where_nothing_waits_for_a_while_all_has_gone() -> None:
    held, player = HeldCopies(100), StuckPlayer(has_socket=False)
    held.begin(player.feed, 60)
    held.sweep()
    player.waiting = 0
    held.drained(player.feed)
    for _ in range(EMPTY_LOOKS - 1):
        held.sweep()
    player.waiting = 1
    held.sweep()
    assert held.size_bytes == 60
    player.waiting = 0
    for _ in range(EMPTY_LOOKS):
        held.sweep()
    assert (held.size_bytes, held.handed_bytes(player.feed)) == (0, 0)


def test_what_waits_for_a_player_that_has_left_is_held_until_its_connection_is_gone() -> None:
    held, player = HeldCopies(100), StuckPlayer(has_socket=False)
    held.begin(player.feed, 60)
    player.feed.release()
    for _ in range(EMPTY_LOOKS):
        held.sweep()
    assert held.size_bytes == 60
    player.waiting = 0
    for _ in range(EMPTY_LOOKS):
        held.sweep()
    assert held.size_bytes == 0
