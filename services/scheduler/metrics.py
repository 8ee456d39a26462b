"""What the scheduler counts, for Prometheus."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from lalmesh.runtime.scheduling.model import Refusal, Role
from lalmesh.runtime.zeroed import begin_at_zero

ROLES = tuple(role.value for role in Role)
STATES = ("joined", "draining", "away")  #: as `Directory.state_of` has them
ANSWERS = ("granted", *(refusal.value for refusal in Refusal))  #: of claims and the like
GIVEN_BACK, RAISED, RELAY_CHANGES = ("released", "not_held"), ("raised", "not_held"), ("begin", "move", "end")
CLAIM_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class NodeCount(NamedTuple):
    """A node as metrics count it."""

    role: str
    state: str
    has_room: bool  #: whether it reports here, and something new may be given to it


class Census(NamedTuple):
    """How the cluster stands, as one replica knows it."""

    nodes: Collection[NodeCount]
    replicas: int  #: schedulers that stand
    streams: int  #: with a claim or a group
    segmented: int  #: streams that an hls node has
    unsegmented: int  #: streams that one is to have, and none has
    settling: bool  #: whether first claims wait


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
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        for answered in (self.claims, self.reclaims, self.moves, self.locates, self.hls_locates):
            begin_at_zero(answered, ANSWERS)
        for released in (self.releases, self.hls_releases):
            begin_at_zero(released, GIVEN_BACK)
        begin_at_zero(self.hls_limits, RAISED)
        begin_at_zero(self.relay_changes, RELAY_CHANGES)

    def watch(self, census: Callable[[], Census]) -> None:
        """Read how the cluster stands when metrics are asked for."""
        self.registry.register(_Gauges(census))

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)


class _Gauges(Collector):
    def __init__(self, census: Callable[[], Census]) -> None:
        self._census = census

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Count now."""
        now = self._census()
        yield from _of_nodes(now.nodes)
        yield GaugeMetricFamily("scheduler_replicas", "Schedulers that stand, by their leases", now.replicas)
        yield GaugeMetricFamily("scheduler_streams", "Streams with a claim or a group", now.streams)
        yield GaugeMetricFamily("scheduler_hls_streams", "Streams that an hls node segments", now.segmented)
        text = "Streams that are to be segmented, asked for or not, and could be given to no hls node when that was tried last"
        yield GaugeMetricFamily("scheduler_hls_waiting_streams", text, now.unsegmented)
        yield GaugeMetricFamily("scheduler_settling", "1 while first claims wait for nodes to come back", int(now.settling))


def _of_nodes(found: Collection[NodeCount]) -> Iterable[GaugeMetricFamily]:
    nodes = GaugeMetricFamily("scheduler_nodes", "Nodes whose lease lives, by role and state", labels=["role", "state"])
    room = GaugeMetricFamily(
        "scheduler_nodes_with_room",
        "Nodes that report to this replica and that something new may be given to, by role",
        labels=["role"],
    )
    states, roomy = Tally((node.role, node.state) for node in found), Tally(node.role for node in found if node.has_room)
    for role in ROLES:
        for state in STATES:  # also those that nobody is in: what comes and goes would hide its first time from Prometheus
            nodes.add_metric([role, state], states[role, state])
        room.add_metric([role], roomy[role])
    yield from (nodes, room)
