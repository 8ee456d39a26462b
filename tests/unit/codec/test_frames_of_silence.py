"""Silence that a stream may be filled up with."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lalmesh.codec.silence import MAX_AHEAD_TICKS, MAX_SILENCE_TICKS, SilenceCredit

SECOND, SECOND_US, NOW_US = 90_000, 1_000_000, 1_700_000_000_000_000


def made(credit: SilenceCredit, ticks: int, wall_us: int) -> bool:
    covers = credit.covers(ticks, wall_us)
    if covers:
        credit.spend(ticks)
    return covers


def test_some_is_made_at_once_and_then_as_much_as_time_passes() -> None:
    credit = SilenceCredit()
    assert made(credit, MAX_SILENCE_TICKS, NOW_US)
    assert not made(credit, 1, NOW_US)
    assert not made(credit, SECOND, NOW_US + SECOND_US - 100)
    assert made(credit, SECOND, NOW_US + SECOND_US)


def test_time_in_which_none_was_missing_is_not_saved_up() -> None:
    credit = SilenceCredit()
    assert made(credit, SECOND, NOW_US)
    assert not credit.covers(MAX_SILENCE_TICKS + 1, NOW_US + 3600 * SECOND_US)
    assert credit.covers(MAX_SILENCE_TICKS, NOW_US + 3600 * SECOND_US)


def test_asking_takes_nothing() -> None:
    credit = SilenceCredit()
    assert all(credit.covers(MAX_SILENCE_TICKS, NOW_US) for _ in range(9))


@given(st.lists(st.integers(0, 60 * SECOND_US), max_size=99), st.integers(1, 10 * SECOND))
def test_a_clock_that_is_ahead_now_and_then_gives_no_more_than_it_is_ahead(ahead_us: list[int], ticks: int) -> None:
    credit = SilenceCredit()
    total = sum(ticks for us in ahead_us if made(credit, ticks, NOW_US + us))
    assert total <= MAX_SILENCE_TICKS + 60 * SECOND


def test_a_clock_that_is_put_back_is_gone_by_again_before_long() -> None:
    credit = SilenceCredit()
    assert made(credit, SECOND, NOW_US)
    assert not made(credit, SECOND, NOW_US - 3600 * SECOND_US)
    assert made(credit, SECOND, NOW_US - 3600 * SECOND_US + (MAX_AHEAD_TICKS + SECOND) * 100 // 9)
