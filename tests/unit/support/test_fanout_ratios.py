"""The benchmark compares equal work, and judges by the median."""

from bench._load import Players, Usage
from bench.fanout import BARS, FLOORS_MS, Sample, Samples, median_ratio, missed, row, subjects, verdict


def samples(*cpu: float, writes: float = 30) -> list[Sample | None]:
    """One a round."""
    return [Sample(Usage(0, percent, percent, 10), Players(500, 2600, 2600, 0), writes) for percent in cpu]


FLOORS: Samples = {"floor-flv-0": samples(10, 10, 10, writes=72), "floor-flv-100": samples(4, 4, 4, writes=9)}


def test_the_floor_is_the_one_that_gathers_as_long() -> None:
    found = {**FLOORS, "lalmesh-flv-0": samples(13, 12, 14, writes=73), "lalmesh-flv-100": samples(6, 5, 7, writes=14)}
    shown = {subject.label: row(subject, found) for subject in subjects() if subject.label in found}
    assert [shown[label][5:9] for label in ("lalmesh-flv-0", "lalmesh-flv-100")] == [
        ["73", "1.30", "", "bar 1.35: met"],
        ["14", "1.50", "", "bar 1.80: met"],
    ]
    assert shown["floor-flv-0"][6:9] == ["1.00", "", ""]


def test_a_ratio_is_formed_within_a_round_and_leaves_worthless_rounds_out() -> None:
    own = [*samples(20), None, *samples(12)]
    assert median_ratio(own, samples(10, 1, 4)) == 2.5
    assert median_ratio(own, []) is None


def test_a_median_above_its_bar_is_a_failure_and_a_single_round_is_not() -> None:
    found = {**FLOORS, "lalmesh-flv-0": samples(13, 13, 20), "lalmesh-flv-100": samples(7, 8, 8)}
    assert (verdict("lalmesh-flv-0", found), verdict("lalmesh-flv-100", found)) == ("bar 1.35: met", "bar 1.80: missed")
    assert missed(found) == ["lalmesh-flv-100: 2.00 x floor-flv-100, bar 1.80"]


def test_what_was_not_measured_is_not_judged() -> None:
    found = {**FLOORS, "lalmesh-rtmp-0": samples(20)}
    assert verdict("lalmesh-rtmp-0", found) == "bar 1.40: no nginx-rtmp-0"
    assert verdict("lalmesh-flv-0", found) == verdict("floor-flv-0", found) == ""
    assert missed(found) == []


def test_every_bar_and_every_gathering_time_has_what_it_is_compared_with() -> None:
    labels = {subject.label for subject in subjects()}
    assert labels.issuperset(BARS)
    assert labels.issuperset(bar.beside for bar in BARS.values())
    assert {subject.gather_ms for subject in subjects()} == set(FLOORS_MS)
