"""Workers that stand still: silent for too long, heard again, starting, slept through."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from services.standalone.workers._silence import LATE_S, LOOK_S, SILENT_LOOKS, Silence
from services.standalone.workers._supervision import Send

BOTH = (1, 2)


def looks(core: Silence, count: int, running: Sequence[int] = BOTH, heard: Sequence[int] = ()) -> list[Send]:
    """What so many looks give, each as it is due, after those who are `heard` before each."""
    said = list[Send]()
    for _ in range(count):
        for number in heard:
            core.heard(number)
        said += core.look(running, core.due_at)
    return said


def test_who_is_silent_for_too_long_is_killed_once_and_who_speaks_is_left_alone() -> None:
    core = Silence(0.0)
    assert looks(core, SILENT_LOOKS - 1, heard=[1]) == []
    assert looks(core, 1, heard=[1]) == [Send(2, signal.SIGKILL)]
    assert looks(core, 5 * SILENT_LOOKS, heard=[1]) == []


def test_one_word_is_enough_for_as_long_again() -> None:
    core = Silence(0.0)
    for _ in range(5):
        assert looks(core, SILENT_LOOKS - 1) == []
        for number in BOTH:
            core.heard(number)


def test_looks_are_a_second_apart_whatever_happens_between_them() -> None:
    core = Silence(0.0)
    assert [core.look(BOTH, number * LOOK_S / 100) for number in range(SILENT_LOOKS)] == [[]] * SILENT_LOOKS
    assert core.due_at == LOOK_S


def test_who_starts_is_not_judged_and_has_its_time_once_it_listens() -> None:
    core = Silence(0.0)
    looks(core, SILENT_LOOKS - 1, heard=[1])
    assert looks(core, 5 * SILENT_LOOKS, running=[1], heard=[1]) == []
    assert looks(core, SILENT_LOOKS - 1, heard=[1]) == []
    assert looks(core, 1, heard=[1]) == [Send(2, signal.SIGKILL)]


def test_one_that_was_killed_and_is_started_again_between_two_looks_is_another() -> None:
    core = Silence(0.0)
    assert looks(core, SILENT_LOOKS, heard=[1]) == [Send(2, signal.SIGKILL)]
    core.heard(2)  # that it listens
    assert looks(core, SILENT_LOOKS, heard=[1]) == [Send(2, signal.SIGKILL)]


def test_what_the_supervisor_slept_through_is_nobodys_silence_and_counting_begins_anew() -> None:
    core = Silence(0.0)
    looks(core, SILENT_LOOKS - 1)
    assert core.look(BOTH, core.due_at + LATE_S + 0.1) == []
    assert looks(core, SILENT_LOOKS - 1) == []
    assert looks(core, 1) == [Send(1, signal.SIGKILL), Send(2, signal.SIGKILL)]


def test_a_look_that_is_a_little_late_counts() -> None:
    core = Silence(0.0)
    looks(core, SILENT_LOOKS - 1)
    assert core.look(BOTH, core.due_at + LATE_S - 0.1) == [Send(1, signal.SIGKILL), Send(2, signal.SIGKILL)]
