"""Where those may go whom an edge does not let in, since it drains or is full."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from lalmesh.runtime.scheduling.model import Endpoint, Load, NodeReport, Role
from services.scheduler.directory import Directory
from services.scheduler.edges import usage_of
from services.scheduler.expected import Coming
from services.scheduler.records import NodeRecord
from services.scheduler.wholes import Wholes

MAX_EDGES = 8  #: that are named: they share what one edge has, and each is in every answer to its reports
NEARLY_FULL = 0.9  #: of its sessions, from which on an edge is told of others: it may be full before its next report
KEPT_S = 0.5  #: for so long the same ones are named: where one edge is nearly full most are, and each asks each second


class Elsewhere:
    """Knows the least used edges."""

    def __init__(self, directory: Directory, clock: Callable[[], float]) -> None:
        """Name those of `directory`; `clock` gives seconds that do not step."""
        self._directory = directory
        self._clock = clock
        self._wholes = Wholes()
        self._least_used: list[NodeRecord] = []
        self._until = float("-inf")

    def for_edge(self, report: NodeReport) -> tuple[Endpoint, ...]:
        """What an edge is told that says `report` of itself: every listener of some others, where it needs that."""
        limit = report.capacity.sessions
        if report.draining or 0 < limit * NEARLY_FULL <= report.load.sessions:
            drain = self._directory.cluster.drain(report.node.node)
            leaves_others = bool(report.worker_of) and drain is not None and not drain.all_workers  # at ports that it has left
            return self.besides("" if leaves_others else report.worker_of or report.node.node.name)
        return ()

    def besides(self, name: str) -> tuple[Endpoint, ...]:
        """Every listener of the edges that take sessions, of the least used `MAX_EDGES`, never of the edge `name` or its workers.

        The registry may not say yet that this one drains.
        """
        now = self._clock()
        if now >= self._until:
            self._least_used, self._until = self._rank(), now + KEPT_S
        others = [whole for whole in self._least_used if whole.node.name != name and self._lets_in(whole)]
        return tuple(endpoint for whole in others[:MAX_EDGES] for endpoint in whole.endpoints)

    def _rank(self) -> list[NodeRecord]:
        loads = self._directory.offers.loads
        edges = [record for record in self._directory.nodes() if record.role is Role.EDGE and self._takes_clients(record)]
        wholes = self._wholes = Wholes(edges)

        def load_of(record: NodeRecord) -> Load:
            return loads.of(record.node) or record.load

        used = [(usage_of(each.capacity, wholes.load(each, load_of), Coming()), each) for each in wholes.records]
        least = heapq.nsmallest(MAX_EDGES + 1, [each for each in used if not each[0].is_full], key=lambda each: each[0].share)
        return [whole for _, whole in least]

    def _lets_in(self, whole: NodeRecord) -> bool:
        return any(map(self._takes_clients, self._wholes.parts(whole.node)))

    def _takes_clients(self, record: NodeRecord) -> bool:
        known = self._directory.node(record.node)
        return known is not None and self._directory.state_of(known) == "joined"
