"""Routes as this replica gives them: the core of `routing.py` with what is known of the cluster."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from enum import Enum

from prometheus_client import Counter

from lalmesh.errors import Unavailable
from lalmesh.names import ANY_APP, StreamKey
from lalmesh.runtime.ownership import NodeId
from lalmesh.runtime.scheduling.model import Load, Role
from lalmesh.runtime.zeroed import begin_at_zero
from lalmesh.runtime.zones import Address, Zones
from services.scheduler.changes import Change, DrainChanged, NodeChanged
from services.scheduler.directory import Directory
from services.scheduler.members import Members, Session
from services.scheduler.metrics import SchedulerMetrics
from services.scheduler.records import NodeRecord
from services.scheduler.route_urls import RouteProtocol
from services.scheduler.routing import RETRY_AFTER_S, Choice, NotListenedFor, Question, Route, Routing
from services.scheduler.wholes import Wholes

NO_ROOM, NOT_LISTENED_FOR = "no_room", "not_listened_for"
#: What routes are counted by: why that edge was chosen, or why none.
RESULTS = (*(choice.value for choice in Choice), NO_ROOM, NOT_LISTENED_FOR)
MAX_HOLDERS = 8  #: nodes that have a stream, among which edges are looked for: its origin and worker may be some


class Purpose(Enum):
    """What a client comes for."""

    PLAY = "play"
    PUBLISH = "publish"


@dataclass(slots=True, frozen=True, kw_only=True)
class RoutingSettings:
    """What routing goes by, beside what the nodes say of themselves."""

    zones: Zones = field(default_factory=Zones)  #: where clients are
    match_app: bool = True  #: whether streams of one name in two applications are two streams


class Routes:
    """Sends clients to edges. A `ControlPart`."""

    def __init__(
        self,
        directory: Directory,
        members: Members,
        metrics: SchedulerMetrics,
        clock: Callable[[], float],
        settings: RoutingSettings | None = None,
        *,
        rng: random.Random | None = None,
    ) -> None:
        """Send them to the edges of `directory`.

        Args:
            directory: what is known of the cluster.
            members: the nodes that joined this replica; they say what they play.
            metrics: where to count.
            clock: seconds, never stepping.
            settings: what else to go by.
            rng: of the draws; a fresh one by default.
        """
        self._directory = directory
        self._members = members
        self._metrics = metrics
        self._clock = clock
        self._settings = settings or RoutingSettings()
        self._wholes = Wholes()
        self._routing = Routing(lambda whole: self._wholes.load(whole, self._load_of), rng or random.Random())
        begin_at_zero(metrics.routes, [purpose.value for purpose in Purpose], RESULTS)
        self._counters: dict[tuple[Purpose, str], Counter] = {}  # finding one by its labels costs as much as choosing an edge
        self._routed: set[NodeId] = set()  # edges that clients are sent to
        self._is_outdated = True  # whether it may be others now

    def take(self, settings: RoutingSettings) -> None:
        """Go by these settings from now on."""
        self._settings = settings

    async def run(self) -> None:
        """Nothing is to be done but when it is asked."""

    def handle(self, change: Change) -> None:
        """An edge may have come or gone, begun to drain or moved."""
        match change:
            case NodeChanged(before, now):
                self._node_changed(before, now)
            case DrainChanged():
                self._is_outdated = True
            case _:
                pass

    def joined(self, session: Session) -> None:
        """What matters of a node that has joined is in its record."""

    def reported(self, session: Session) -> None:
        """What an edge carries is looked up when it may be chosen; that it drains counts before the registry shows it."""
        if session.report.draining and session.node in self._routed:
            self._is_outdated = True

    def route(self, stream: StreamKey, protocol: RouteProtocol, purpose: Purpose, zone: str, client: str = "") -> Route:
        """Where a client goes.

        Args:
            stream: what it wants.
            protocol: by which it comes.
            purpose: what it comes for.
            zone: where it is; empty: not known.
            client: its address, whose network has a bound to what is sure to come; empty: whoever asks is trusted to ask for many.

        Raises:
            NotListenedFor: no edge listens for `protocol`.
            Unavailable: none that does has room.
        """
        self._bring_up_to_date()
        key = self.key(stream)
        is_play = purpose is Purpose.PLAY
        nodes = self._players_of(key) if is_play else self._publisher_of(key)
        question = Question(key, protocol.listener, is_play, zone, nodes, protocol.holds_session, client)
        try:
            found = self._routing.route(question, self._clock())
        except NotListenedFor as exc:
            if self._may_come(protocol):
                self._count(purpose, NO_ROOM)
                raise Unavailable(f"{exc} now", retry_after_s=RETRY_AFTER_S) from exc
            self._count(purpose, NOT_LISTENED_FOR)
            raise
        except Unavailable:
            self._count(purpose, NO_ROOM)
            raise
        self._count(purpose, found.choice.value)
        return found

    def zone_of(self, address: str | Address) -> str:
        """The zone of a client, empty where it is not known."""
        return self._settings.zones.of(address)

    def is_listened_for(self, protocol: RouteProtocol) -> bool:
        """Whether some edge that takes clients listens for `protocol`."""
        self._bring_up_to_date()
        return self._routing.is_listened_for(protocol.listener)

    def origin_of(self, stream: StreamKey) -> str | None:
        """Name of the origin that has the stream, None where none has."""
        group = self._directory.group(self.key(stream))
        return group.origin.node.name if group is not None else None

    def key(self, stream: StreamKey) -> StreamKey:
        """What the cluster knows the stream by."""
        return stream if self._settings.match_app else StreamKey(ANY_APP, stream.name)

    def _bring_up_to_date(self) -> None:
        if self._is_outdated:
            self._is_outdated = False
            records = [record for record in self._directory.nodes() if self._takes_clients(record)]
            self._routed = {record.node for record in records}
            self._wholes = Wholes(records)
            self._routing.replace(self._wholes.records)

    def _may_come(self, protocol: RouteProtocol) -> bool:
        """Whether some edge that drains or is away listens for `protocol`, or no edge is known at all."""
        edges = [record for record in self._directory.nodes() if record.role is Role.EDGE]
        return not edges or any(endpoint.protocol == protocol.listener for edge in edges for endpoint in edge.endpoints)

    def _takes_clients(self, record: NodeRecord) -> bool:
        session = self._members.of(record.node)
        is_joined = record.role is Role.EDGE and self._directory.state_of(record) == "joined"
        return is_joined and not (session is not None and session.report.draining)

    def _load_of(self, record: NodeRecord) -> Load:
        return self._directory.offers.loads.of(record.node) or record.load

    def _players_of(self, stream: StreamKey) -> Collection[NodeId]:
        """Some edges that play it, of those that joined this replica; whole ones."""
        holders, whole = self._members.some_holders(stream, MAX_HOLDERS), self._wholes.of
        return {whole(each.node) for each in holders if each.report.role is Role.EDGE and each.held[stream].players}

    def _publisher_of(self, stream: StreamKey) -> Collection[NodeId]:
        """The whole edge that publishes it."""
        claim = self._directory.claim(stream)
        return (self._wholes.of(claim.edge.node),) if claim is not None else ()

    def _node_changed(self, before: NodeRecord | None, now: NodeRecord | None) -> None:
        known = now or before
        if known is None or known.role is not Role.EDGE:
            return
        if before is None or now is None or not _differ_in_load(before, now) or self._was_otherwise(now):
            self._is_outdated = True

    def _was_otherwise(self, record: NodeRecord) -> bool:
        """Whether it takes clients and did not, or did."""
        return self._takes_clients(record) != (record.node in self._routed)

    def _count(self, purpose: Purpose, result: str) -> None:
        counter = self._counters.get((purpose, result))
        if counter is None:
            counter = self._counters[purpose, result] = self._metrics.routes.labels(purpose.value, result)
        counter.inc()


def _differ_in_load(before: NodeRecord, now: NodeRecord) -> bool:
    """Whether they are alike but for that."""
    return replace(now, load=before.load, mod_revision=before.mod_revision) == before
