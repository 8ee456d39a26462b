"""Sessions and players of HLS that are on their way to edges: routed there, and in no report yet. A pure core.

Requests for routes come faster than reports. So a route counts for its edge from the moment that it is given, until a report says
that one more session has come, or the route is no longer worth anything: whoever has not come by then is not expected any more.
A player of HLS never comes as a session: what is sent to it counts until then, and no session. Of whom it may be doubted that they
come, they are counted apart.
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
    plays: int = 0  #: that will have something sent to them: those of them that play, and players of HLS


NOBODY = Coming()


@dataclass(slots=True)
class _Step:
    until: float
    sessions: int = 0
    plays: int = 0  # with a session
    viewers: int = 0  # of HLS


@dataclass(slots=True)
class _Tally:
    steps: deque[_Step] = field(default_factory=deque)
    sessions: int = 0
    plays: int = 0
    viewers: int = 0

    def add(self, now: float, *, plays: bool, as_session: bool) -> None:
        if not self.steps or self.steps[-1].until - EXPECTED_S + STEP_S <= now:
            self.steps.append(_Step(now + EXPECTED_S))
        last = self.steps[-1]
        if not as_session:
            last.viewers, self.viewers = last.viewers + 1, self.viewers + 1
            return
        last.sessions, last.plays = last.sessions + 1, last.plays + plays
        self.sessions, self.plays = self.sessions + 1, self.plays + plays

    def take(self, sessions: int) -> int:
        """So many of the oldest sessions have come; those that are none of these."""
        for oldest in self.steps:
            if not sessions:
                break
            taken = min(sessions, oldest.sessions)
            plays = min(taken, oldest.plays)
            oldest.sessions, oldest.plays = oldest.sessions - taken, oldest.plays - plays
            self.sessions, self.plays, sessions = self.sessions - taken, self.plays - plays, sessions - taken
        return sessions

    def coming(self, now: float) -> Coming:
        """Those that may still come."""
        steps = self.steps
        while steps and steps[0].until <= now:
            gone = steps.popleft()
            self.sessions, self.plays = self.sessions - gone.sessions, self.plays - gone.plays
            self.viewers -= gone.viewers
        return Coming(self.sessions, self.plays + self.viewers) if steps else NOBODY


@dataclass(slots=True)
class _Edge:
    sure: _Tally = field(default_factory=_Tally)
    doubted: _Tally = field(default_factory=_Tally)
    opened: int | None = None  # sessions that had come by its last report

    def take(self, sessions: int) -> None:
        self.doubted.take(self.sure.take(sessions))


class Expected:
    """What is on its way, by edge. `now` is any clock in seconds that does not step."""

    def __init__(self) -> None:
        """Expect nobody."""
        self._edges: dict[NodeId, _Edge] = {}

    def add(self, node: NodeId, now: float, *, plays: bool, as_session: bool = True, is_sure: bool = True) -> None:
        """Somebody was sent to an edge, to play there or to publish.

        Args:
            node: the edge.
            now: when.
            plays: whether something will be sent to it.
            as_session: not so for a player of HLS.
            is_sure: whether it is taken to come; otherwise it is doubted.
        """
        edge = self._edges.setdefault(node, _Edge())
        (edge.sure if is_sure else edge.doubted).add(now, plays=plays, as_session=as_session)

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

    def of(self, node: NodeId, now: float) -> tuple[Coming, Coming]:
        """What is sure to be on its way to an edge; and what may be beside that."""
        edge = self._edges.get(node)
        return (NOBODY, NOBODY) if edge is None else (edge.sure.coming(now), edge.doubted.coming(now))
