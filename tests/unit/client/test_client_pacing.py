"""When frames are due, and how a file follows itself."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from lalmesh.client._pacing import MAX_LEAD_S, LoopClock, Pacer
from lalmesh.container.flv import TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO, Tag


def test_frames_leave_at_the_pace_of_their_times() -> None:
    pacer = Pacer()
    assert pacer.wait_s(5000, 100.0) == 0
    assert round(pacer.wait_s(5040, 100.0), 6) == 0.04
    assert pacer.wait_s(5080, 100.1) == 0


def test_what_is_due_in_a_moment_leaves_with_what_is_due_now() -> None:
    pacer = Pacer()
    assert pacer.wait_s(5000, 100.0) == 0
    assert pacer.wait_s(5001, 100.0001) == 0
    assert round(pacer.wait_s(5002, 100.0), 6) == 0.002


def test_the_pace_survives_the_wrap_of_the_clock() -> None:
    pacer = Pacer()
    pacer.wait_s(0xFFFFFFF0, 0.0)
    assert round(pacer.wait_s(24, 0.0), 6) == 0.04


def test_a_jump_of_the_clock_is_not_waited_for() -> None:
    pacer = Pacer()
    pacer.wait_s(0, 0.0)
    assert pacer.wait_s(60_000, 1.0) == 0
    assert round(pacer.wait_s(60_040, 1.0), 6) == 0.04


def test_a_jump_back_begins_anew() -> None:
    pacer = Pacer()
    pacer.wait_s(60_000, 0.0)
    assert pacer.wait_s(0, 1.0) == 0
    assert round(pacer.wait_s(40, 1.0), 6) == 0.04


@given(st.lists(st.tuples(st.integers(0, 0xFFFFFFFF), st.floats(0, 1e6)), max_size=20))
def test_no_wait_is_longer_than_the_bound(frames: list[tuple[int, float]]) -> None:
    pacer = Pacer()
    for timestamp_ms, now_s in frames:
        assert 0 <= pacer.wait_s(timestamp_ms, now_s) <= MAX_LEAD_S + 0.001


def run(clock: LoopClock, times: list[tuple[int, int]]) -> list[int]:
    return [clock.move(Tag(type_id, time, b""), is_frame=True).timestamp_ms for type_id, time in times]


def test_the_next_run_follows_after_the_length_of_a_frame() -> None:
    clock, times = LoopClock(), [(TAG_VIDEO, 100), (TAG_AUDIO, 105), (TAG_AUDIO, 128), (TAG_VIDEO, 140)]
    assert run(clock, times) == [100, 105, 128, 140]
    clock.begin_again()
    assert run(clock, times) == [180, 185, 208, 220]
    clock.begin_again()
    assert run(clock, times)[0] == 260


def test_the_track_that_lasts_longest_counts() -> None:
    clock, times = LoopClock(), [(TAG_VIDEO, 0), (TAG_AUDIO, 0), (TAG_VIDEO, 40), (TAG_AUDIO, 100)]
    run(clock, times)
    clock.begin_again()
    assert run(clock, times)[0] == 200


def test_what_is_no_frame_moves_but_does_not_lengthen_the_run() -> None:
    clock = LoopClock()
    clock.move(Tag(TAG_SCRIPT, 0, b""), is_frame=False)
    run(clock, [(TAG_VIDEO, 5000), (TAG_VIDEO, 5040)])
    clock.move(Tag(TAG_SCRIPT, 9000, b""), is_frame=False)
    clock.begin_again()
    assert clock.move(Tag(TAG_SCRIPT, 0, b""), is_frame=False).timestamp_ms == 80
    assert run(clock, [(TAG_VIDEO, 5000)]) == [5080]


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=10), st.integers(0, 0xFFFFFFFF), st.integers(2, 4))
def test_looped_times_always_rise(steps: list[int], first: int, runs: int) -> None:
    clock, times = LoopClock(), [first]
    for step in steps:
        times.append((times[-1] + step) & 0xFFFFFFFF)
    out: list[int] = []
    for _ in range(runs):
        out += run(clock, [(TAG_VIDEO, time) for time in times])
        clock.begin_again()
    assert all(0 < (after - before) & 0xFFFFFFFF <= 1000 for before, after in pairwise(out))
