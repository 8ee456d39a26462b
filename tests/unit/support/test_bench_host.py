"""What the host takes from the machine: which sample counts, and what is told of it."""

from collections.abc import Iterator

import pytest

from bench._host import MOST_TAKEN, PATIENCE_S, PAUSE_S, TRIES, Host, Times, share_taken, times


class Machine:
    """Each measurement takes a second and 100 ticks; the host takes so many more."""

    def __init__(self, *taken: int) -> None:
        self.taken: Iterator[int] = iter(taken)
        self.now = Times(0, 0)
        self.now_s = 0.0
        self.measured = 0
        self.host = Host(lambda: self.now, lambda: self.now_s, self.pause)

    def pause(self, seconds: float) -> None:
        self.now_s += seconds

    def measure(self) -> int:
        self.measured += 1
        self.now = Times(self.now.used + 100, self.now.taken + next(self.taken))
        self.now_s += 1
        return self.measured

    def watch(self) -> int:
        return self.host.watch(self.measure)


def test_what_nobody_disturbed_is_measured_once() -> None:
    machine = Machine(0, 5)
    assert [machine.watch(), machine.watch()] == [1, 2]
    assert (machine.host.shares, machine.host.again, machine.now_s) == ([0, 5 / 105], 0, 2)


def test_what_was_disturbed_is_measured_again_after_a_pause() -> None:
    machine = Machine(30, 2)
    assert (machine.watch(), machine.now_s) == (2, 2 + PAUSE_S)
    assert (machine.host.shares, machine.host.again) == ([2 / 102], 1)


def test_of_all_that_was_disturbed_the_least_counts() -> None:
    machine = Machine(40, 20, 30, 99)
    assert (machine.watch(), machine.measured) == (2, TRIES)
    assert (machine.host.shares, machine.host.again) == ([20 / 120], TRIES - 1)


def test_patience_ends() -> None:
    machine = Machine(*[50] * 1000)
    samples = 100
    for _ in range(samples):
        machine.watch()
    assert machine.measured == samples + int(PATIENCE_S / (1 + PAUSE_S))


def test_it_is_told_in_a_line() -> None:
    machine = Machine(0, 1, 3)
    for _ in range(3):
        machine.watch()
    told = "took 1.0% of the processor time that was wanted from it (median of 3 samples, at most 2.9%); measured again, as it took"
    assert machine.host.told == f"{told} more than 5%: none"


def test_what_was_thrown_away_is_told_over_the_whole_run() -> None:
    machine = Machine(30, 2, 40, 20, 30)
    machine.watch()
    machine.watch()
    assert machine.host.told.endswith("(median of 2 samples, at most 16.7%); measured again, as it took more than 5%: 3")


def test_an_error_of_the_measurement_goes_on() -> None:
    machine = Machine()
    with pytest.raises(StopIteration):
        machine.watch()
    assert machine.host.shares == []


def test_this_machine_tells_its_times() -> None:
    before, after = times(), times()
    assert after.used >= before.used > 0
    assert 0 <= share_taken(before, after) <= 1
    assert share_taken(after, after) == 0 < MOST_TAKEN
