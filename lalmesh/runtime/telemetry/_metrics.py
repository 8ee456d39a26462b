"""What became of spans, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from lalmesh.runtime.telemetry._tracing import counters


class TraceCollector(Collector):
    """Tells of the spans of this process at each scrape; all are 0 where tracing is off."""

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance."""
        return []

    def collect(self) -> Iterable[Metric]:
        """What there is now."""
        seen = counters()
        yield GaugeMetricFamily("telemetry_waiting_spans", "Spans that wait to be sent.", seen.waiting)
        yield CounterMetricFamily("telemetry_exported_spans", "Spans that the collector has taken.", seen.exported)
        lost = CounterMetricFamily("telemetry_lost_spans", "Spans that never got there.", labels=("reason",))
        lost.add_metric(("queue_full",), seen.lost_full)
        lost.add_metric(("export_failed",), seen.lost_failed)
        yield lost
