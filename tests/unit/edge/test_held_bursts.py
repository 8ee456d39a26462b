"""What joins may take in memory."""

from __future__ import annotations

import pytest
from support.stuck_player import StuckPlayer

from services.edge.held_bursts import HeldBursts


def test_what_many_are_given_before_the_next_block_is_held_once() -> None:
    held, burst, players = HeldBursts(100), bytes(60), [StuckPlayer(has_socket=True) for _ in range(5)]
    assert all(held.begin(player.feed, burst) for player in players)
    for player in players:
        assert held.size_bytes == 60
        player.waiting = 0
        held.look(player.feed)
    assert held.size_bytes == 0


@pytest.mark.parametrize(("has_socket", "keeps_objects"), [(False, True), (True, False)])
def test_where_a_player_has_no_socket_or_a_transport_that_puts_together_it_has_a_copy(
    has_socket: bool, keeps_objects: bool
) -> None:
    held, burst = HeldBursts(100), bytes(60)
    assert held.begin(StuckPlayer(has_socket=has_socket, keeps_objects=keeps_objects).feed, burst)
    assert not held.has_room(StuckPlayer(has_socket=has_socket, keeps_objects=keeps_objects).feed, burst)
    assert not held.begin(StuckPlayer(has_socket=True).feed, burst)
    assert (held.size_bytes, held.refused) == (60, 1)


def test_there_is_room_for_one_alone_whatever_its_cache_may_have() -> None:
    held = HeldBursts(100)
    assert held.begin(StuckPlayer(has_socket=True).feed, bytes(101))
    assert not held.begin(StuckPlayer(has_socket=True).feed, bytes(1))


def test_what_waits_for_a_player_that_has_left_is_held_until_its_connection_is_gone() -> None:
    held, player = HeldBursts(100), StuckPlayer(has_socket=False)
    held.begin(player.feed, bytes(60))
    player.feed.release()
    held.sweep()
    assert held.size_bytes == 60
    player.waiting = 0
    held.sweep()
    assert held.size_bytes == 0


@pytest.mark.parametrize("has_socket", [False, True])
def test_who_plays_again_before_it_has_taken_what_it_was_given_gets_no_more(has_socket: bool) -> None:
    held, player = HeldBursts(1000), StuckPlayer(has_socket=has_socket, plays_again=True)
    assert held.begin(player.feed, bytes(60))
    again = player.another_feed()
    assert [held.begin(again, bytes(30)) for _ in range(3)] == [False] * 3
    assert (held.size_bytes, held.refused) == (60, 3)
    player.waiting = 0
    assert held.begin(again, bytes(30))
    assert held.size_bytes == 30
    held.sweep()
    assert held.size_bytes == 0


def test_who_has_not_taken_what_it_was_given_gets_no_more() -> None:
    held, player = HeldBursts(100), StuckPlayer(has_socket=True)
    assert held.begin(player.feed, bytes(60))
    assert not held.begin(player.feed, bytes(30))
    player.waiting = 0
    assert held.begin(player.feed, bytes(30))
    assert held.size_bytes == 30
