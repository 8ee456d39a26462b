"""What the scheduler counts, for Prometheus."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

CLAIM_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class SchedulerMetrics:
    """Counters and gauges of one scheduler replica."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Begin at zero, in `registry`, with whatever else the process counts, or in one of their own."""
        self.registry = CollectorRegistry() if registry is None else registry
        self.claims = Counter("scheduler_claims", "Claims answered, by result", ["result"], registry=self.registry)
        self.moves = Counter("scheduler_moves", "Moves answered, by result", ["result"], registry=self.registry)
        self.locates = Counter("scheduler_locates", "Wanted streams answered, by result", ["result"], registry=self.registry)
        self.releases = Counter("scheduler_releases", "Claims and groups given back, by result", ["result"], registry=self.registry)
        self.hls_locates = Counter("scheduler_hls_locates", "Owners of HLS wanted, by result", ["result"], registry=self.registry)
        self.hls_limits = Counter(
            "scheduler_hls_limits", "Limits of HLS to be raised, by result", ["result"], registry=self.registry
        )
        self.hls_releases = Counter("scheduler_hls_releases", "HLS given back, by result", ["result"], registry=self.registry)
        self.hls_successions = Counter(
            "scheduler_hls_successions", "Streams that went on at another hls node, or to rest, unasked", registry=self.registry
        )
        self.http_busy = Counter("scheduler_http_busy", "Requests that too many others were under way for", registry=self.registry)
        self.session_failures = Counter(
            "scheduler_session_failures", "Calls that the session directory did not answer", registry=self.registry
        )
        self.kicks = Counter("scheduler_kicks", "Sessions that nodes were told to end", registry=self.registry)
        self.peer_failures = Counter("scheduler_peer_failures", "Questions other replicas did not answer", registry=self.registry)
        self.terms = Counter("scheduler_terms", "Terms made or raised by this replica", registry=self.registry)
        self.reclaims = Counter("scheduler_reclaims", "Re-claims answered, by result", ["result"], registry=self.registry)
        self.heirs_named = Counter("scheduler_heirs_named", "Heirs named for groups whose own is gone", registry=self.registry)
        self.planned_moves = Counter("scheduler_planned_moves", "Groups moved off origins that drain", registry=self.registry)
        self.unreachable = Counter(
            "scheduler_unreachable", "Readers that could not reach an origin, by origin", ["origin"], registry=self.registry
        )
        self.routes = Counter("scheduler_routes", "Routes asked for, by result", ["purpose", "result"], registry=self.registry)
        self.evictions = Counter("scheduler_evictions", "Nodes told that they are no members any more", registry=self.registry)
        self.relay_changes = Counter("scheduler_relay_changes", "Relays begun, moved and ended", ["change"], registry=self.registry)
        self.relay_refusals = Counter("scheduler_relay_refusals", "Relays that rules ask for and cannot be", registry=self.registry)
        self.claim_seconds = Histogram(
            "scheduler_claim_seconds", "Time to answer one claim", buckets=CLAIM_BUCKETS_S, registry=self.registry
        )

    def watch(
        self,
        nodes: Callable[[], Iterable[tuple[str, str]]],
        streams: Callable[[], int],
        segmented: Callable[[], int],
        settling: Callable[[], bool],
    ) -> None:
        """Read (role, state) of every node, the numbers of streams, and whether the cluster settles, when metrics are asked for."""
        self.registry.register(_Gauges(nodes, streams, segmented, settling))

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)


class _Gauges(Collector):
    def __init__(
        self,
        nodes: Callable[[], Iterable[tuple[str, str]]],
        streams: Callable[[], int],
        segmented: Callable[[], int],
        settling: Callable[[], bool],
    ) -> None:
        self._settling = settling
        self._nodes = nodes
        self._streams = streams
        self._segmented = segmented

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Count now."""
        nodes = GaugeMetricFamily("scheduler_nodes", "Nodes whose lease lives, by role and state", labels=["role", "state"])
        for (role, state), count in sorted(Tally(self._nodes()).items()):
            nodes.add_metric([role, state], count)
        yield nodes
        yield GaugeMetricFamily("scheduler_streams", "Streams with a claim or a group", self._streams())
        yield GaugeMetricFamily("scheduler_hls_streams", "Streams that an hls node segments", self._segmented())
        yield GaugeMetricFamily("scheduler_settling", "1 while first claims wait for nodes to come back", int(self._settling()))
