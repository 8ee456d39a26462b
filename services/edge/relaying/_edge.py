"""What relays need of their edge."""

from __future__ import annotations

import random
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from pathlib import Path

from lalmesh.client import ClientOptions
from lalmesh.container.flv import BodyMuxer
from lalmesh.relay_path import MAX_CLUSTERS
from lalmesh.runtime.dialled import dialled
from lalmesh.runtime.scheduling import RelayJob
from services.edge.client import Client
from services.edge.client_events import ClientEvents
from services.edge.fanout import FanOutSettings
from services.edge.metrics import EdgeMetrics
from services.edge.publisher import Publishers
from services.edge.relay import Relays
from services.edge.relaying._attempts import RetrySettings
from services.edge.session import Session, Sessions

CONNECT_S = 5.0  #: for a name, TCP and TLS; never more than the relay has to start
STALL_S = 10.0  #: without a message of a source, or room at a target: as players of lal's own client have it


@dataclass(slots=True, frozen=True, kw_only=True)
class RelayingSettings:
    """How relays are run."""

    retry: RetrySettings = field(default_factory=RetrySettings)
    start_timeout_s: float = 10.0  #: where the scheduler says nothing
    stall_s: float = STALL_S
    fanout: FanOutSettings = field(default_factory=FanOutSettings)
    denied: Container[str] = ()  #: addresses that are not dialled
    cluster_mark: str = ""  #: what this cluster is called in relay paths


@dataclass(slots=True, frozen=True, kw_only=True)
class RelayingEdge:
    """The edge."""

    publishers: Publishers
    relays: Relays
    sessions: Sessions
    events: ClientEvents
    metrics: EdgeMetrics
    body_muxer: Callable[[], BodyMuxer]
    settings: RelayingSettings
    rng: random.Random = field(default_factory=random.Random)

    def start_timeout_s(self, job: RelayJob) -> float:
        """From the dial to the first media."""
        return job.start_timeout_ms / 1000 or self.settings.start_timeout_s

    def options(self, job: RelayJob) -> ClientOptions:
        """How a relay dials."""
        start_s = self.start_timeout_s(job)
        return ClientOptions(
            connect_timeout_s=min(CONNECT_S, start_s),
            handshake_timeout_s=start_s,
            first_media_timeout_s=start_s,
            stall_timeout_s=self.settings.stall_s,
            verify=job.verify_tls,
            ca_file=Path(job.ca_file) if job.ca_file else None,
            denied=self.settings.denied,
            rtsp_transport="udp" if job.rtsp_udp else "tcp",
            via=(self.settings.cluster_mark, *(each for each in job.via if each != self.settings.cluster_mark))[:MAX_CLUSTERS],
        )


def client_at(url: str, job: RelayJob) -> Client:
    """The other side of a relay as the client of its session, which is called as the relay is: one at a time."""
    server = dialled(url, job.stream.name, is_push=job.is_push)
    return Client(protocol=server.protocol, address=server.host, peer=server.peer, url=server.url, session_id=job.id)


Started = Callable[[Session], None]
"""Hears that media flow, and under which session."""
