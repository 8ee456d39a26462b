"""What is counted of deliveries."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from lalmesh.runtime.zeroed import begin_at_zero

DELAY_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 86_400.0)


class NotifyMetrics:
    """Counters and gauges of one replica's deliveries."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Begin at zero, in `registry`."""
        names = ["receiver"]
        self.delay = Histogram(
            "scheduler_webhook_delay_seconds",
            "From what happened to the receiver's answer",
            names,
            buckets=DELAY_BUCKETS_S,
            registry=registry,
        )
        self.attempts = Counter("scheduler_webhook_attempts", "Requests, by result", [*names, "result"], registry=registry)
        self.dead = Counter("scheduler_webhook_dead_letters", "Events given up", names, registry=registry)
        self.lost = Counter(
            "scheduler_webhook_lost", "Events that were trimmed before a receiver had them", names, registry=registry
        )
        self._backlog = Gauge("scheduler_webhook_backlog", "Events that a receiver has yet to get", names, registry=registry)
        self.appended = Counter("scheduler_events", "Events told to the log, by result", ["result"], registry=registry)
        begin_at_zero(self.appended, ("kept", "failed"))
        self._dropped = Counter(
            "scheduler_event_log_dropped",
            "Events that went, read or not, as others appended by this replica took a shard over its bounds",
            registry=registry,
        )
        self._dropped_before = 0
        self.logged = Gauge("scheduler_event_log_events", "Events in the shards that this replica delivers", registry=registry)

    def begin(self, receiver: str) -> None:
        """Show what is counted of a receiver before anything is told to it."""
        for metric in (self.dead, self.lost, self.delay):
            begin_at_zero(metric, [receiver])
        begin_at_zero(self.attempts, [receiver], ("taken", "failed"))

    def show_backlog(self, by_receiver: Mapping[str, int]) -> None:
        """So many events are yet to be got by each receiver; one that is not told any more has none."""
        self._backlog.clear()
        for name, count in by_receiver.items():
            self._backlog.labels(name).set(count)

    def count_dropped(self, in_all: int) -> None:
        """The log has dropped so many since it was built."""
        self._dropped.inc(in_all - self._dropped_before)
        self._dropped_before = in_all
