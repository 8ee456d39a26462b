"""What is told of a session's beginning and end: how long a player waited for its first media, and why it is over."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from support.virtual_time import in_virtual_time

from lalmesh.names import StreamKey
from lalmesh.runtime.sessions import SessionRole
from services.edge.client import Client, now_us
from services.edge.metrics import EdgeMetrics
from services.edge.session import Session, SessionMedia, Sessions

CAM = StreamKey.of("live", "cam")


class Edge:
    """Its sessions, and what it counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        metrics = EdgeMetrics(self.registry)
        metrics.listens("rtmp")
        self.sessions = Sessions(metrics)

    def opened(self, role: SessionRole = SessionRole.PLAYER, waited_us: int = 0) -> Session:
        client = Client(protocol="rtmp", address="192.0.2.1", peer="192.0.2.1:9", asked_us=now_us() - waited_us)
        return self.sessions.open(client, role, CAM, lambda _: None)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    @property
    def joins(self) -> float | None:
        return self.value("edge_join_seconds_count", protocol="rtmp")


@in_virtual_time
async def test_the_first_media_of_a_player_is_counted_once_from_its_request_on() -> None:
    edge = Edge()
    session = edge.opened(waited_us=2_000_000)
    edge.sessions.sweep()
    assert edge.joins == 0  # what shows only once it has happened hides its first time from Prometheus
    assert edge.value("edge_sessions_closed_total", protocol="rtmp", role="player", reason="too_slow") == 0
    first = SessionMedia(first_us=session.client.asked_us + 1_500_000)
    session.media = lambda: first
    edge.sessions.sweep()
    edge.sessions.sweep()
    edge.sessions.closed(session, "closed by the peer")
    assert edge.joins == 1
    assert edge.value("edge_join_seconds_sum", protocol="rtmp") == 1.5


@in_virtual_time
async def test_a_player_that_cannot_be_looked_at_keeps_no_other_from_being_counted() -> None:
    edge = Edge()
    broken, session = edge.opened(), edge.opened()
    broken.media = lambda: [].pop()
    session.media = lambda: SessionMedia(first_us=now_us())
    edge.sessions.sweep()
    assert edge.joins == 1


@in_virtual_time
async def test_a_player_that_has_gone_before_anybody_looked_is_counted_too() -> None:
    edge = Edge()
    session = edge.opened()
    session.media = lambda: SessionMedia(first_us=now_us())
    edge.sessions.closed(session, "closed by the peer")
    assert edge.joins == 1


@in_virtual_time
async def test_one_that_never_got_anything_and_a_publisher_do_not_join() -> None:
    edge = Edge()
    edge.sessions.closed(edge.opened(), "live/cam: nobody published it within 10 s")
    publisher = edge.opened(SessionRole.PUBLISHER)
    publisher.media = lambda: SessionMedia(first_us=now_us())
    edge.sessions.sweep()
    assert not edge.joins
    assert edge.value("edge_sessions_closed_total", protocol="rtmp", role="player", reason="no_stream") == 1


@in_virtual_time
async def test_one_that_was_kicked_counts_as_that_whatever_was_said() -> None:
    edge = Edge()
    session = edge.opened()
    session.was_kicked = True
    edge.sessions.closed(session, "silent for the wrong reasons")
    assert edge.value("edge_sessions_closed_total", protocol="rtmp", role="player", reason="kicked") == 1
