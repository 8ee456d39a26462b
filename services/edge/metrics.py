"""What an edge counts. Base units; nothing is counted per player and unit: totals are read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from lalmesh.runtime.listener import ListenerMetrics

JOIN_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class EdgeMetrics(ListenerMetrics):
    """The counters of one edge, and a reader of what its parts count themselves."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register with `registry`."""
        super().__init__("edge", registry)
        self._registry = registry
        labels = ("protocol", "role")
        self.sessions_opened = Counter("edge_sessions_opened", "Sessions begun.", labels, registry=registry)
        self.sessions_closed = Counter("edge_sessions_closed", "Sessions ended, by why.", (*labels, "reason"), registry=registry)
        self.drained = Counter("edge_drained_sessions", "Sessions that a drain closed at its end.", labels, registry=registry)
        self.refused = Counter(
            "edge_refused", "Publishers and players that were refused.", ("protocol", "reason"), registry=registry
        )
        self.ignored_messages = Counter(
            "edge_ignored_messages", "Messages of publishers that gave no media.", ("reason",), registry=registry
        )
        self.ignored_packets = Counter(
            "edge_ignored_packets", "RTP packets of publishers that were lost or gave no media.", ("reason",), registry=registry
        )
        self.relay_attempts = Counter("edge_relay_attempts", "Attempts at relays.", ("kind", "result"), registry=registry)
        self.session_report_failures = Counter(
            "edge_session_report_failures", "Times that the scheduler did not take in which sessions are here.", registry=registry
        )
        self.join_seconds = Histogram(
            "edge_join_seconds",
            "From a player's request to its first media.",
            ("protocol",),
            buckets=JOIN_BUCKETS_S,
            registry=registry,
        )
        self.clock_jumps = Counter("edge_clock_jumps", "Times that a publisher's clock jumped and was mended.", registry=registry)

    def read_from(self, read: Callable[[], Iterable[Metric]]) -> None:
        """Ask `read` at each scrape."""
        self._registry.register(_Reader(read))


class _Reader(Collector):
    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """What there is now."""
        return self._read()

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance."""
        return []
