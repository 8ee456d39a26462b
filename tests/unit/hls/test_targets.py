"""What a playlist promises, from its first segment."""

from __future__ import annotations

import random
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.media import TICKS_PER_SECOND
from services.hls.cuts import CutSettings, Targets
from services.hls.targets import targets_of

PICTURE = TICKS_PER_SECOND // 25
MS = TICKS_PER_SECOND // 1000
SETTINGS = CutSettings(segment=2 * TICKS_PER_SECOND, part=TICKS_PER_SECOND // 2, max_target_s=6)


def part_target(slots: list[int], part: int = SETTINGS.part) -> int:
    return targets_of(sum(slots), [0, *accumulate(slots)], CutSettings(segment=SETTINGS.segment, part=part)).part


@pytest.mark.parametrize(("length", "seconds"), [(0, 2), (2, 2), (4, 4), (5, 5), (9, 6)])
def test_the_target_duration_is_that_of_the_first_segment_within_the_settings(length: int, seconds: int) -> None:
    assert targets_of(length * TICKS_PER_SECOND, [], SETTINGS) == Targets(duration_s=seconds, part=12 * PICTURE)


def test_the_part_target_is_as_many_pictures_as_there_is_room_for() -> None:
    assert part_target([PICTURE] * 50) == 12 * PICTURE
    assert part_target([33 * MS, 33 * MS, 34 * MS] * 20) == 14 * 34 * MS
    assert part_target([TICKS_PER_SECOND // 15] * 30) == 7 * TICKS_PER_SECOND // 15


@pytest.mark.parametrize("slot", [240 * MS, 280 * MS, TICKS_PER_SECOND])
def test_one_late_picture_does_not_decide(slot: int) -> None:
    assert part_target([*[PICTURE] * 20, slot, *[PICTURE] * 20]) == 12 * PICTURE


@pytest.mark.parametrize(("rate", "wanted"), [(12, 6), (5, 2), (4, 2), (3, 1), (1, 1)])
def test_where_few_pictures_make_a_part_there_is_room_for_uneven_ones(rate: int, wanted: int) -> None:
    slot = TICKS_PER_SECOND // rate
    assert 1.05 * wanted * slot < part_target([slot] * 20) < wanted * slot / 0.9


def test_uneven_pictures_make_it_longer_so_that_they_fit() -> None:
    draw = random.Random(1)
    times = [number * PICTURE + draw.randint(-10 * MS, 10 * MS) for number in range(76)]
    slots = [after - before for before, after in pairwise(times)]
    assert part_target([PICTURE] * 75, 100 * MS) < 100 * MS
    assert 200 * MS < part_target(slots, 100 * MS) < 300 * MS


def test_it_is_no_longer_than_a_segment() -> None:
    assert targets_of(5 * TICKS_PER_SECOND, [0, 5 * TICKS_PER_SECOND], SETTINGS) == Targets(duration_s=5, part=5 * TICKS_PER_SECOND)


@given(st.lists(st.integers(0, 20 * TICKS_PER_SECOND), max_size=100), st.integers(9_000, 90_000))
def test_whatever_came_it_is_no_longer_than_its_pictures_or_half_a_segment_ask_for(slots: list[int], part: int) -> None:
    target = part_target(slots, part)
    usual = max([1, *slots])
    assert 0 < target <= max(part * 1.25, 1.08 * usual, SETTINGS.segment // 2)
