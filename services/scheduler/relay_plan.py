"""What is to be relayed, and by which edge: decided from what the registry told. A pure core.

```
   wanted, or a rule that always fetches, or one that sends what is published
 nothing ----------------------------------------------------------------------> relay at an edge
                              its edge dies, or drains while another has room -> the same at another edge
                 nobody has wanted it for `stop_after_s`, or its rule has gone,
                              or what it sends is not published any more ------> nothing
```
An edge that runs a relay keeps it whatever else would suit better. Whoever carries out what is decided here compares what was read,
so two that decide at once do no harm; and a pull publishes, so the claim fences one that has not heard yet that it was moved.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from lalmesh.names import StreamKey
from lalmesh.runtime.recording import RuleError
from lalmesh.runtime.relay_rules import NEVER_S, RelayRule, expand
from lalmesh.runtime.scheduling.control import MAX_VIA, RelayState
from lalmesh.runtime.scheduling.model import NOT_ASKED, AskedUrl
from services.scheduler.directory import Directory
from services.scheduler.records import ClaimRecord, NodeRecord
from services.scheduler.relay_places import A_PUBLISHER, AN_EDGE, RelayPlaces
from services.scheduler.relay_records import CONFIGURED, RelayRecord, push_key
from services.scheduler.relay_room import RelayRoom

ID_BYTES = 8
LEAST_UNWANTED_S = 1.5  #: a player that has just come shows in the next report of its edge
RIVAL_S = 15.0  #: an edge that died keeps its claim for as long as its lease lives, 10 s by default
OWN_RIVAL_S = 60.0  #: that a pull runs again is written after 40 s at most: 10,000 of them, 256 a second
VIA_KEPT_S = 60.0  #: that a cluster is named which a pull is wanted for no more: its own relay pauses up to 30 s between attempts
ROLL_OUT_S = 60.0  #: replicas whose configuration is changed may have it so long after each other


@dataclass(slots=True, frozen=True)
class RelayWrite:
    """A key is to hold `now` in place of `before`; None for nothing."""

    before: RelayRecord | None
    now: RelayRecord | None
    reason: str

    @property
    def record(self) -> RelayRecord:
        """What it is about."""
        record = self.now or self.before
        assert record is not None
        return record


@dataclass(slots=True, frozen=True)
class Unfollowed:
    """A rule cannot be followed for a stream."""

    stream: StreamKey
    error: RuleError


class RelayPlan:
    """Decides. It remembers since when nobody has wanted what is fetched on demand; whoever takes over waits anew."""

    def __init__(self, directory: Directory, *, new_id: Callable[[], str] = lambda: secrets.token_hex(ID_BYTES)) -> None:
        """Decide by `directory`."""
        self._directory = directory
        self._relays = directory.relaying
        self._places = RelayPlaces(directory)
        self._room = RelayRoom(directory)
        self._new_id = new_id
        self._unwanted_since: dict[str, float] = {}  # by id
        self._rival_since: dict[str, float] = {}  # by id: when somebody else was seen to publish it
        self._unruled_since: dict[str, float] = {}  # by id: when the configuration was seen to have no such rule
        self._unnamed_since: dict[str, dict[str, float]] = {}  # by id: clusters that it is named to go to, and nobody wants it for

    # new ones

    def on_demand(self, stream: StreamKey, via: tuple[str, ...], asked: AskedUrl, wall_us: int) -> RelayWrite | None:
        """Fetch a stream that somebody wants, who `asked` so; None where it is published, is being fetched, or no rule is for it.

        Raises:
            RelaysFullError: there are too many already.
            RuleError: the rule's URLs cannot be used for it.
        """
        if self._directory.claim(stream) is not None or self._relays.pull(stream) is not None:
            return None
        found = self._relays.demanded(stream)
        if found is None:
            return None
        rule_id, rule = found
        record = self._pull(stream, rule_id, rule, asked, wall_us).also_via(via)
        self._room.take(wall_us, on_demand=True)
        return RelayWrite(None, self._places.placed(record, self._places.edges()), "somebody wants it")

    def made(self, record: RelayRecord, before: RelayRecord | None) -> RelayWrite:
        """One that was made by API, in place of `before`.

        Raises:
            RelayLoopError: it is from or to this cluster.
        """
        record = replace(record, urls=self._places.others(record.urls), id=self._new_id(), waits_for=A_PUBLISHER)
        waits = record.is_push and not self._directory.is_published(record.stream)
        return RelayWrite(before, record if waits else self._places.placed(record, self._places.edges()), "asked for by API")

    def _pull(self, stream: StreamKey, rule_id: str, rule: RelayRule, asked: AskedUrl, wall_us: int) -> RelayRecord:
        return RelayRecord(
            id=self._new_id(),
            is_push=False,
            stream=stream,
            urls=self._places.others(tuple(expand(url, stream, asked) for url in rule.urls)),
            rule=rule_id,
            options=rule.options,
            stop_after_s=rule.stop_after_s if rule.on_demand else NEVER_S,
            waits_for=AN_EDGE,
            created_us=wall_us,
        )

    def _push(self, claim: ClaimRecord, rule_id: str, rule: RelayRule, url: str, wall_us: int) -> RelayRecord:
        return RelayRecord(
            id=self._new_id(),
            is_push=True,
            stream=claim.stream,
            urls=self._places.others((url,)),
            rule=rule_id,
            options=rule.options,
            asked=claim.asked,
            waits_for=AN_EDGE,
            created_us=wall_us,
        )

    # what the one on duty does

    def look(self, begun: Collection[StreamKey], now: float, wall_us: int) -> Iterator[RelayWrite | Unfollowed]:
        """Iterate over what is to be changed now, and over rules that cannot be followed.

        Args:
            begun: streams that may need relays for being published; all, where it is not known.
            now: seconds of a clock that does not step.
            wall_us: Unix time, microseconds.
        """
        edges = self._places.edges()
        yield from self._begin_always(edges, wall_us)
        yield from self._begin_pushes(begun, edges, wall_us)
        for record in [*self._relays.pulls(), *self._relays.pushes()]:
            why = self._why_over(record, now)
            if why:
                self._unwanted_since.pop(record.id, None)
                yield RelayWrite(record, None, why)
            elif (better := self._kept(record, edges, now)) != record:
                yield RelayWrite(record, better, self._why_kept(record, better))
        known = {record.id for record in (*self._relays.pulls(), *self._relays.pushes())}
        for since in (self._unwanted_since, self._rival_since, self._unruled_since, self._unnamed_since):
            for relay_id in since.keys() - known:
                since.pop(relay_id)

    def _begin_always(self, edges: Sequence[NodeRecord], wall_us: int) -> Iterator[RelayWrite | Unfollowed]:
        for stream, rule_id, rule in self._relays.always():
            if self._relays.pull(stream) is None and self._directory.claim(stream) is None:
                try:
                    record = self._pull(stream, rule_id, rule, NOT_ASKED, wall_us)
                    self._room.take(wall_us)
                    yield RelayWrite(None, self._places.placed(record, edges), "the rule says so")
                except RuleError as error:
                    yield Unfollowed(stream, error)

    def _begin_pushes(
        self, begun: Collection[StreamKey], edges: Sequence[NodeRecord], wall_us: int
    ) -> Iterator[RelayWrite | Unfollowed]:
        if not self._relays.has_pushes:
            return
        for stream in begun:
            claim = self._directory.claim(stream)
            if claim is None:
                continue
            for rule_id, rule in self._relays.pushing(stream):
                for template in rule.urls:
                    try:
                        url = expand(template, stream, claim.asked)
                        if self._relays.at(push_key(stream, url)) is None:
                            record = self._push(claim, rule_id, rule, url, wall_us)
                            self._room.take(wall_us)
                            yield RelayWrite(None, self._places.placed(record, edges), "it is published")
                    except RuleError as error:
                        yield Unfollowed(stream, error)

    def _why_over(self, record: RelayRecord, now: float) -> str:
        """Why a relay is to end; empty where it is not."""
        if record.rule and self._has_no_rule(record, now):
            return "its rule has gone"
        if record.is_push:
            return self._why_push_over(record) if record.rule else ""
        if record.rule and self._has_rival(record, now):
            return "somebody else publishes it"
        if record.stop_after_s < 0 or self._relays.wanted(record.stream):
            self._unwanted_since.pop(record.id, None)
            return ""
        since = self._unwanted_since.setdefault(record.id, now)
        unwanted_s = now - since
        return f"nobody has wanted it for {unwanted_s:.1f} s" if unwanted_s >= max(record.stop_after_s, LEAST_UNWANTED_S) else ""

    def _why_push_over(self, record: RelayRecord) -> str:
        if not self._directory.is_published(record.stream):
            return "nobody publishes it any more"
        claim = self._directory.claim(record.stream)
        rule = self._relays.rule(record.rule)
        if claim is None or claim.asked == record.asked or rule is None:
            return ""
        return "" if _leads_to(rule, record, claim.asked) else "it is published by another URL"

    def _has_no_rule(self, record: RelayRecord, now: float) -> bool:
        """Whether the rule of a relay has gone. Another replica may still have, or have already, what this one's file lacks."""
        rule = self._relays.rule(record.rule)
        if rule is not None and rule.matches(record.stream) and self._is_of(record, rule):
            self._unruled_since.pop(record.id, None)
            return False
        if not record.rule.startswith(CONFIGURED) or len(self._directory.cluster.schedulers.values()) <= 1:
            return True
        return now - self._unruled_since.setdefault(record.id, now) >= ROLL_OUT_S

    def _has_rival(self, record: RelayRecord, now: float) -> bool:
        """Whether another publisher has had the stream for longer than a relay takes to move, or to show that it is the one."""
        claim = self._directory.claim(record.stream)
        is_here = claim is not None and record.edge is not None and claim.edge.node == record.edge.node
        if claim is None or record.edge is None or (is_here and not self._has_failed(record)):
            self._rival_since.pop(record.id, None)
            return False
        return now - self._rival_since.setdefault(record.id, now) >= (OWN_RIVAL_S if is_here else RIVAL_S)

    def _has_failed(self, record: RelayRecord) -> bool:
        """Whether its edge said last that it does not bring anything."""
        known = self._relays.state(record.id)
        return known is not None and known.state in (RelayState.PAUSED, RelayState.FAILED)

    def _is_of(self, record: RelayRecord, rule: RelayRule) -> bool:
        """Whether the rule still says what the relay does; how who wanted a stream asked for it is not known any more."""
        if record.is_push != rule.is_push:
            return False
        if not record.is_push:
            return len(record.urls) <= len(rule.urls)
        return _leads_to(rule, record, record.asked)

    def _kept(self, record: RelayRecord, edges: Sequence[NodeRecord], now: float) -> RelayRecord:
        """The relay as it goes on: at the same edge while that can run it, and known to go where it goes."""
        if not record.is_push:
            record = self._named(record, now)
        if record.is_push and not self._directory.is_published(record.stream):
            return replace(record, edge=None)  # until it is published again
        return record if self._stays(record, edges, now) else self._places.placed(record, edges)

    def _named(self, record: RelayRecord, now: float) -> RelayRecord:
        """A pull with the clusters that it is wanted for, or was a while ago; where those are too many, with the first of these.

        None is named for ever: the source may be one that played the stream from here once, and would see a loop where none is.
        A loop is still found where it closes: who dials names itself, and those that are playing from it just then.
        """
        named = dict.fromkeys(cluster for wanted in self._relays.wanted(record.stream) for cluster in wanted.via)
        unnamed = [cluster for cluster in record.via if cluster not in named]
        if not unnamed:
            self._unnamed_since.pop(record.id, None)
            return record.also_via(tuple(named))
        before = self._unnamed_since.get(record.id, {})
        since = self._unnamed_since[record.id] = {cluster: before.get(cluster, now) for cluster in unnamed}
        lately = [cluster for cluster in unnamed if now - since[cluster] < VIA_KEPT_S]
        shown = {*[*named, *lately][:MAX_VIA]}
        return replace(record, via=tuple(cluster for cluster in dict.fromkeys((*record.via, *named)) if cluster in shown))

    def _stays(self, record: RelayRecord, edges: Sequence[NodeRecord], now: float) -> bool:
        directory, edge = self._directory, record.edge
        if edge is None:
            return False
        node = directory.node(edge.node)
        if node is None:
            return directory.cluster.settling is not None  # it may be about to come back
        if directory.state_of(node) == "draining":
            return not edges
        return directory.is_live(edge.node, now)

    def _why_kept(self, before: RelayRecord, now: RelayRecord) -> str:
        if before.edge == now.edge:
            return "no edge has room" if before.waits_for != now.waits_for else "the clusters that it goes on to are others"
        if now.edge is None:
            return "nobody publishes it" if now.is_push else "no edge is left"
        return f"{before.edge.node.name} is gone or drains" if before.edge is not None else "an edge can run it"


def _leads_to(rule: RelayRule, record: RelayRecord, asked: AskedUrl) -> bool:
    """Whether the target of a push is one of the rule, for a publisher who `asked` so."""
    return any(_expands(template, record, asked) for template in rule.urls)


def _expands(template: str, record: RelayRecord, asked: AskedUrl) -> bool:
    try:
        return expand(template, record.stream, asked) == record.urls[0]
    except RuleError:
        return False
