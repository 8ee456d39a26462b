"""What is counted of decisions."""

from __future__ import annotations

import prometheus_client
from prometheus_client import CollectorRegistry

CALLBACK_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class AccessMetrics:
    """The metrics of one role."""

    def __init__(self, role: str, registry: CollectorRegistry) -> None:
        """Register with `registry`, under names that begin with `role`."""
        self.decisions = prometheus_client.Counter(
            f"{role}_access_decisions",
            "Requests to publish or play, by what became of them.",
            ("action", "protocol", "result"),
            registry=registry,
        )
        self.callback_seconds = prometheus_client.Histogram(
            f"{role}_access_callback_seconds",
            "How long the callback took to answer.",
            buckets=CALLBACK_BUCKETS_S,
            registry=registry,
        )
        self.callback_failures = prometheus_client.Counter(
            f"{role}_access_callback_failures", "Questions that the callback did not answer.", registry=registry
        )
        self.callback_busy = prometheus_client.Counter(
            f"{role}_access_callback_busy", "Questions that did not come to be asked: too many were.", registry=registry
        )
        self.callback_open = prometheus_client.Gauge(
            f"{role}_access_callback_open", "1 while the callback is let be because it does not answer.", registry=registry
        )
        self.key_fetch_failures = prometheus_client.Counter(
            f"{role}_access_key_fetch_failures", "Times that the key set of tokens could not be fetched.", registry=registry
        )
