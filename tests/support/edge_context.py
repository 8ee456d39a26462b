"""What the listeners of an edge work with, around a scheduler and links that tests drive."""

from __future__ import annotations

from lalmesh.runtime.fences import Fences
from services.edge.client_events import ClientEvents
from services.edge.metrics import EdgeMetrics
from services.edge.player import EdgeContext
from services.edge.publication import PublicationSettings
from services.edge.publisher import Publishers
from services.edge.relay import Relays, RelaySettings
from services.edge.session import Sessions
from support.edge_fakes import EDGE, FakeLinks, FakeScheduler


def edge_context(
    metrics: EdgeMetrics,
    scheduler: FakeScheduler,
    links: FakeLinks,
    relay: RelaySettings | None = None,
    *,
    wait_publisher_s: float = 0.1,
    claim_timeout_s: float = 1.0,
    take_over: bool = False,
    events: ClientEvents | None = None,
) -> EdgeContext:
    """An edge that nobody publishes to or plays from yet."""
    fences = Fences()
    publishers = Publishers(
        EDGE, scheduler, links, PublicationSettings(), take_over=take_over, claim_timeout_s=claim_timeout_s, fences=fences
    )
    return EdgeContext(
        publishers=publishers,
        relays=Relays(scheduler, links, relay or RelaySettings(), fences, publishers.location),
        sessions=Sessions(metrics),
        wait_publisher_s=wait_publisher_s,
        player_sndbuf_bytes=96 << 10,
        max_message_bytes=8 << 20,
        hevc="enhanced",
        match_app=True,
        chunk_size=60_000,
        events=events or ClientEvents(),
    )
