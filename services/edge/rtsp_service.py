"""What all RTSP connections of an edge share, whichever port they come to."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Protocol

from lalmesh.runtime.each_alone import for_each_alone
from services.edge.metrics import EdgeMetrics
from services.edge.player import EdgeContext
from services.edge.rtp_ports import RtpPorts
from services.edge.rtsp_auth import RtspAuth
from services.edge.rtsp_link import RtspLink, RtspPlayer, RtspSettings


class Swept(Protocol):
    """A connection, as the deadlines see it."""

    def sweep(self, now_s: float) -> None:
        """Called once a second."""
        ...


class RtspService:
    """One for an edge."""

    def __init__(
        self,
        context: EdgeContext,
        settings: RtspSettings,
        metrics: EdgeMetrics,
        player: Callable[[RtspLink], RtspPlayer],
        *,
        silence_s: float,
    ) -> None:
        """Prepare.

        Args:
            context: of the edge.
            settings: how RTSP is spoken.
            metrics: of the edge.
            player: makes the player of a connection.
            silence_s: a publisher that sends no media for so long is closed.
        """
        self.context = context
        self.settings = settings
        self.metrics = metrics
        self.player = player
        self.silence_s = silence_s
        self.loop = asyncio.get_running_loop()
        self.ports = RtpPorts(settings.udp)
        self.auth = RtspAuth(settings.auth, os.urandom(32))
        self._connections: set[Swept] = set()

    def add(self, connection: Swept) -> None:
        """A client has come."""
        self._connections.add(connection)

    def remove(self, connection: Swept) -> None:
        """A client has gone."""
        self._connections.discard(connection)

    def sweep(self) -> None:
        """Call once a second."""
        now_s = self.loop.time()
        for_each_alone(self._connections, lambda connection: connection.sweep(now_s), "RTSP connection could not be looked at")

    def close(self) -> None:
        """Give the shared ports back, once every connection is gone."""
        self.ports.close()
