"""What is counted of decisions."""

from __future__ import annotations

from collections.abc import Iterable

import prometheus_client
from prometheus_client import CollectorRegistry

from lalmesh.runtime.authorisation._request import Action, Family
from lalmesh.runtime.authorisation._verdict import Reason
from lalmesh.runtime.zeroed import begin_at_zero

ALLOWED = "allowed"  #: what becomes of a request, beside the reasons why it is refused
_PUBLISHED = frozenset({Family.RTMP, Family.RTSP})  # the others only come out
CALLBACK_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class AccessMetrics:
    """The metrics of one role."""

    def __init__(self, role: str, registry: CollectorRegistry, families: Iterable[Family] = Family) -> None:
        """Register with `registry`, under names that begin with `role`; it is asked about streams of these `families`."""
        self.decisions = prometheus_client.Counter(
            f"{role}_access_decisions",
            "Requests to publish or play, by what became of them.",
            ("action", "protocol", "result"),
            registry=registry,
        )
        results, asked = (ALLOWED, *(reason.value for reason in Reason)), set(families)
        begin_at_zero(self.decisions, [Action.PLAY.value], sorted(family.value for family in asked), results)
        begin_at_zero(self.decisions, [Action.PUBLISH.value], sorted(family.value for family in asked & _PUBLISHED), results)
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
        self.keys_outdated = prometheus_client.Gauge(
            f"{role}_access_keys_outdated",
            "1 while the key set of tokens cannot be fetched: what was fetched before holds on, newer keys are not known.",
            registry=registry,
        )
