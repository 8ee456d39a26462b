"""Metrics are written as the library writes them, from texts of labels that are made once."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric, UnknownMetricFamily
from prometheus_client.registry import Collector

from lalmesh.runtime.exposition import exposition
from services.edge.metrics import EdgeMetrics

VALUES = (0, 7, 1.5, -2, 1e7, 123_456_789.25, 1e300, math.inf, -math.inf, math.nan)


class _Odd(Collector):
    """What no metric of the library's own makes."""

    def collect(self) -> Iterable[Metric]:
        timed = GaugeMetricFamily("timed", "At a time.", labels=("a",))
        timed.add_metric(("x",), 1, timestamp=1_700_000_000.25)
        unknown = UnknownMetricFamily("unknown", "Of no type.", 3)
        unsorted = GaugeMetricFamily("unsorted", "Labels in another order.", labels=("b", "a"))
        unsorted.add_metric(("1", "2"), 3)
        return timed, unknown, unsorted


def test_every_sort_of_metric_is_written_as_by_the_library() -> None:
    registry = CollectorRegistry()
    gauge = Gauge("g", 'Help with \\ and\nlines and "quotes".', ("what",), registry=registry)
    for number, value in enumerate(VALUES):
        gauge.labels(str(number)).set(value)
    Counter("c", "Counted.", ("a", "b"), registry=registry).labels("é", 'x\n"\\').inc(3)
    Histogram("h_seconds", "Took.", ("a",), buckets=(0.1, 1.0, 1e7), registry=registry).labels("x").observe(0.5)
    Info("i", "Said.", registry=registry).info({"version": "1"})
    registry.register(_Odd())
    EdgeMetrics(registry)
    for _ in range(2):  # also from what was kept
        assert exposition(registry) == generate_latest(registry)


@given(st.lists(st.text(), min_size=1, unique=True), st.floats())
def test_whatever_labels_say_is_written_as_by_the_library(labels: list[str], value: float) -> None:
    registry = CollectorRegistry()
    gauge = Gauge("g", "Shown.", ("what",), registry=registry)
    for label in labels:
        gauge.labels(label).set(value)
    try:
        expected = generate_latest(registry)
    except UnicodeEncodeError:
        with pytest.raises(UnicodeEncodeError):
            exposition(registry)
    else:
        assert exposition(registry) == expected
