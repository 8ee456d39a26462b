"""Spreads, stalls, gaps: what a run of players is judged by."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from lalmesh.client.load._reckoning import (
    LEARNING_STEPS,
    LONGEST_STEP_TICKS,
    MOST_ASLEEP_S,
    Attention,
    Flow,
    Playback,
    Spread,
    UnitOrder,
    quantile,
    spread,
)
from lalmesh.media import TICKS_PER_SECOND


def test_a_spread_is_of_values_that_were_measured() -> None:
    values = [number / 1000 for number in range(1, 201)]
    assert spread(reversed(values), scale=1000) == Spread(200, 100.0, 198.0, 200.0)


def test_nothing_has_no_spread() -> None:
    assert spread([]) is None


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300), st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_passed_by_no_more_than_the_rest(values: list[float], share: float) -> None:
    found = quantile(sorted(values), share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)
    assert sum(value < found for value in values) < max(share * len(values), 1)


def test_a_pause_over_the_limit_is_a_stall() -> None:
    flow = Flow(10.0)
    for now_s in (10.5, 11.5, 13.5, 13.6):
        flow.came(now_s, 1.0)
    assert (flow.stalls, flow.longest_s) == (1, 2.0)


def stalls_of(*pauses_s: float) -> int:
    """Of a player that has begun with three pieces of a second, and gets one more after each pause."""
    flow, playback, now_s = Flow(10.0), Playback(), 10.0
    playback.begin(3.0)
    for pause_s in pauses_s:
        now_s += pause_s
        flow.came(now_s, playback.left_s)
        playback.came(pause_s, 1.0)
        playback.begin(3.0)
    return flow.stalls


def test_a_piece_that_is_late_is_no_stall_as_long_as_there_is_something_to_play() -> None:
    assert stalls_of(*[1.0] * 9) == 0
    assert stalls_of(1.0, 1.0, 2.0, 0.0, 1.0) == 0  # a second late: there are two pieces left
    assert stalls_of(1.0, 1.0, 3.0, 0.0, 0.0, 1.0) == 0
    assert stalls_of(1.0, 2.0, 2.0, 2.0) == 1  # a second less each time


def test_a_player_that_has_nothing_to_play_stalls_and_begins_again_with_as_much_as_at_first() -> None:
    assert stalls_of(1.0, 3.1, 1.0, 1.0) == 1
    assert stalls_of(1.0, 3.1, 2.9, 1.0) == 1
    assert stalls_of(1.0, 3.1, 3.1, 1.0) == 2


def test_a_player_plays_once_all_that_is_listed_has_come() -> None:
    playback = Playback()
    for pause_s in (0.0, 9.0, 9.0):
        playback.came(pause_s, 1.0)
        assert playback.left_s == inf
    for hold_back_s in (3.0, 5.0):
        playback.begin(hold_back_s)
        assert playback.left_s == 3.0


def test_what_this_program_slept_over_is_no_stall() -> None:
    attention = Attention()
    flow = Flow(attention.look(0.0))
    for now_s in (0.02, 3.0, 3.02):
        flow.came(attention.look(now_s), 1.0)
    assert flow.stalls == 0
    assert abs(flow.longest_s - MOST_ASLEEP_S) < 1e-9
    assert abs(attention.slept_s - (2.98 - MOST_ASLEEP_S)) < 1e-9


def test_a_server_that_stands_still_is_a_stall_though_this_program_looks_all_the_time() -> None:
    attention = Attention()
    flow = Flow(attention.look(0.0))
    for number in range(1, 100):
        now_s = attention.look(number * 0.02)
    flow.came(now_s, 1.0)
    assert flow.stalls == 1


def test_a_missing_frame_is_a_gap_and_a_time_that_falls_is_disorder() -> None:
    order = UnitOrder()
    times = [number * 3600 for number in range(40)]
    for dts in [*times[:20], *times[21:30], times[29] - 3600, *times[30:]]:
        order.add(1, dts)
    assert (order.gaps, order.disordered) == (2, 1)  # the one left out; the one behind the unit that fell back
    assert order.longest_step_ticks == 3600


def test_a_jump_in_time_is_a_gap_and_no_step_of_the_track() -> None:
    order = UnitOrder()
    for dts in (0, 3600 * TICKS_PER_SECOND, *(3600 * TICKS_PER_SECOND + number * 3600 for number in range(1, 20))):
        order.add(1, dts)
    assert (order.gaps, order.longest_step_ticks) == (1, 3600)
    assert LONGEST_STEP_TICKS < 3600 * TICKS_PER_SECOND


def test_a_jump_before_steps_are_known_is_no_step_of_the_track_either() -> None:
    order, dts = UnitOrder(), 0
    for step in [3600] * (LEARNING_STEPS - 2) + [9 * TICKS_PER_SECOND] + [3600] * 20:
        order.add(1, dts := dts + step)
    assert (order.gaps, order.longest_step_ticks) == (0, 3600)


def test_tracks_are_judged_apart_and_rounded_times_are_no_gap() -> None:
    order = UnitOrder()
    for number in range(200):
        order.add(1, number * 3000)
        order.add(2, round(number * 21.333) * 90)
    assert (order.gaps, order.disordered) == (0, 0)


def test_a_rate_that_changes_is_usual_soon() -> None:
    order = UnitOrder()
    dts = 0
    for step in [1500] * 60 + [3600] * 100:
        order.add(1, dts := dts + step)
    assert 0 < order.gaps <= 17
