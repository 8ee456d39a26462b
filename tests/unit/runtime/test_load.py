from __future__ import annotations

import os
from pathlib import Path

import pytest

from lalmesh.runtime.load import AveragedByteRate, ByteRate, ByteRates, ProcessLoad, read_resident_bytes, usable_cores


class Machine:
    """A clock, and a process that takes processor time."""

    def __init__(self, cores: int = 2) -> None:
        self.now, self.had_s, self.cores, self.resident = 50.0, 7.0, cores, 1 << 20
        self.load = ProcessLoad(
            clock=lambda: self.now,
            processor_s=lambda: self.had_s,
            cores=lambda: self.cores,
            resident_bytes=lambda: self.resident,
        )

    def run(self, seconds: float, processor_s: float) -> float:
        self.now += seconds
        self.had_s += processor_s
        return self.load.cpu_fraction()


def test_the_fraction_is_of_all_usable_cores_since_the_last_call() -> None:
    machine = Machine()
    assert [machine.run(2.0, 1.0), machine.run(1.0, 2.0), machine.run(1.0, 0.0)] == [0.25, 1.0, 0.0]


def test_cores_are_counted_anew_at_each_call() -> None:
    machine = Machine(cores=4)
    assert machine.run(1.0, 1.0) == 0.25
    machine.cores = 1
    assert machine.run(1.0, 1.0) == 1.0


def test_a_second_call_within_a_tick_repeats_the_figure_and_loses_no_time() -> None:
    machine = Machine(cores=1)
    assert [machine.run(1.0, 0.5), machine.run(0.0, 0.1), machine.run(1.0, 0.1)] == [0.5, 0.5, pytest.approx(0.2)]


def test_coarse_readings_stay_within_bounds() -> None:
    machine = Machine(cores=1)
    assert [machine.run(1.0, 1.01), machine.run(1.0, -0.5)] == [1.0, 0.0]


def test_memory_is_what_the_system_says() -> None:
    assert Machine().load.memory_bytes() == 1 << 20


def test_a_system_that_says_nothing_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_resident_bytes(tmp_path / "statm") == 0
    (tmp_path / "statm").write_text("12")
    assert read_resident_bytes(tmp_path / "statm") == 0
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1


def test_resident_pages_are_counted_in_bytes(tmp_path: Path) -> None:
    (tmp_path / "statm").write_text("900 100 20 1 0 50 0\n")
    assert read_resident_bytes(tmp_path / "statm") == 100 * os.sysconf("SC_PAGE_SIZE")


def test_this_process_can_be_measured() -> None:
    load = ProcessLoad()
    assert 0 <= load.cpu_fraction() <= 1
    assert load.memory_bytes() >= 0


class Counted:
    """Something with bytes."""


def test_a_rate_is_told_between_two_looks() -> None:
    now = [10.0]
    rate = ByteRate(lambda: now[0])
    assert rate.bps(500) == 0
    now[0] = 12.0
    assert rate.bps(2_000) == 8_000
    now[0] = 12.05
    assert rate.bps(9_000) == 8_000, "too soon to tell"


def test_a_rate_of_bursts_is_of_all_within_a_time() -> None:
    now = [0.0]
    rate = AveragedByteRate(lambda: now[0], 10.0)
    told = []
    for total in (1_000, 1_000, 1_000, 2_000, 2_000, 2_000):
        now[0] += 5.0
        told.append(rate.bps(total))
    assert told == [800, 800, 0, 800, 800, 0]
    now[0] += 0.05
    assert rate.bps(9_000) == 0, "too soon to tell"


def test_rates_are_kept_for_as_long_as_what_they_are_of() -> None:
    now, one, other = [10.0], Counted(), Counted()
    rates = ByteRates(lambda: now[0])
    assert (rates.bps(one, 0), rates.bps(other, 0)) == (0, 0)
    now[0] = 11.0
    assert (rates.bps(one, 100), rates.bps(other, 200)) == (800, 1_600)
