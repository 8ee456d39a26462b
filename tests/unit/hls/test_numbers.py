"""Media sequence numbers: never used twice, whoever dies."""

from __future__ import annotations

import pytest

from services.hls.numbers import First, Numbers, first_number, fresh_number


@pytest.mark.parametrize(
    ("limit", "exact", "stored_next", "first"),
    [
        (0, False, None, First(777, resumes=False)),  # nothing is known
        (50, False, None, First(50, resumes=False)),  # nothing is stored
        (0, False, 12, First(12, resumes=True)),  # the open segment again, under its number
        (13, False, 12, First(12, resumes=True)),  # no further than workers go without a word
        (14, False, 12, First(12, resumes=True)),
        (15, False, 12, First(12, resumes=True)),
        (16, False, 12, First(16, resumes=False)),  # numbers were raised: storage lags
        (12, True, 12, First(12, resumes=True)),  # handed over
        (13, True, 12, First(13, resumes=True)),
        (30, True, 12, First(30, resumes=False)),
        (5, True, 12, First(12, resumes=True)),  # what is stored is used, whatever is said
    ],
)
def test_a_worker_begins_at_the_first_number_that_is_surely_free(
    limit: int, exact: bool, stored_next: int | None, first: First
) -> None:
    assert first_number(limit=limit, exact=exact, stored_next=stored_next, fresh=777) == first


@pytest.mark.parametrize(("limit", "exact", "first"), [(0, False, 800), (50, False, 800), (900, False, 923), (50, True, 800)])
def test_where_storage_does_not_answer_registry_and_clock_say_what_is_free(limit: int, exact: bool, first: int) -> None:
    found = first_number(limit=limit, exact=exact, stored_next=None, fresh=777, is_known=False)
    assert found == First(first, resumes=False)


def test_what_lies_three_numbers_beyond_what_is_stored_is_asked_for_one_segment_before() -> None:
    numbers = Numbers(0, 10)
    assert [numbers.limit_for(number) for number in (10, 11, 12)] == [None, None, 15]
    numbers.stored(10)
    assert numbers.limit_for(12) is None


def test_below_the_limit_nothing_has_to_be_asked() -> None:
    numbers = Numbers(15, 10)
    assert [numbers.limit_for(number) for number in (13, 14)] == [None, 19]
    numbers.raised(35)
    assert numbers.limit_for(33) is None


def test_the_registry_is_never_far_behind_what_is_used_and_its_word_leaves_no_number_out() -> None:
    numbers, told = Numbers(10, 10), []
    for number in range(10, 100):
        limit = numbers.limit_for(number)
        if limit is not None:
            numbers.raised(limit)
            told.append(limit)
            assert first_number(limit=limit, exact=False, stored_next=number, fresh=0) == First(number, resumes=True)
        free = first_number(limit=told[-1] if told else 10, exact=False, stored_next=None, fresh=0, is_known=False)
        assert free.number > number
        numbers.stored(number)
    assert told == [30, 50, 70, 90]


def test_while_storage_is_away_ever_more_numbers_are_asked_for() -> None:
    numbers, asked = Numbers(0, 10), []
    for number in range(10, 70):
        limit = numbers.limit_for(number)
        if limit is not None:
            numbers.raised(limit)
            asked.append(limit)
    assert asked == [15, 19, 27, 43, 63, 83]


def test_two_segments_that_close_at_once_do_not_make_a_successor_leave_numbers_out() -> None:
    numbers = Numbers(0, 10)
    limit = numbers.limit_for(12)
    assert limit is not None
    numbers.stored(11)
    assert first_number(limit=limit, exact=False, stored_next=12, fresh=777) == First(12, resumes=True)


def test_where_nothing_is_known_time_outruns_the_numbers() -> None:
    before = fresh_number(1_700_000_000.0, 3000)
    assert fresh_number(1_700_000_000.0 + 300, 3000) == before + 100
