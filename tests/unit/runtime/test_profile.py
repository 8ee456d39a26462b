from __future__ import annotations

import itertools
import json
import sys
import threading

from lalmesh.runtime.profile import MAX_DEPTH, MAX_STACKS, Profile, sample, stack_of


def seen(**threads: dict[tuple[str, ...], int]) -> Profile:
    profile = Profile(1.0, 0.5)
    for thread, stacks in threads.items():
        for stack, count in stacks.items():
            for _ in range(count):
                profile.add(thread, stack)
    return profile


def test_collapsed_is_a_line_a_stack_with_how_often_it_was_seen() -> None:
    assert seen(main={("a", "b"): 2, ("a",): 1}).collapsed() == "main;a 1\nmain;a;b 2\n"


def test_speedscope_shares_frames_between_threads_and_weighs_by_time() -> None:
    document = json.loads(seen(main={("a", "b"): 2}, other={("b",): 1}).speedscope("node"))
    assert [frame["name"] for frame in document["shared"]["frames"]] == ["a", "b"]
    assert [(each["samples"], each["weights"], each["endValue"]) for each in document["profiles"]] == [
        ([[0, 1]], [1.0], 1.0),
        ([[1]], [0.5], 0.5),
    ]


def test_a_stack_begins_at_the_root_and_is_bounded() -> None:
    def deep(left: int) -> tuple[str, ...]:
        return deep(left - 1) if left else stack_of(sys._getframe())

    assert deep(3)[-1].startswith("test_a_stack_begins_at_the_root_and_is_bounded.<locals>.deep (unit/runtime/test_profile.py:")
    assert len(deep(MAX_DEPTH + 10)) == MAX_DEPTH


def test_different_stacks_are_bounded() -> None:
    profile = Profile(1.0)
    for number in range(MAX_STACKS + 5):
        profile.add("main", (str(number),))
    assert len(profile.samples["main"]) == MAX_STACKS + 1
    assert sum(profile.samples["main"].values()) == MAX_STACKS + 5


def test_the_stacks_of_other_threads_are_sampled_until_the_time_is_over() -> None:
    clock = itertools.count(0, 0.25)
    profile = sample(1.0, threading.Event(), clock=lambda: next(clock))
    assert profile.samples == {} or threading.main_thread().name not in profile.samples
    assert profile.seconds > 1.0


def test_it_ends_when_it_is_stopped() -> None:
    stopped = threading.Event()
    stopped.set()
    assert sample(60.0, stopped).samples == {}
