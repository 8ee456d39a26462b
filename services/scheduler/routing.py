"""Which edge a client is sent to. A pure core.

Edges that have joined, do not drain, listen for what is asked and are not full are candidates; those of the client's zone come
first, and the others only where none of them has room. Two are drawn, each as likely as it can carry more, and the less used of
them, in its fullest dimension, is taken: so all fill up by the same shares, an edge that has just come is not run over, and
replicas that know a little less of each other do not all choose the same.

Two things go before that. A publisher goes to the edge that publishes its stream already, which is where it comes back to. A player
goes to an edge that has the stream, for that saves a relay, as long as this costs no balance: while that edge is used by not more
than `SLACK` of what the drawn one is, or `SLACK_SHARE` of its capacity, above it.

Whoever is sent to an edge counts there until it has come. Routes are for anybody, so those who ask and never come must not fill the
cluster: of one network (`rate_limit.network_of`) no more are sure to come than `NETWORK_SHARE` of what edges can carry, and as many
again within the life of a route. The others are sent somewhere all the same, and count where edges are compared: so many players
behind one address are spread like others. But they make no edge full; it lets in no more than it has room for itself.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from lalmesh.errors import ServiceError, Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NodeId
from lalmesh.runtime.rate_limit import RateLimit
from lalmesh.runtime.scheduling.model import Load
from services.scheduler.edges import Edge, Pool, Usage, usage_of
from services.scheduler.expected import EXPECTED_S, Expected
from services.scheduler.records import NodeRecord

SLACK = 0.02  #: a fifth of the tenth that the spread may be off: who leaves, and reports a second old, take more of it
SLACK_SHARE = 0.01  #: of its capacity: what an edge that is nearly empty may carry more than another that is
DRAWS = 4  #: pairs that are drawn before every edge is looked at
FULL_S = 0.2  #: an edge that had no room when all were looked at is not for so long: a look costs as much as there are edges
RETRY_AFTER_S = 2.0  #: when whoever found no room may ask again: reports come each second
MAX_HELD = 4  #: edges that have the stream already, of which the least used is taken: a few tell as much as all of many
MAX_RECENT = 10_000  #: streams whose last routes are remembered, some 3 MB
MAX_RECENT_EDGES = 4  #: of one stream
#: of what the edges of a listener can carry. Of 10,000 sessions that is 500 players behind one address at once, and 100 a second
#: from then on: more than come by one. Who only asks for routes takes a twentieth of the room, for his first 5 s a tenth
NETWORK_SHARE = 0.05


class Choice(Enum):
    """Why an edge was chosen."""

    ONLY = "only"  #: no other has room
    LEAST_USED = "least_used"  #: of two that were drawn
    HAS_STREAM = "has_stream"  #: it plays it already
    PUBLISHES = "publishes"  #: its publisher was there


class ZoneMatch(Enum):
    """Whether the edge is where the client is."""

    SAME = "same"
    OTHER = "other"  #: no edge of its zone has room
    UNKNOWN = "unknown"  #: nobody knows where the client is


class NotListenedFor(ServiceError):
    """No edge listens for what was asked."""


class Question(NamedTuple):
    """What a client wants."""

    stream: StreamKey
    listener: str  #: that it asks by, as endpoints name it
    is_play: bool
    zone: str = ""  #: where the client is; empty: not known
    holders: Collection[NodeId] = ()  #: edges that play the stream, or the one that publishes it
    as_session: bool = True  #: whether it will be a session of the edge; players of HLS are not
    client: str = ""  #: address whose network has a bound to what is sure; empty: somebody is trusted to ask for many


@dataclass(slots=True, frozen=True)
class Route:
    """Where a client goes, and why."""

    edge: Edge
    choice: Choice
    zone_match: ZoneMatch
    usage: Usage  #: of the edge, before this client
    shared: int  #: edges that are reached by the same address, with this one: one of them will be met, not always this
    reason: str


class Routing:
    """All of it. `now` is any clock in seconds that does not step."""

    def __init__(self, load_of: Callable[[NodeRecord], Load], rng: random.Random) -> None:
        """Begin without an edge; `load_of` gives the newest load that is known of one."""
        self._load_of = load_of
        self._rng = rng
        self._pools: dict[tuple[str, str], Pool] = {}  # by listener and zone; empty: all zones
        self._sharing: dict[tuple[str, str, int], int] = {}
        self._recent: OrderedDict[StreamKey, dict[NodeId, float]] = OrderedDict()
        self._expected = Expected()
        self._now = 0.0
        self._networks = RateLimit(0.0, 0.0, lambda: self._now)  # how many of each were sure to come of late

    def replace(self, records: Collection[NodeRecord]) -> None:
        """From now on these are the edges that take clients."""
        self._expected.keep({record.node for record in records})
        pools: dict[tuple[str, str], list[Edge]] = {}
        self._sharing.clear()
        for record in records:
            for endpoint in {each.protocol: each for each in record.endpoints}.values():
                edge, protocol = Edge(record, endpoint), endpoint.protocol
                pools.setdefault((protocol, ""), []).append(edge)
                if record.zone:
                    pools.setdefault((protocol, record.zone), []).append(edge)
                address = (protocol, endpoint.host, endpoint.port)
                self._sharing[address] = self._sharing.get(address, 0) + 1
        self._pools = {key: Pool(edges, self._rng.random()) for key, edges in pools.items()}

    def is_listened_for(self, listener: str) -> bool:
        """Whether some edge has it."""
        return (listener, "") in self._pools

    def route(self, question: Question, now: float) -> Route:
        """Where to.

        Raises:
            NotListenedFor: nowhere, whoever has room.
            Unavailable: nowhere now.
        """
        everywhere = self._pools.get((question.listener, ""))
        if everywhere is None:
            raise NotListenedFor(f"no edge listens for {question.listener}")
        near = self._pools.get((question.listener, question.zone)) if question.zone else None
        found = self._pick(near, question, now) if near is not None else None
        match = ZoneMatch.SAME if found else ZoneMatch.OTHER if question.zone else ZoneMatch.UNKNOWN
        found = found or self._pick(everywhere, question, now)
        if found is None:
            raise Unavailable(f"no edge that listens for {question.listener} has room", retry_after_s=RETRY_AFTER_S)
        edge, usage, choice, reason = found
        self._note(question, edge, now, is_sure=self._is_sure(question.client, everywhere, now))
        endpoint = edge.endpoint
        shared = self._sharing[endpoint.protocol, endpoint.host, endpoint.port]
        return Route(edge, choice, match, usage, shared, reason + _where(match, question.zone))

    def _pick(self, pool: Pool, question: Question, now: float) -> tuple[Edge, Usage, Choice, str] | None:
        """One of a pool; None where none has room."""
        if now < pool.full_until:
            return None
        held = self._held(pool, question, now)
        if held is not None and not question.is_play:
            return *held, Choice.PUBLISHES, f"{held[0].name} publishes {question.stream}, and has room"
        drawn = self._draw(pool, now)
        if not drawn:
            pool.full_until = now + FULL_S
            return None
        (edge, usage), *others = drawn
        if held is not None and _costs_no_balance(held[1], usage):
            return *held, Choice.HAS_STREAM, _describe_held(question.stream, held, drawn[0])
        if not others:
            return edge, usage, Choice.ONLY, f"{edge.name} is the only one with room, {usage} used"
        other, other_usage = others[0]
        return edge, usage, Choice.LEAST_USED, f"{edge.name} has {usage} used, {other.name} {other_usage}; these two were drawn"

    def _draw(self, pool: Pool, now: float) -> list[tuple[Edge, Usage]]:
        """Two with room, the less used one first; one or none where there are no more."""
        among = pool.drawn_from(now)
        for _ in range(DRAWS):
            drawn = self._with_room(among.draw_two(self._rng), now)
            if len(drawn) == min(2, len(among)):
                return drawn
        found = self._with_room(among.edges.values(), now)
        pool.narrow([edge for edge, _ in found], now + FULL_S)
        return found[:2]

    def _with_room(self, edges: Iterable[Edge], now: float) -> list[tuple[Edge, Usage]]:
        found = [(edge, usage) for edge in edges if not (usage := self._usage(edge, now)).is_full]
        if len(found) > 1:
            found.sort(key=_share)
        return found

    def _held(self, pool: Pool, question: Question, now: float) -> tuple[Edge, Usage] | None:
        """The least used one with room of those that have the stream, or were just sent somebody who plays it."""
        holders = list(question.holders)
        if question.is_play:
            recent = self._recent.get(question.stream, {})
            holders += [node for node, until in recent.items() if until > now and node not in question.holders]
        known = [pool.edges[node] for node in holders if node in pool.edges]
        if len(known) > MAX_HELD:  # any of them, as likely as any other; a sample would cost as much as looking at two
            begin = int(self._rng.random() * len(known))
            known = [*known[begin:], *known[:begin]][:MAX_HELD]
        held = self._with_room(known, now)
        return held[0] if held else None

    def _usage(self, edge: Edge, now: float) -> Usage:
        record, expected = edge.record, self._expected
        node, load = record.node, self._load_of(record)
        expected.reported(node, load.opened_sessions)
        coming, doubted = expected.of(node, now)
        return usage_of(record.capacity, load, coming, doubted)

    def _is_sure(self, client: str, pool: Pool, now: float) -> bool:
        """Whether one more that `client` asked for is taken to come."""
        if not client:
            return True
        most = max(1.0, NETWORK_SHARE * pool.weight)
        self._now = now
        self._networks.set(most / EXPECTED_S, most)
        return self._networks.take(client)

    def _note(self, question: Question, edge: Edge, now: float, *, is_sure: bool) -> None:
        """Somebody is on the way to an edge, where the next players of its stream may go too."""
        node = edge.record.node
        self._expected.add(node, now, plays=question.is_play, as_session=question.as_session, is_sure=is_sure)
        if not question.is_play:
            return
        recent = self._recent.setdefault(question.stream, {})
        recent.pop(node, None)
        recent[node] = now + EXPECTED_S
        if len(recent) > MAX_RECENT_EDGES:
            del recent[next(iter(recent))]
        self._recent.move_to_end(question.stream)
        if len(self._recent) > MAX_RECENT:
            self._recent.popitem(last=False)


def _share(used: tuple[Edge, Usage]) -> float:
    return used[1].share


def _costs_no_balance(held: Usage, drawn: Usage) -> bool:
    return held.share <= drawn.share + max(SLACK_SHARE, SLACK * drawn.share)


def _describe_held(stream: StreamKey, held: tuple[Edge, Usage], drawn: tuple[Edge, Usage]) -> str:
    (edge, usage), (other, other_usage) = held, drawn
    compared = "" if other is edge else f", hardly more than {other.name} with {other_usage}"
    return f"{edge.name} has {stream} already, and {usage} used{compared}"


def _where(match: ZoneMatch, zone: str) -> str:
    match match:
        case ZoneMatch.SAME:
            return f"; in zone {zone}"
        case ZoneMatch.OTHER:
            return f"; no edge of zone {zone} has room"
        case _:
            return ""
