"""The figures of the nodes that joined one replica, as it shows them itself and to the others. A pure core."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NodeAddress, NodeId
from lalmesh.runtime.scheduling.model import HeldStream, Load, Role, StreamState
from services.scheduler.directory import Directory
from services.scheduler.members import Members, Session
from services.scheduler.records import ClaimRecord, GroupRecord

MAX_HELD = 8  #: nodes of one stream that are shown one by one: its publisher, its origin, its worker, and those before them
MAX_PLAYED = 50  #: edges that only play one stream that are shown one by one: more than fit on a page that one looks at
MAX_READ_FROM = 1000  #: origins that one node reads from; as many as a cluster has
MAX_STANDINGS = 10_000  #: of one node; the streams of more than it carries


@dataclass(slots=True, frozen=True)
class HeldAt:
    """A stream at a node that publishes, owns or segments it."""

    node: NodeAddress
    role: Role
    held: HeldStream


@dataclass(slots=True, frozen=True, kw_only=True)
class StreamFigures:
    """What nodes report of a stream."""

    held: tuple[HeldAt, ...] = ()
    players: int | None = None  #: at all edges; None: no edge has it
    left_out: frozenset[str] = frozenset()  #: by any node
    played: tuple[HeldAt, ...] = ()  #: at edges that only play it, where they were asked for; at most `MAX_PLAYED`

    def __or__(self, other: StreamFigures) -> StreamFigures:
        """What other nodes report as well."""
        return StreamFigures(
            held=(*self.held, *other.held)[:MAX_HELD],
            players=other.players if self.players is None else self.players + (other.players or 0),
            left_out=self.left_out | other.left_out,
            played=(*self.played, *other.played)[:MAX_PLAYED],
        )

    def at(self, node: NodeAddress | None) -> HeldStream | None:
        """What one node reports, under that very incarnation."""
        if node is None:
            return None
        return next((each.held for each in self.held if each.node.node == node.node), None)


@dataclass(slots=True, frozen=True, kw_only=True)
class NodeFigures:
    """What a node reports of itself."""

    node: NodeAddress
    load: Load
    #: streams that it owns and that do not stand as the registry shows them
    standings: Mapping[StreamKey, StreamState] = field(default_factory=dict)
    #: how many streams it has from each origin, by name, where that was asked for; without those that are published at it
    reads: Mapping[str, int] = field(default_factory=dict)


class OwnFigures:
    """The figures of this replica's own nodes."""

    def __init__(self, members: Members, directory: Directory) -> None:
        """Take them from the reports of `members`."""
        self._members = members
        self._directory = directory

    def load(self, node: NodeId) -> Load | None:
        """What a node carries; None where it has not joined here."""
        session = self._members.of(node)
        return session.report.load if session else None

    def state(self, stream: StreamKey, group: GroupRecord) -> StreamState | None:
        """How a stream stands at its origin where the registry does not show it; None where it does, or the origin is elsewhere."""
        session = self._members.of(group.origin.node)
        held = session.held.get(stream) if session else None
        return self._standing(held) if held is not None else None

    def nodes(self, *, reads_too: bool = False) -> list[NodeFigures]:
        """All of them; with `reads_too` also what they read from where, for which every stream of each is looked at."""
        return [
            NodeFigures(
                node=session.report.node,
                load=session.report.load,
                standings=self._standings(session),
                reads=self._reads(session) if reads_too else {},
            )
            for session in self._members
        ]

    def reads(self, node: NodeId) -> Mapping[str, int] | None:
        """See `NodeFigures.reads`; None where it has not joined here."""
        session = self._members.of(node)
        return self._reads(session) if session else None

    def of(self, stream: StreamKey, *, edges_too: bool = False) -> StreamFigures:
        """What they report of one stream; with `edges_too` also each edge that only plays it."""
        sessions = self._members.holders(stream)
        return reduce(StreamFigures.__or__, (self._figures(session, stream, edges_too) for session in sessions), StreamFigures())

    def _figures(self, session: Session, stream: StreamKey, edges_too: bool) -> StreamFigures:
        held, report = session.held[stream], session.report
        is_shown = report.role is not Role.EDGE or held.published or self._publishes(session, stream)
        shown = (HeldAt(report.node, report.role, held),)
        return StreamFigures(
            held=shown if is_shown else (),
            played=shown if edges_too and not is_shown else (),
            players=held.players if report.role is Role.EDGE else None,
            left_out=frozenset(held.left_out),
        )

    def _publishes(self, session: Session, stream: StreamKey) -> bool:
        claim = self._directory.claim(stream)
        return claim is not None and claim.edge.node == session.node

    def _standings(self, session: Session) -> Mapping[StreamKey, StreamState]:
        if session.report.role is not Role.ORIGIN:
            return {}
        found = ((held.stream, self._standing(held)) for held in session.held.values() if held.state is not StreamState.LIVE)
        return dict(_some((stream, state) for stream, state in found if state is not None))

    def _reads(self, session: Session) -> Mapping[str, int]:
        if session.report.role is Role.ORIGIN:
            return {}
        groups = (self._directory.group(held.stream) for held in session.held.values() if not held.published)
        found = Counter(group.origin.node.name for group in groups if group is not None)
        return dict(found.most_common(MAX_READ_FROM))

    def _standing(self, held: HeldStream) -> StreamState | None:
        if held.state is StreamState.LIVE:
            return None
        keys = state_of_keys(self._directory.claim(held.stream), self._directory.group(held.stream))
        return held.state if held.state is not keys else None


def state_of_keys(claim: ClaimRecord | None, group: GroupRecord | None) -> StreamState:
    """What the registry alone says: a claim without a group waits for one, a group without a claim for a publisher."""
    if claim is None:
        return StreamState.GRACE
    return StreamState.LIVE if group else StreamState.WAITING


def _some(standings: Iterable[tuple[StreamKey, StreamState]]) -> Iterable[tuple[StreamKey, StreamState]]:
    return (standing for _, standing in zip(range(MAX_STANDINGS), standings, strict=False))
