"""The benchmark's ratios compare equal work."""

from bench._load import Players, Usage
from bench.fanout import Sample, like_floor, median_ratio


def samples(cpu: float, writes: float, rounds: int = 1) -> list[Sample | None]:
    return [Sample(Usage(0, cpu, cpu, 10), Players(500, 2600, 2600, 0), writes)] * rounds


FLOORS = {"floor-flv-0": samples(11, 69), "floor-flv-25": samples(6.5, 30), "floor-flv-100": samples(4, 9)}


def test_the_floor_is_the_one_that_writes_as_often_not_the_one_told_to_gather_as_long() -> None:
    assert like_floor(samples(10.5, 31), FLOORS) == "floor-flv-25"


def test_without_a_floor_that_writes_about_as_often_there_is_no_ratio() -> None:
    assert like_floor(samples(10.5, 18), FLOORS) == ""
    assert median_ratio(samples(10.5, 18), []) == ""


def test_a_ratio_is_formed_within_a_round_and_leaves_worthless_rounds_out() -> None:
    own = [*samples(20, 30), None, *samples(12, 30)]
    floor = [*samples(10, 30), *samples(1, 30), *samples(4, 30)]
    assert median_ratio(own, floor) == "2.50"
