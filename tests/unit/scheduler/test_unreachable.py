"""Origins that readers cannot reach."""

from __future__ import annotations

import logging

import pytest
from support.turned_clock import Clock

from lalmesh.runtime.ownership import NodeId
from services.scheduler.metrics import SchedulerMetrics
from services.scheduler.unreachable import SHOWN_S, Unreachable

ORIGIN = NodeId("o1", b"12345678")


def test_reports_are_counted_for_a_while_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    clock, metrics = Clock(), SchedulerMetrics()
    reports = Unreachable(metrics, clock)
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            reports.report(ORIGIN)
            clock.now += 1
    assert [record.getMessage() for record in caplog.records] == ["a reader cannot reach o1"]
    assert reports.count(ORIGIN) == 5
    clock.now += SHOWN_S - 3
    assert reports.count(ORIGIN) == 3
    clock.now += SHOWN_S
    assert reports.count(ORIGIN) == 0
    assert metrics.registry.get_sample_value("scheduler_unreachable_total", {"origin": "o1"}) == 5


def test_what_was_said_of_origins_that_have_ended_is_not_kept() -> None:
    clock = Clock()
    reports = Unreachable(SchedulerMetrics(), clock)
    for start in range(100):
        reports.report(NodeId("o1", bytes([start] * 8)))
        clock.now += SHOWN_S / 2
    assert len(reports._reports) == len(reports._logged) == 3


def test_a_series_ends_with_its_origin_also_one_that_readers_report_afterwards() -> None:
    clock, metrics = Clock(), SchedulerMetrics()
    reports = Unreachable(metrics, clock)

    def value(name: str) -> float | None:
        return metrics.registry.get_sample_value("scheduler_unreachable_total", {"origin": name})

    reports.known(ORIGIN)
    assert value("o1") == 0
    reports.gone(ORIGIN)
    reports.gone(ORIGIN)
    assert value("o1") is None
    reports.report(ORIGIN)
    assert value("o1") == 1
    reports.known(NodeId("o2", bytes(8)))
    clock.now += 2 * SHOWN_S
    reports.report(NodeId("o2", bytes(8)))
    clock.now += 2 * SHOWN_S
    reports.report(NodeId("o2", bytes([1] * 8)))
    assert (value("o1"), value("o2")) == (None, 2), "that of a node that is there stays, whatever start of it was meant"
