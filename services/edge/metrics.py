"""What an edge counts. Base units; nothing is counted per player and unit: totals are read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from lalmesh.media import PassedOver
from lalmesh.runtime.authorisation import Reason
from lalmesh.runtime.durations import JOIN_BUCKETS_S
from lalmesh.runtime.listener import ListenerMetrics
from lalmesh.runtime.sessions import SessionRole
from lalmesh.runtime.zeroed import begin_at_zero
from services.edge.endings import Ending
from services.edge.entrance import Closed

FORMATS = ("flv", "ts", "fmp4")  #: `http_formats.FORMATS` by name, which stands above this
#: `Session.protocol` of those who may publish and play, by listener; and of those who only play.
PUBLISHING = {
    "rtmp": ("rtmp",),
    "rtmps": ("rtmps",),
    "rtsp": ("rtsp",),
    "rtsps": ("rtsps",),
    "ws_rtsp": ("ws-rtsp",),
    "https": ("wss-rtsp",),
}
PLAYING = {
    "http": tuple(f"{scheme}-{form}" for scheme in ("http", "ws") for form in FORMATS),
    "https": tuple(f"{scheme}-{form}" for scheme in ("https", "wss") for form in FORMATS),
}
#: Of what publishers and players are refused for: what has to do with more than the one who asks.
REFUSED_FOR = (*(closed.label for closed in Closed), *(reason.value for reason in Reason), "not found", "exists")
LOST_PACKET = "lost packet"
#: Why RTP packets of publishers gave no media.
PACKETS_IGNORED_FOR = (
    LOST_PACKET,
    "malformed packet",
    "other payload type",
    "other source",
    "time not after the one before",
    "broken unit",
    "unit before its configuration",
    "picture without reference",
    "picture too late to be shown",
)
RELAY_KINDS, RELAY_RESULTS = ("pull", "push"), ("started", "failed")


def clients_of(listener: str) -> list[tuple[str, str]]:
    """Protocol and role of those who may come by a listener; relays have the protocols of the servers that they go to."""
    publishing = PUBLISHING.get(listener, ())
    playing = (*publishing, *PLAYING.get(listener, ()))
    publishers, players = SessionRole.PUBLISHER.value, SessionRole.PLAYER.value
    return [*((protocol, publishers) for protocol in publishing), *((protocol, players) for protocol in playing)]


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
        self._seen: set[tuple[str, SessionRole]] = set()
        begin_at_zero(self.ignored_messages, [why.value for why in PassedOver])
        begin_at_zero(self.ignored_packets, PACKETS_IGNORED_FOR)
        begin_at_zero(self.relay_attempts, RELAY_KINDS, RELAY_RESULTS)

    def listens(self, listener: str) -> None:
        """Nobody has come by this listener yet."""
        clients = clients_of(listener)
        for counter in (self.sessions_opened, self.drained):
            for labels in clients:
                counter.labels(*labels)
        players = [protocol for protocol, role in clients if role == SessionRole.PLAYER.value]
        begin_at_zero(self.refused, players, REFUSED_FOR)
        begin_at_zero(self.join_seconds, players)  # the first comes within moments of the session's beginning

    def opened(self, protocol: str, role: SessionRole) -> None:
        """Count a session, which has not ended for any reason yet."""
        self.sessions_opened.labels(protocol, role.value).inc()
        if (protocol, role) not in self._seen:
            self._seen.add((protocol, role))
            begin_at_zero(self.sessions_closed, [protocol], [role.value], [ending.value for ending in Ending])

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
