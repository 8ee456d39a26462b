"""The benchmark of RTSP compares ways that ran in one round, and counts calls of the kernel for each access unit."""

import pytest

from bench import rtsp
from bench._load import Players, Usage
from bench.fanout import Sample
from bench.rtsp import BARS, FLV, INTERLEAVED, SHOWN, UDP, calls_per_unit, judged, missed, ratio, row, subjects, verdict

UNITS_PER_S = 70.0


@pytest.fixture(autouse=True)
def _stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtsp, "units_per_s", lambda: UNITS_PER_S)


def samples(*cpu: float, calls_per_s: float = UNITS_PER_S) -> list[Sample | None]:
    """One a round."""
    return [Sample(Usage(0, percent, percent, 100), Players(200, 2600, 2600, 0), calls_per_s) for percent in cpu]


def test_a_way_is_compared_with_http_flv_in_the_same_round() -> None:
    found = {FLV: samples(10, 20, 5), INTERLEAVED: [*samples(11), None, *samples(6.5)]}
    assert ratio(INTERLEAVED, found) == pytest.approx(1.2)
    assert ratio(INTERLEAVED, {INTERLEAVED: samples(11)}) is None


def test_calls_are_those_for_an_access_unit_and_player() -> None:
    assert calls_per_unit(UDP, {UDP: samples(15, calls_per_s=105)}) == 1.5
    assert calls_per_unit(UDP, {UDP: [None]}) is None


def test_a_median_above_its_bar_is_missed() -> None:
    found = {FLV: samples(10, 10, 10), INTERLEAVED: samples(11, 13, 13), UDP: samples(17, 18, 19)}
    assert missed(found) == ["RTSP, interleaved: 1.30 x HTTP-FLV, bar 1.20"]
    assert [verdict(way, found) for way in found] == ["", "bar 1.20: missed", "bar 1.80: met"]


def test_bars_are_told_to_the_suite_as_well() -> None:
    found = {FLV: samples(10), UDP: samples(15, calls_per_s=1.5 * UNITS_PER_S)}
    assert [each.told for each in judged(found)] == [
        "RTSP, UDP, each frame at once: 1.5 x HTTP-FLV, at most 1.8: met",
        "RTSP, UDP: calls of the kernel for an access unit and player: 1.5, at most 2: met",
    ]


def test_two_calls_by_udp_are_too_many() -> None:
    found = {FLV: samples(10), UDP: samples(15, calls_per_s=2 * UNITS_PER_S)}
    assert missed(found) == ["RTSP, UDP: 2.00 calls an access unit and player, bar 2.00"]
    assert verdict(UDP, found) == "bar 1.80: missed"


def test_the_line_of_a_way_says_what_was_found() -> None:
    found = {FLV: samples(10, 20), UDP: samples(15, 24, calls_per_s=105)}
    assert row(UDP, found) == ["RTSP, UDP", "19.5", "15.0-24.0", "105", "1.50", "1.35", "bar 1.80: met", "100"]
    assert row(UDP, {UDP: found[UDP]})[5:7] == ["", "bar 1.80: no HTTP-FLV"]


def test_every_way_is_measured_after_what_it_is_compared_with() -> None:
    ways = [subject.protocol for subject in subjects()]
    assert ways == list(SHOWN)
    assert all(ways.index(bar.beside) < ways.index(way) for way, bar in BARS.items())
