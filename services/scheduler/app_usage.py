"""What the streams of each application with limits use in the whole cluster: added up, and told to the edges of this replica."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from lalmesh.names import StreamKey
from lalmesh.runtime.authorisation import AppLimit, limit_of
from lalmesh.runtime.scheduling import Role
from lalmesh.runtime.scheduling.control import MAX_APPS, AppFigures, AppUsage
from lalmesh.runtime.scheduling.model import MAX_ITEMS
from services.scheduler.changes import Change, ClaimChanged
from services.scheduler.members import Session
from services.scheduler.peers import Peers, StreamFigures
from services.scheduler.records import ClaimRecord
from services.scheduler.service import SchedulerService

log = logging.getLogger(__name__)

INTERVAL_S = 1.0  #: as edges report; what is told is at most some two seconds old


class AppUsagePart:
    """A `ControlPart`. Without limits it does nothing."""

    def __init__(self, service: SchedulerService, peers: Peers, limits: Sequence[AppLimit]) -> None:
        """Add up for the applications that `limits` match, from what `peers` report."""
        self.limits = tuple(limits)
        self._service = service
        self._peers = peers
        self._publishers: Counter[str] = Counter()
        service.ownership.closed = self._closed

    async def run(self) -> None:
        """See `ControlPart.run`."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            if not self.limits:
                continue
            try:
                self._tell(await self._usage())
            except Exception:  # a bug with one stream must not end what all edges need
                log.exception("what applications use cannot be told")

    def handle(self, change: Change) -> None:
        """See `ControlPart.handle`."""
        match change:
            case ClaimChanged(before=None, now=ClaimRecord(stream=stream)):
                self._publishers[stream.app] += 1
            case ClaimChanged(before=ClaimRecord(stream=stream), now=None):
                self._publishers[stream.app] -= 1
                if not self._publishers[stream.app]:
                    del self._publishers[stream.app]  # a counter keeps what is zero, and names of applications have no end
            case _:
                pass

    def joined(self, session: Session) -> None:
        """See `ControlPart.joined`."""

    def reported(self, session: Session) -> None:
        """See `ControlPart.reported`."""

    def _closed(self, stream: StreamKey) -> str:
        """Why nobody new may publish in the application: those who do are counted by claims, as soon as the registry tells."""
        limit = limit_of(self.limits, stream.app)
        if limit is None or not 0 < limit.publishers <= self._publishers[stream.app]:
            return ""
        return f"{stream.app} has {limit.publishers} publishers"

    async def _usage(self) -> AppUsage:
        figures: dict[str, AppFigures] = {}
        streams = [stream for stream in self._service.directory.streams() if limit_of(self.limits, stream.app) is not None]
        for first in range(0, len(streams), MAX_ITEMS):
            page = streams[first : first + MAX_ITEMS]
            for stream, reported in zip(page, await self._peers.of(page), strict=True):
                before = figures.get(stream.app, AppFigures(app=stream.app))
                figures[stream.app] = self._added(before, stream, reported)
        return AppUsage(tuple(figures.values())[:MAX_APPS])

    def _added(self, before: AppFigures, stream: StreamKey, reported: StreamFigures) -> AppFigures:
        players = reported.players or 0
        bitrate_bps = max((each.held.bitrate_bps for each in reported.held if each.held.published), default=0)
        has_publisher = self._service.directory.claim(stream) is not None
        return replace(
            before,
            publishers=before.publishers + has_publisher,
            players=before.players + players,
            egress_bps=before.egress_bps + players * bitrate_bps,
        )

    def _tell(self, usage: AppUsage) -> None:
        for session in self._edges():
            session.send(usage)

    def _edges(self) -> Iterable[Session]:
        return (session for session in self._service.members if session.report.role is Role.EDGE)
