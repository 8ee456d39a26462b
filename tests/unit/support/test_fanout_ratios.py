"""The benchmark compares equal work, and judges by the median."""

from bench._load import Players, Usage
from bench.fanout import (
    GATHERED_MS,
    PROTOCOLS,
    Sample,
    Samples,
    Subject,
    bars,
    crowd_row,
    judged,
    median_ratio,
    row,
    subjects,
    verdict,
)

SUBJECTS = {subject.label: subject for subject in subjects((500, 1000), crowd=4000)}


def samples(*cpu: float, writes: float = 30, stalled: int = 0) -> list[Sample | None]:
    """One a round."""
    players = Players(500, 2600, 2600, 0, stalled, 30.0, 20.0)
    return [Sample(Usage(0, percent, percent, 10), players, writes) for percent in cpu]


FLOORS: Samples = {"floor-flv-0-500": samples(10, 10, 10, writes=72), "floor-flv-100-500": samples(4, 4, 4, writes=9)}


def subject(label: str) -> Subject:
    return SUBJECTS[label]


def test_the_floor_is_the_one_that_gathers_as_long_for_as_many_players() -> None:
    found = {**FLOORS, "lalmesh-flv-0-500": samples(13, 12, 14, writes=73), "lalmesh-ts-100-500": samples(6, 5, 7, writes=14)}
    assert row(subject("lalmesh-flv-0-500"), found)[6:10] == ["73", "1.30", "", "1.2 x floor: missed"]
    assert row(subject("lalmesh-ts-100-500"), found)[6:10] == ["14", "1.50", "", "1.5 x floor: met"]
    assert row(subject("floor-flv-0-500"), found)[7:10] == ["1.00", "", ""]


def test_a_ratio_is_formed_within_a_round_and_leaves_worthless_rounds_out() -> None:
    own = [*samples(20), None, *samples(12)]
    assert median_ratio(own, samples(10, 1, 4)) == 2.5
    assert median_ratio(own, []) is None


def test_a_median_above_its_bar_is_a_failure_and_a_single_round_is_not() -> None:
    found = {**FLOORS, "lalmesh-flv-0-500": samples(12, 12, 20), "lalmesh-flv-100-500": samples(7, 8, 8)}
    assert verdict(subject("lalmesh-flv-0-500"), found) == "1.2 x floor: met"
    assert [each.told for each in judged(subject("lalmesh-flv-100-500"), found)] == [
        "fan-out, HTTP-FLV, 500 players, gathered 100 ms: 2 x floor, at most 1.5: missed"
    ]


def test_what_is_gathered_for_many_players_has_a_lower_bar() -> None:
    most = {
        label: [bar.most for bar in bars(each)] for label, each in SUBJECTS.items() if each.protocol == "ws" and not each.is_crowd
    }
    assert most == {
        "lalmesh-ws-0-500": [1.2],
        "lalmesh-ws-100-500": [1.5],
        "lalmesh-ws-0-1000": [1.2],
        "lalmesh-ws-100-1000": [1.25],
    }


def test_rtmp_with_each_frame_at_once_is_compared_with_nginx_too() -> None:
    found = {**FLOORS, "lalmesh-rtmp-0-500": samples(13), "nginx-rtmp-0-500": samples(12)}
    assert verdict(subject("lalmesh-rtmp-0-500"), found) == "1.2 x floor: missed, 1.25 x nginx-rtmp: met"


def test_what_was_not_measured_is_not_judged() -> None:
    found = {"lalmesh-rtmp-0-500": samples(20)}
    assert verdict(subject("lalmesh-rtmp-0-500"), found) == "1.2 x floor: not measured, 1.25 x nginx-rtmp: not measured"
    assert verdict(subject("lalmesh-flv-0-500"), found) == verdict(subject("floor-flv-0-500"), found) == ""


def test_one_player_of_a_crowd_that_stalls_is_one_too_many() -> None:
    label = "crowd-lalmesh-ts-100-4000"
    found: Samples = {label: [*samples(60), None, *samples(61, stalled=1)]}
    assert [each.met for each in judged(subject(label), found)] == [False]
    assert crowd_row(subject(label), found)[:6] == ["HTTP-TS", "4000", "100 ms", "60.5", "1", "0"]
    assert [each.met for each in judged(subject(label), {label: samples(60)})] == [True]


def test_every_bar_and_every_gathering_time_has_what_it_is_compared_with() -> None:
    assert {bar.beside for each in SUBJECTS.values() for bar in bars(each)} <= set(SUBJECTS)
    ours = {(each.protocol, each.gather_ms, each.players) for each in SUBJECTS.values() if bars(each)}
    assert ours == {(protocol, ms, players) for protocol in PROTOCOLS for ms in GATHERED_MS for players in (500, 1000)}
