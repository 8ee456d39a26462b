"""Processor time and memory of processes are read in one place."""

import os
import time

import pytest

from bench import cpu

NOBODY = 1 << 22  #: the kernel gives no such pid


def test_what_a_process_has_taken_is_its_time_and_its_memory() -> None:
    begun_s = time.process_time()
    found = cpu.taken(os.getpid())
    assert found.processor_s == found.user_s + found.system_s >= begun_s - 2 / cpu.TICK
    assert found.resident_bytes > 1 << 20


def test_a_process_named_twice_counts_once() -> None:
    assert cpu.taken(os.getpid(), os.getpid()).resident_bytes < 1.5 * cpu.taken(os.getpid()).resident_bytes


def test_a_server_that_has_ended_is_not_one_that_takes_nothing() -> None:
    with pytest.raises(FileNotFoundError):
        cpu.taken(NOBODY)


def test_a_child_may_end_while_it_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "family", lambda pid: [pid])  # without what other tests have started
    alone = cpu.taken(os.getpid())
    monkeypatch.setattr(cpu, "family", lambda pid: [pid, NOBODY])
    assert cpu.taken(os.getpid()).processor_s >= alone.user_s
