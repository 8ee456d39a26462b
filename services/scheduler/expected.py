"""Sessions that are on their way to edges: routed there, and in no report yet. A pure core.

Requests for routes come faster than reports. So a route counts for its edge from the moment that it is given, until a report says
that one more session has come, or the route is no longer worth anything: whoever has not come by then is not expected any more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from lalmesh.runtime.ownership import NodeId

EXPECTED_S = 5.0  #: the lifetime of a route: clients connect within it, and reports come each second
STEP_S = 0.25  #: what is routed within this is counted together: 20 counts an edge, however much is asked


class Coming(NamedTuple):
    """What is on its way to an edge."""

    sessions: int = 0
    plays: int = 0  #: those of them that will have something sent to them


@dataclass(slots=True)
class _Step:
    until: float
    sessions: int
    plays: int


@dataclass(slots=True)
class _Edge:
    steps: deque[_Step] = field(default_factory=deque)
    sessions: int = 0
    plays: int = 0
    opened: int | None = None  # sessions that had come by its last report

    def take(self, sessions: int) -> None:
        """So many of the oldest have come."""
        while self.steps and sessions:
            oldest = self.steps[0]
            taken = min(sessions, oldest.sessions)
            plays = min(taken, oldest.plays)
            oldest.sessions, oldest.plays = oldest.sessions - taken, oldest.plays - plays
            self.sessions, self.plays, sessions = self.sessions - taken, self.plays - plays, sessions - taken
            if not oldest.sessions:
                self.steps.popleft()

    def expire(self, now: float) -> None:
        while self.steps and self.steps[0].until <= now:
            gone = self.steps.popleft()
            self.sessions, self.plays = self.sessions - gone.sessions, self.plays - gone.plays


class Expected:
    """What is on its way, by edge. `now` is any clock in seconds that does not step."""

    def __init__(self) -> None:
        """Expect nobody."""
        self._edges: dict[NodeId, _Edge] = {}

    def add(self, node: NodeId, now: float, *, plays: bool) -> None:
        """Somebody was sent to an edge, to play there or to publish."""
        edge = self._edges.setdefault(node, _Edge())
        if not edge.steps or edge.steps[-1].until - EXPECTED_S + STEP_S <= now:
            edge.steps.append(_Step(now + EXPECTED_S, 0, 0))
        last = edge.steps[-1]
        last.sessions, last.plays = last.sessions + 1, last.plays + plays
        edge.sessions, edge.plays = edge.sessions + 1, edge.plays + plays

    def reported(self, node: NodeId, opened: int) -> None:
        """An edge says how many sessions have come since its start, whoever has gone meanwhile."""
        edge = self._edges.get(node)
        if edge is None:
            self._edges[node] = _Edge(opened=opened)
        elif edge.opened is None:
            edge.opened = opened
        elif opened > edge.opened:  # by whichever way a replica hears of it, an older one may come behind
            edge.take(opened - edge.opened)
            edge.opened = opened

    def keep(self, nodes: Collection[NodeId]) -> None:
        """Forget all edges but these."""
        self._edges = {node: edge for node, edge in self._edges.items() if node in nodes}

    def of(self, node: NodeId, now: float) -> Coming:
        """What is on its way to an edge."""
        edge = self._edges.get(node)
        if edge is None:
            return Coming()
        edge.expire(now)
        return Coming(edge.sessions, edge.plays)
