"""HLS on an edge: what asks hls nodes, and what counts players."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client.core import Metric

from lalmesh.runtime.hls_sessions import PlayerReports, Players, SessionIds
from lalmesh.runtime.member import Member
from lalmesh.runtime.scheduling import SchedulerClient
from services.edge.events import EdgeEvents
from services.edge.hls_client import HlsClient, HlsProxySettings
from services.edge.hls_counting import HlsCounting
from services.edge.totals import totals_of_proxy
from services.edge.upstreams import Upstream


@dataclass(slots=True, frozen=True, kw_only=True)
class HlsCountSettings:
    """How players are counted."""

    ids: SessionIds | None = None  #: None: by nobody, or by hls nodes
    idle_s: float = 30.0  #: without a request after which a player has left


class EdgeHls:
    """HLS of one edge. Made where a loop runs: run `run` as a task; `close` ends it."""

    def __init__(
        self, settings: HlsProxySettings, counted: HlsCountSettings, member: Member, scheduler: SchedulerClient, events: EdgeEvents
    ) -> None:
        """Ask the hls nodes that `settings` names, else those that `member` knows; tell `scheduler` and `events` of players."""
        self._settings = settings
        self._member = member
        clock = asyncio.get_running_loop().time
        self.client = HlsClient(self._upstreams, settings, clock)
        self.players = Players(counted.idle_s, clock)
        self.players.watcher = events.players
        events.players_again = self.players.again
        self.counting = HlsCounting(counted.ids, self.players, clock) if counted.ids is not None else None
        self.reports = PlayerReports(self.players, scheduler, lambda: member.address)

    async def run(self) -> None:
        """Tell of players without end."""
        await self.reports.run()

    def _upstreams(self) -> tuple[Upstream, ...]:
        """The hls nodes: as configured, else those that the scheduler named last."""
        if self._settings.upstreams:
            return tuple(map(Upstream.parse, self._settings.upstreams))
        return tuple(Upstream(node.node, node.host, node.port) for node in self._member.hls)

    def collect(self) -> Iterable[Metric]:
        """What it counts, as metrics."""
        yield from totals_of_proxy(self.client.counters, len(self.players))
        yield from self.players.times.metrics("edge_hls")

    async def close(self) -> None:
        """End every request."""
        await self.client.close()
