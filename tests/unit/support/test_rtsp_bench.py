"""The benchmark of RTSP compares ways that ran in one round, and counts sends for each access unit."""

from argparse import Namespace

import pytest

from bench import rtsp
from bench._load import Players, Usage
from bench._rounds import Found
from bench.fanout import Sample
from bench.rtsp import FLV, HEAD, INTERLEAVED, MOST, SHOWN, UDP, UDP_CUT, judged, row, sends_per_unit, subjects

UNITS_PER_S = 70.0


@pytest.fixture(autouse=True)
def _stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtsp, "units_per_s", lambda: UNITS_PER_S)


def samples(*cpu: float, sends_per_s: float = UNITS_PER_S) -> list[Sample | None]:
    """One a round."""
    return [Sample(Usage(0, percent, percent, 100), Players(200, 2600, 2600, 0), sends_per_s, 2600) for percent in cpu]


def test_a_way_is_compared_with_http_flv_in_the_same_round() -> None:
    found = Found({FLV: samples(10, 20, 5), INTERLEAVED: [*samples(11), None, *samples(6.5)]})
    assert [each.found for each in judged(found)] == [pytest.approx(1.2)]
    assert [each.verdict for each in judged(Found({INTERLEAVED: samples(11)}))] == ["not measured"]


def test_sends_are_those_for_an_access_unit_and_player() -> None:
    assert sends_per_unit(UDP, Found({UDP: samples(15, sends_per_s=105)})) == 1.5
    assert sends_per_unit(UDP, Found({UDP: [None]})) is None


def test_a_median_above_its_bar_is_missed() -> None:
    found = Found({FLV: samples(10, 10, 10), INTERLEAVED: samples(11, 13, 13), UDP: samples(17, 18, 19, sends_per_s=105)})
    assert [each.told for each in judged(found)] == [
        "RTSP, interleaved, each frame at once: 1.3 x HTTP-FLV, at most 1.2: missed",
        "RTSP, UDP, each frame at once: 1.8 x HTTP-FLV, at most 1.8: met",
        "RTSP, UDP: sends for an access unit and player: 1.5, at most 2: met",
    ]
    assert [row(way, found)[6] for way in found.samples] == ["", "1.2 x HTTP-FLV: missed", "1.8 x HTTP-FLV: met"]


def test_a_bar_of_sends_is_kept_up_to_itself_as_every_bar() -> None:
    verdicts = []
    for made in (2.0, 2.01):
        found = Found({FLV: samples(10), UDP: samples(15, sends_per_s=made * UNITS_PER_S)})
        verdicts.append([each.verdict for each in judged(found)])
    assert verdicts == [["met", "met"], ["met", "missed"]]


def test_the_line_of_a_way_says_what_was_found() -> None:
    found = Found({FLV: samples(10, 20), UDP: samples(15, 24, sends_per_s=105)})
    assert row(UDP, found) == ["RTSP, UDP", "19.5", "1.35", "1.20-1.50", "105", "1.50", "1.8 x HTTP-FLV: met", "100"]
    assert row(UDP, Found({UDP: samples(15)}))[2:7] == ["", "", "70", "1.00", "1.8 x HTTP-FLV: not measured"]
    assert len(row(UDP_CUT, Found({UDP_CUT: samples(15)}))) == len(HEAD)


def test_every_way_is_measured_after_what_it_is_compared_with() -> None:
    ways = [subject.label for subject in subjects(Namespace(players=200))]
    assert ways == list(SHOWN)
    assert all(ways.index(FLV) < ways.index(way) for way in MOST)
