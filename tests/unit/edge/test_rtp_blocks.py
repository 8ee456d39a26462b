"""The newest packets of a stream, for players that join by UDP: from where, how far back, how many."""

from __future__ import annotations

from services.edge.rtp_blocks import Block, RecentBlocks


def block(number: int, *, opens: bool = False, size_bytes: int = 10) -> Block:
    return Block(number * 3600, opens, [], size_bytes)


def filled(recent: RecentBlocks, opens: str, needed: int | None = None) -> None:
    """One block a letter, ``K`` opens."""
    for letter in opens:
        recent.add(block(recent.end, opens=letter == "K"), needed)


def test_nothing_is_kept_before_somebody_could_begin() -> None:
    recent = RecentBlocks(1000)
    filled(recent, "ppp")
    assert (recent.join_position, recent.start, recent.end) == (None, 3, 3)


def test_a_player_begins_at_the_newest_random_access_point() -> None:
    recent = RecentBlocks(1000)
    filled(recent, "KppKp")
    assert (recent.join_position, recent.start, recent.end) == (3, 3, 5)
    assert [block.dts // 3600 for block in recent.since(3)] == [3, 4]


def test_what_somebody_still_has_to_get_is_kept() -> None:
    recent = RecentBlocks(1000)
    filled(recent, "Kpp")
    filled(recent, "Kp", needed=1)
    assert (recent.join_position, recent.start) == (3, 1)
    assert recent.at(1).dts == 3600
    filled(recent, "p")
    assert recent.start == 3


def test_more_than_the_bound_is_given_up_oldest_first() -> None:
    recent = RecentBlocks(30)
    filled(recent, "Kpp")
    assert (recent.join_position, recent.overflows) == (0, 0)
    filled(recent, "p")
    assert (recent.join_position, recent.overflows) == (None, 1)
    assert recent.end == 4
    filled(recent, "K")
    assert (recent.join_position, recent.start) == (4, 4)


def test_without_a_cache_everyone_waits() -> None:
    recent = RecentBlocks(0)
    filled(recent, "KpK")
    assert (recent.join_position, recent.overflows) == (None, 0)


def test_what_is_given_up_does_not_come_back() -> None:
    recent = RecentBlocks(1000)
    filled(recent, "Kp")
    recent.clear()
    assert (recent.join_position, recent.start, recent.end) == (None, 2, 2)
