"""A leak is found, noise is not."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from support.slopes import LEAST_POINTS, Point, second_half, slope

HOUR_S = 3600.0
EVERY_S = 5.0
SEEDS = range(40)
MEMORY = 100e6  #: bytes
WALK = 40e3  #: how far it goes from one sample to the next
NOISE = 500e3


def memory(seed: int, leak_per_minute: float) -> list[Point]:
    """Samples as those of a process: around a level, each near the one before, with a step now and then that goes away."""
    chance, points = random.Random(seed), list[Point]()
    off = burst = 0.0
    for number in range(int(HOUR_S / EVERY_S)):
        off = 0.9 * off + chance.gauss(0, WALK)
        burst = 5e6 if chance.random() < 0.005 else burst * 0.8
        at_s = number * EVERY_S
        points.append((at_s, MEMORY + off + burst + chance.gauss(0, NOISE) + leak_per_minute * at_s / 60))
    return points


@pytest.mark.parametrize("leak_per_minute", [50e3, 1e6])
def test_a_planted_leak_is_found_and_measured(leak_per_minute: float) -> None:
    for seed in SEEDS:
        found = slope(memory(seed, leak_per_minute))
        assert found is not None
        assert found.low_per_s <= leak_per_minute / 60 <= found.high_per_s
        assert found.growth > leak_per_minute * 60 / 2


def test_noise_is_no_leak() -> None:
    grown = [found.growth for seed in SEEDS if (found := slope(memory(seed, 0.0)))]
    assert len(grown) == len(SEEDS)
    assert sum(growth > 0 for growth in grown) <= 2  # one of a hundred may be, by chance, and then it is little
    assert max(grown) < 200e3


@pytest.mark.parametrize(
    "value",
    [lambda _: 7.0, lambda at_s: 7.0 if at_s < HOUR_S / 10 else 9.0, lambda at_s: 90.0 if at_s == 600 else 7.0],
    ids=["flat", "one-step", "one-outlier"],
)
def test_what_stands_or_rises_once_does_not_grow(value: Callable[[float], float]) -> None:
    found = slope([(number * EVERY_S, value(number * EVERY_S)) for number in range(720)])
    assert found is not None
    assert found.growth == 0


def test_one_more_descriptor_now_and_then_is_found() -> None:
    found = slope([(number * EVERY_S, float(20 + number // 100)) for number in range(720)])
    assert found is not None
    assert found.growth > 3


def test_few_points_tell_nothing() -> None:
    assert slope([(float(number), float(number)) for number in range(LEAST_POINTS - 1)]) is None
    assert slope([]) is None


def test_the_second_half_is_that_of_the_time() -> None:
    assert second_half([(0, 1.0), (1, 1.0), (2, 1.0), (10, 2.0), (20, 3.0)]) == [(10, 2.0), (20, 3.0)]
    assert second_half([]) == []
