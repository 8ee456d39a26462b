"""Frames are matched by what they are, and a delay is judged beyond the time that frames were to be held back."""

from pathlib import Path

import pytest

from bench import _stamps, delay
from bench._joining import Joins
from bench._load import Usage
from bench._rounds import Found
from bench._stamps import Delays, Stamp, matched, percentile, pooled_p99_ms
from bench.delay import Sample, gathered_ms, judge, label, plots, row
from lalmesh.container.flv import Tag
from lalmesh.runtime.config import FanOutConfig

MS = 1_000_000


def joins(p99_ms: float = 10, joined: int = 100) -> dict[str, Joins]:
    found = Joins(players=100, joined=joined, closed=0, p50_ms=5, p99_ms=p99_ms, worst_ms=20, late_ms=1, within_s=5)
    return dict.fromkeys(delay.PROTOCOLS, found)


def sample(p99_ms: float, missing: int = 0, join_ms: float = 10) -> Sample:
    used = {node: Usage(1, 2, 3, 100) for node in ("publishing edge", "origin", "playing edge")}
    return Sample(Delays(1000, p99_ms / 2, p99_ms, 2 * p99_ms, missing, 0, (p99_ms,) * 100), joins(join_ms), used, 0, 0)


def delays(*each_ms: float) -> Delays:
    sent = [Stamp(0, str(number)) for number in range(len(each_ms))]
    return matched(sent, [Stamp(round(ms * MS), str(number)) for number, ms in enumerate(each_ms)], 0, 1)


def test_a_delay_is_that_of_the_same_frame() -> None:
    sent = [Stamp(number * 10 * MS, f"frame-{number}") for number in range(4)]
    got = [Stamp(12 * MS, "frame-1"), Stamp(3 * MS, "frame-0"), Stamp(25 * MS, "frame-2"), Stamp(60 * MS, "frame-3")]
    assert matched(sent, got, 0, 30 * MS) == Delays(3, 3.0, 5.0, 5.0, 0, 0, (5.0,))


def test_frames_that_did_not_come_or_came_again_are_counted_and_strangers_are_not() -> None:
    sent = [Stamp(0, "a"), Stamp(1, "b"), Stamp(2, "c")]
    got = [Stamp(MS, "a"), Stamp(MS, "stranger"), Stamp(2 * MS, "c"), Stamp(9 * MS, "c")]
    found = matched(sent, got, 0, 10)
    assert (found.units, found.missing, found.doubled) == (3, 1, 1)
    assert found.worst_ms == pytest.approx(2, abs=0.001)


def test_only_what_every_player_has_to_get_is_stamped() -> None:
    bodies = {9: (b"\x17\x00config", b"\x17\x01picture", b"\x27\x02"), 8: (b"\xaf\x00config", b"\xaf\x01sound"), 18: (b"\x02\x01",)}
    tags = [Tag(type_id, 0, body) for type_id, each in bodies.items() for body in each]
    assert [tag.body for tag in tags if _stamps.is_frame(tag)] == [b"\x17\x01picture", b"\xaf\x01sound"]


def test_a_percentile_of_few_values_is_one_of_them() -> None:
    assert [percentile([1, 2, 3, 4], share) for share in (0, 0.5, 0.99, 1)] == [1, 3, 4, 4]
    assert percentile([], 0.5) == 0


@pytest.mark.parametrize("rounds", [[range(200)], [range(100), range(1000)], [[5.0] * 300, range(300), [900.0, *range(299)]]])
def test_the_percentile_of_rounds_together_is_that_of_all_their_units(rounds: list[list[float]]) -> None:
    everything = sorted(ms for each in rounds for ms in each)
    assert pooled_p99_ms([delays(*each) for each in rounds]) == percentile(everything, 0.99)
    assert pooled_p99_ms([]) == 0


def test_a_log_is_read_up_to_its_last_whole_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert _stamps.read(log) == []
    log.write_text("5 0-9-ab\n7 33-9-cd\n9 6")
    assert _stamps.read(log) == [Stamp(5, "0-9-ab"), Stamp(7, "33-9-cd")]


def test_what_is_gathered_for_few_players_is_not_held_for_long() -> None:
    assert [gathered_ms(players, 100) for players in (1, 20, 500, 2000)] == [0, 4, 100, 100]
    assert gathered_ms(500, 20) == 20
    assert FanOutConfig().players_per_delay_ms == delay.PLAYERS_PER_MS


def test_the_time_of_gathering_is_allowed_for_and_no_more() -> None:
    found = Found({label(500, 0): [sample(14)], label(500, 100): [sample(116)]})
    judged = judge(found, (1, 500), (0, 100))
    assert [(each.verdict, each.found) for each in judged[:2]] == [("met", 14), ("missed", 16)]


def test_one_slow_round_of_three_is_not_outvoted() -> None:
    found = Found({label(500, 0): [sample(14), sample(30), sample(14)]})
    assert [(each.verdict, each.found) for each in judge(found, (500,), (0,))[:1]] == [("missed", 30)]


def test_the_wait_for_a_first_frame_is_that_of_the_worst_round_and_gathering_time() -> None:
    slow: list[Sample | None] = [sample(1, join_ms=ms) for ms in (40, 60, 40)]
    judged = judge(Found({label(500, 0): [sample(1, join_ms=40)], label(500, 100): slow}), (500,), (0, 100))
    assert [(each.verdict, each.found) for each in judged[2:]] == [("missed", 60)] * 2


def test_a_sample_in_which_a_frame_or_a_player_is_missing_is_worthless() -> None:
    lacking = Sample(Delays(1, 1, 1, 1, 0, 0), joins(joined=99), {}, 0, 0)
    assert sample(1).problem == ""
    assert "1 did not come" in sample(1, missing=1).problem
    assert "had no first frame" in lacking.problem


def test_the_line_of_a_subject_has_a_cell_for_every_head_and_a_curve_a_point_for_every_gathering_time() -> None:
    cells = row(500, 20, [sample(10), sample(30)])
    assert len(cells) == len(delay.HEAD)
    assert cells[:7] == ["500", "20", "20", "10.0", "30.0", "10.0-30.0", "60.0"]
    [plot] = plots(Found({label(500, 0): [sample(10)], label(500, 20): [sample(30), None]}), (500,), (0, 20))
    assert {curve.label: curve.points for curve in plot.curves}["500 players, p99"] == [(0.0, 10), (20.0, 30)]
