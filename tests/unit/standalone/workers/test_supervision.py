"""Which workers run: deaths, pauses, signals, ends."""

from __future__ import annotations

import signal

import pytest

from services.standalone.end_signals import SAME_SIGNAL_S
from services.standalone.workers._supervision import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    MAX_DEATHS_AT_START,
    STEADY_S,
    AllUp,
    Command,
    Died,
    Drains,
    End,
    Leaves,
    Send,
    Start,
    State,
    Supervision,
    Told,
    Up,
)

TERM, HANGUP = signal.SIGTERM, signal.SIGHUP
KILLED = -signal.SIGKILL


def started(count: int = 2) -> Supervision:
    core = Supervision(count)
    assert core.handle_timer(0.0) == [Start(number) for number in range(1, count + 1)]
    return core


def running(count: int = 2, now: float = 0.0) -> Supervision:
    core = started(count)
    said = [command for number in range(1, count + 1) for command in core.handle(Up(number), now)]
    assert said == [AllUp()]
    return core


def dies(core: Supervision, now: float, number: int = 1, status: int = KILLED) -> float:
    """A worker dies: seconds until it is started again."""
    assert core.handle(Died(number, status), now) == []
    due_at = core.next_timer()
    assert due_at is not None
    assert core.handle_timer(due_at - 0.001) == []
    assert core.handle_timer(due_at) == [Start(number)]
    return due_at - now


def test_all_are_started_at_once_and_it_is_said_that_all_are_up_and_up_again() -> None:
    core = started()
    assert core.handle(Up(2), 1.0) == []
    assert core.handle(Up(1), 2.0) == [AllUp()]
    assert core.next_timer() is None
    dies(core, 3.0)
    dies(core, 3.0, 2)
    assert core.handle(Up(1), 9.0) == []
    assert core.handle(Up(2), 9.0) == [AllUp()]


def test_a_worker_that_dies_is_started_again_and_the_others_are_left_alone() -> None:
    core = running(3)
    assert dies(core, 10.0, 2) == FIRST_PAUSE_S
    assert core.states() == {1: State.RUNNING, 2: State.STARTING, 3: State.RUNNING}


def test_pauses_double_to_a_bound_while_it_dies_soon_and_begin_anew_once_it_was_steady() -> None:
    core, now, pauses = running(), 0.0, list[float]()
    for _ in range(9):
        now += 100.0
        pauses.append(dies(core, now))
        core.handle(Up(1), now)
        now -= 99.0
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, LONGEST_PAUSE_S, LONGEST_PAUSE_S, LONGEST_PAUSE_S]
    core.handle(Up(1), 1000.0)
    assert dies(core, 1000.0 + STEADY_S) == FIRST_PAUSE_S


def test_one_that_does_not_come_up_is_tried_for_ever_once_all_were_up() -> None:
    core = running()
    for number in range(5 * MAX_DEATHS_AT_START):
        dies(core, 100.0 * number, status=1)
    assert core.states()[2] is State.RUNNING


def test_too_many_deaths_at_the_start_end_all_and_the_reason_is_said() -> None:
    core = started()
    core.handle(Up(2), 0.0)
    for _ in range(MAX_DEATHS_AT_START - 1):
        dies(core, 1.0, status=1)
    assert core.handle(Died(1, 1), 9.0) == [Send(2, TERM)]
    assert core.handle(Died(2, 0), 9.5) == [End("workers died 3 times before all were up, the last, 1, ended with status 1")]


def test_a_worker_that_ended_in_order_was_drained_and_stays_away() -> None:
    core = running()
    assert core.handle(Died(1, 0), 1.0) == []
    assert (core.next_timer(), core.states()) == (None, {1: State.OVER, 2: State.RUNNING})
    assert core.handle(Told(TERM), 2.0) == [Send(2, TERM)]
    assert core.handle(Died(2, 0), 3.0) == [End("")]


def test_where_all_were_drained_all_is_over() -> None:
    core = running()
    assert core.handle(Died(2, 0), 1.0) == []
    assert core.handle(Died(1, 0), 1.0) == [End("")]


@pytest.mark.parametrize("is_up", [True, False])
def test_one_that_was_drained_at_the_start_is_not_waited_for(is_up: bool) -> None:
    core = started()
    if is_up:
        assert core.handle(Up(1), 1.0) == []
        assert core.handle(Died(1, 0), 2.0) == []
        assert core.handle(Up(2), 3.0) == [AllUp()]
    else:
        assert core.handle(Up(2), 1.0) == []
        assert core.handle(Died(1, 0), 2.0) == [AllUp()]
    for number in range(5 * MAX_DEATHS_AT_START):
        dies(core, 1000.0 * number, 2)
        assert core.handle(Up(2), 1000.0 * number + 100) == [AllUp()]


def test_who_waits_to_be_started_again_is_not_where_the_node_drains() -> None:
    core = running()
    assert core.handle(Died(1, KILLED), 1.0) == []
    assert core.handle(Drains(2), 1.1) == []
    assert (core.ends, core.next_timer()) == (True, None)
    assert core.handle(Died(2, 0), 2.0) == [End("")]


def test_who_dies_while_the_node_drains_is_not_started_again() -> None:
    core = running(3)
    assert [core.handle(Drains(number), 1.0) for number in (1, 2, 3)] == [[], [], []]
    assert core.handle(Died(2, 0), 2.0) == []
    assert core.handle(Died(1, KILLED), 3.0) == []
    assert core.next_timer() is None
    assert core.handle(Died(3, 0), 4.0) == [End("worker 1 was ended by SIGKILL")]


def test_who_did_not_hear_that_the_node_drains_is_told_once_one_that_did_has_ended() -> None:
    core = running(3)
    dies(core, 1.0, 1)  # it starts again, and the third has not joined
    assert core.handle(Drains(2), 2.0) == []
    assert core.handle(Died(2, 0), 3.0) == [Send(1, TERM), Send(3, TERM)]
    assert core.handle(Died(1, -TERM), 3.1) == [], "nothing listened to the signal yet"
    assert core.handle(Up(3), 3.2) == []
    assert core.handle(Died(3, 0), 4.0) == [End("")]


def test_one_that_drains_alone_has_the_others_go_on_and_they_are_started_again() -> None:
    core = running()
    assert core.handle(Died(2, 0), 1.0) == []
    dies(core, 2.0, 1)
    assert core.handle(Up(1), 3.0) == [AllUp()]
    assert not core.ends


def test_one_that_drains_alone_stays_away_however_it_ends() -> None:
    core = running()
    assert core.handle(Leaves(2), 1.0) == []
    assert not core.ends
    assert core.handle(Died(2, KILLED), 2.0) == []
    assert (core.next_timer(), core.states()) == (None, {1: State.RUNNING, 2: State.OVER})
    assert core.handle(Told(TERM), 3.0) == [Send(1, TERM)]
    assert core.handle(Died(1, 0), 4.0) == [End("")], "the node went on without it"


def test_one_that_drains_alone_until_all_end_is_why_the_node_did_not_end_in_order() -> None:
    core = running()
    assert core.handle(Leaves(2), 1.0) == []
    assert core.handle(Told(TERM), 2.0) == [Send(1, TERM), Send(2, TERM)]
    assert core.handle(Died(2, KILLED), 3.0) == []
    assert core.handle(Died(1, 0), 4.0) == [End("worker 2 was ended by SIGKILL")]


def test_one_that_drains_alone_has_its_time_though_others_drain_with_the_node_and_end_before() -> None:
    core = running()
    assert [core.handle(Leaves(2), 1.0), core.handle(Drains(1), 2.0)] == [[], []]
    assert core.handle(Died(1, 0), 3.0) == []
    assert core.handle(Died(2, 0), 900.0) == [End("")]


def test_a_signal_cuts_short_what_the_scheduler_lets_a_node_drain_for() -> None:
    core = running()
    assert [core.handle(Drains(number), 1.0) for number in (1, 2)] == [[], []]
    assert core.handle(Told(TERM), 2.0) == [Send(1, TERM), Send(2, TERM)]


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_end_is_handed_on_as_it_is_and_so_is_a_second(told: signal.Signals) -> None:
    core = running()
    assert core.handle(Told(told), 1.0) == [Send(1, told), Send(2, told)]
    assert core.ends
    assert core.handle(Died(1, 0), 2.0) == []
    assert core.handle(Told(TERM), 3.0) == [Send(2, TERM)]
    assert core.handle(Died(2, 1), 3.0) == [End("worker 2 ended with status 1")]


def test_who_waits_to_be_started_again_is_not_and_who_just_starts_may_end_by_the_signal() -> None:
    core = running()
    core.handle(Died(1, KILLED), 1.0)
    assert core.handle(Told(TERM), 1.1) == [Send(2, TERM)]
    assert core.next_timer() is None
    assert core.handle(Died(2, 0), 2.0) == [End("")]
    core = started(1)
    assert core.handle(Told(TERM), 0.1) == [Send(1, TERM)]
    assert core.handle(Died(1, -TERM), 0.2) == [End("")]


def test_one_that_a_second_signal_finds_as_it_takes_itself_apart_has_ended_in_order() -> None:
    core = running()
    core.handle(Told(TERM), 1.0)
    core.handle(Told(TERM), 1.6)
    assert core.handle(Died(1, -TERM), 1.7) == []
    assert core.handle(Died(2, 0), 1.7) == [End("")]


def test_the_same_word_said_twice_is_said_once() -> None:
    core = with_core(1)
    assert core.handle(Told(TERM), 1.0) == [Send(1, TERM)]
    assert core.handle(Told(TERM), 1.0 + SAME_SIGNAL_S / 2) == []
    assert core.handle(Told(TERM), 1.0 + SAME_SIGNAL_S) == [Send(0, TERM), Send(1, TERM)]


def test_who_was_told_for_another_reason_is_not_told_by_the_first_signal() -> None:
    core = with_core()
    assert core.handle(Died(0, 0), 1.0) == [Send(1, TERM), Send(2, TERM)]
    assert core.handle(Told(TERM), 2.0) == []
    assert core.handle(Told(TERM), 3.0) == [Send(1, TERM), Send(2, TERM)]


def test_all_that_wait_are_over_at_once() -> None:
    core = running(1)
    core.handle(Died(1, KILLED), 1.0)
    assert core.handle(Told(TERM), 1.1) == [End("")]


def test_who_comes_up_while_all_end_is_told_nothing_more() -> None:
    core = started(1)
    core.handle(Told(TERM), 0.1)
    assert core.handle(Up(1), 0.2) == []
    assert core.handle(Died(1, KILLED), 0.3) == [End("worker 1 was ended by SIGKILL")]


def test_a_hangup_waits_for_who_would_end_by_it() -> None:
    core = running()
    dies(core, 1.0, 2)
    assert core.handle(Told(HANGUP), 2.0) == [Send(1, HANGUP)]
    assert core.handle(Up(2), 3.0) == [Send(2, HANGUP), AllUp()]
    dies(core, 4.0, 2)
    assert core.handle(Up(2), 9.0) == [AllUp()]


def test_each_command_is_for_a_process_that_there_is() -> None:
    core = started(1)
    heard: list[Command] = [*core.handle(Told(HANGUP), 0.1), *core.handle(Died(1, 1), 0.2), *core.handle(Told(HANGUP), 0.3)]
    assert heard == []
    core.handle_timer(9.0)
    assert core.handle(Up(1), 9.5) == [AllUp()], "what it was started by is newer than the hangup"


def with_core(count: int = 2) -> Supervision:
    core = Supervision(count, has_core=True)
    assert core.handle_timer(0.0) == [Start(number) for number in range(count + 1)]
    for number in range(count):
        assert core.handle(Up(number), 0.0) == []
    assert core.handle(Up(count), 0.0) == [AllUp()]
    return core


def test_the_core_of_a_server_ends_after_those_who_leave_it_in_order() -> None:
    core = with_core()
    assert core.handle(Told(TERM), 1.0) == [Send(1, TERM), Send(2, TERM)]
    assert core.handle(Died(1, 0), 2.0) == []
    assert core.handle(Died(2, 0), 2.0) == [Send(0, TERM)]
    assert core.handle(Died(0, 0), 3.0) == [End("")]


def test_in_haste_the_core_is_told_with_the_others() -> None:
    core = with_core()
    core.handle(Told(TERM), 1.0)
    assert core.handle(Told(TERM), 2.0) == [Send(0, TERM), Send(1, TERM), Send(2, TERM)]
    for number in (1, 0):
        assert core.handle(Died(number, 1), 2.0) == []
    assert core.handle(Died(2, 1), 2.0) == [End("worker 1 ended with status 1")]


def test_a_core_that_dies_is_started_again_and_the_others_go_on() -> None:
    core = with_core()
    assert dies(core, 1.0, 0) == FIRST_PAUSE_S
    assert core.states() == {0: State.STARTING, 1: State.RUNNING, 2: State.RUNNING}


def test_where_the_core_was_drained_all_end() -> None:
    core = with_core()
    assert core.handle(Died(0, 0), 1.0) == [Send(1, TERM), Send(2, TERM)]
    assert core.handle(Died(2, 0), 2.0) == []
    assert core.handle(Died(1, 0), 2.0) == [End("")]


def test_where_all_others_were_drained_the_core_ends() -> None:
    core = with_core()
    assert core.handle(Died(1, 0), 1.0) == []
    assert core.handle(Died(2, 0), 1.0) == [Send(0, TERM)]
    assert core.handle(Died(0, 0), 1.5) == [End("")]


def test_the_core_is_started_again_while_the_edge_drains_and_ends_after_it() -> None:
    core = with_core()
    assert core.handle(Drains(1), 1.0) == []
    dies(core, 2.0, 0)
    assert core.handle(Up(0), 3.0) == []
    assert core.handle(Died(1, 0), 4.0) == [Send(2, TERM)]
    assert core.handle(Died(0, KILLED), 4.1) == []
    assert core.handle(Died(2, 0), 5.0) == [End("")]


def test_the_core_is_none_of_those_that_listen_for_clients() -> None:
    core = with_core(2)
    assert core.listening == 2
    dies(core, 1.0)
    assert core.listening == 1


def test_the_end_is_said_once() -> None:
    core = with_core(1)
    core.handle(Died(1, KILLED), 1.0)
    assert core.handle(Died(0, 0), 1.1) == [End("")]
