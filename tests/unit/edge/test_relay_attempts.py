"""When a relay tries again, and which source."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from lalmesh.runtime.relay_rules import ENDLESS
from services.edge.relaying._attempts import Attempts, RetrySettings

SETTINGS = RetrySettings(first_pause_s=0.5, longest_pause_s=8.0, steady_s=5.0)


def attempts(sources: int = 1, retries: int = ENDLESS, seed: int = 1) -> Attempts:
    return Attempts(sources, retries, SETTINGS, random.Random(seed))


def test_sources_are_tried_at_once_one_after_the_other() -> None:
    one = attempts(3)
    assert [one.source, one.ended(0), one.source, one.ended(0), one.source] == [0, 0.0, 1, 0.0, 2]


def test_when_all_have_failed_there_is_a_pause_and_then_the_first() -> None:
    one = attempts(2)
    assert one.ended(0) == 0.0
    assert 0.25 <= (one.ended(0) or 0) <= 0.5
    assert one.source == 0


def test_pauses_double_up_to_a_bound() -> None:
    one = attempts()
    pauses = [one.ended(0) or 0.0 for _ in range(8)]
    for pause, most in zip(pauses, (0.5, 1, 2, 4, 8, 8, 8, 8), strict=True):
        assert most / 2 <= pause <= most


def test_who_ran_for_a_while_begins_anew_with_the_first_and_soon() -> None:
    one = attempts(2)
    for _ in range(9):
        one.ended(0)
    assert one.source == 1
    assert (one.ended(SETTINGS.steady_s) or 0.0) <= 0.5
    assert (one.source, one.failed) == (0, 0)
    assert one.ended(0) == 0.0


def test_who_ended_soon_counts_as_failed() -> None:
    one = attempts(2)
    assert one.ended(SETTINGS.steady_s / 2) == 0.0
    assert (one.source, one.failed) == (1, 1)


def test_retries_are_of_all_sources_together_and_count_anew_after_a_run() -> None:
    one = attempts(2, retries=1)
    assert [one.ended(0) is None for _ in range(3)] == [False, False, False]
    one.ended(SETTINGS.steady_s)
    assert [one.ended(0) is None for _ in range(4)] == [False, False, False, True]


def test_without_retries_each_source_has_one_attempt() -> None:
    one = attempts(2, retries=0)
    assert [one.ended(0), one.ended(0)] == [0.0, None]


@given(st.lists(st.floats(0, 20), max_size=50), st.integers(1, 5), st.integers())
def test_whatever_happens_the_source_is_one_and_the_pause_bounded(ran: list[float], sources: int, seed: int) -> None:
    one = attempts(sources, seed=seed)
    for ran_s in ran:
        pause_s = one.ended(ran_s)
        assert pause_s is not None
        assert 0 <= pause_s <= SETTINGS.longest_pause_s
        assert 0 <= one.source < sources
