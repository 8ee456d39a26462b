"""What the registry told last of relays: rules, relays, who wants what, how far they are. A pure core, part of the directory."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from typing import TypeVar

from lalmesh.errors import InvalidName
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NodeId
from lalmesh.runtime.relay_rules import LAL_APP, MAX_RULES, RelayRule, names_query
from lalmesh.runtime.scheduling.model import AskedUrl
from services.scheduler.changes import RelayChanged, RelayRulesChanged
from services.scheduler.kept import Kept, Part
from services.scheduler.relay_records import (
    PULLS,
    PUSHES,
    RULES,
    STATES,
    WANTED,
    RelayRecord,
    RelayRuleRecord,
    RelayStateRecord,
    WantedRecord,
    parse_relay,
    parse_relay_rule_record,
    parse_state,
    parse_wanted,
    pull_key,
    rule_key,
    state_key,
)

log = logging.getLogger(__name__)

_Key = TypeVar("_Key", bound=Hashable)
_Record = TypeVar("_Record")


class RelayDirectory:
    """Rules, those of the configuration before those of the API, and what is relayed because of them."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        #: with their ids: those of the configuration, then those of the API as they came
        self.rules: tuple[tuple[str, RelayRule], ...] = ()
        self._rules_by_id: dict[str, RelayRule] = {}
        self._rule_records = Kept(parse_relay_rule_record, self._rule_told)
        self._configured: tuple[tuple[str, RelayRule], ...] = ()
        self._pulls = Kept(parse_relay, self._relay_told)
        self._pushes = Kept(parse_relay, self._relay_told)
        self._wanted = Kept(parse_wanted, self._wanted_told)
        self._states = Kept(parse_state, _untold)
        self._of_edges: dict[NodeId, dict[str, RelayRecord]] = {}
        self._by_id: dict[str, RelayRecord] = {}
        self._pulls_by_name: dict[str, set[StreamKey]] = {}
        self._wants: dict[StreamKey, dict[str, WantedRecord]] = {}
        #: by the prefix of its keys
        self.parts: Mapping[str, Part] = {
            RULES: self._rule_records,
            PULLS: self._pulls,
            PUSHES: self._pushes,
            WANTED: self._wanted,
            STATES: self._states,
        }

    def configure(self, rules: Sequence[tuple[str, RelayRule]]) -> None:
        """Have these rules, each with its id, before those of the API."""
        self._configured = tuple(rules)
        self._order()

    # rules

    def rule(self, rule_id: str) -> RelayRule | None:
        """The rule of that id."""
        return self._rules_by_id.get(rule_id)

    def rule_record(self, rule_id: str) -> RelayRuleRecord | None:
        """The rule of that id that was added by API."""
        return self._rule_records.get(rule_key(rule_id))

    def demanded(self, stream: StreamKey) -> tuple[str, RelayRule] | None:
        """The first rule by which `stream` is fetched where somebody wants it."""
        return next(((key, rule) for key, rule in self.rules if not rule.is_push and rule.on_demand and rule.matches(stream)), None)

    def always(self) -> Iterator[tuple[StreamKey, str, RelayRule]]:
        """What is fetched whether or not somebody wants it."""
        for rule_id, rule in self.rules:
            if (stream := rule.stream) is not None:
                yield stream, rule_id, rule

    def pushing(self, stream: StreamKey) -> Iterator[tuple[str, RelayRule]]:
        """The rules by which `stream` is sent elsewhere."""
        return ((rule_id, rule) for rule_id, rule in self.rules if rule.is_push and rule.matches(stream))

    def noted(self, stream: StreamKey, asked: AskedUrl) -> AskedUrl:
        """What is written down of how a publisher named `stream`: its query, which may be a secret, only where a push wants it."""
        wants_query = asked.query and any(names_query(url) for _, rule in self.pushing(stream) for url in rule.urls)
        return asked if wants_query else AskedUrl(asked.app)

    @property
    def has_pushes(self) -> bool:
        """Whether any rule sends anything."""
        return any(rule.is_push for _, rule in self.rules)

    # relays

    def relays(self) -> list[RelayRecord]:
        """All, by stream, the pull before the pushes."""
        records = [*self._pulls.values(), *self._pushes.values()]
        return sorted(records, key=lambda record: (record.stream, record.is_push, record.created_us, record.id))

    def pulls(self) -> Collection[RelayRecord]:
        """Those that fetch."""
        return self._pulls.values()

    def pushes(self) -> Collection[RelayRecord]:
        """Those that send."""
        return self._pushes.values()

    def pull(self, stream: StreamKey) -> RelayRecord | None:
        """The pull of a stream."""
        return self._pulls.get(pull_key(stream))

    def at(self, key: str) -> RelayRecord | None:
        """The relay in a key."""
        return self._pushes.get(key) or self._pulls.get(key)

    def relay(self, relay_id: str) -> RelayRecord | None:
        """The relay of that id."""
        return self._by_id.get(relay_id)

    def of_edge(self, edge: NodeId) -> Collection[RelayRecord]:
        """What an edge is to run."""
        return self._of_edges.get(edge, {}).values()

    def state(self, relay_id: str) -> RelayStateRecord | None:
        """How far a relay is, as it was written down."""
        return self._states.get(state_key(relay_id))

    def ended(self) -> Iterator[str]:
        """The ids of relays that are over, of which it is still written down how far they were."""
        return (record.id for record in self._states.values() if record.id not in self._by_id)

    def meant(self, name: str) -> StreamKey | None:
        """The stream of a name that is fetched, or would be if somebody wanted it; of several that of `LAL_APP`, or the first."""
        streams = sorted(self._pulls_by_name.get(name, ())) or list(self._fetchable(name))
        return next((stream for stream in streams if stream.app == LAL_APP), streams[0] if streams else None)

    def _fetchable(self, name: str) -> Iterator[StreamKey]:
        """The streams of that name that rules fetch, each with the application of the pattern; any, where that matches any."""
        for _, rule in self.rules:
            if rule.is_push:
                continue
            with contextlib.suppress(InvalidName):
                stream = StreamKey.of(rule.app or LAL_APP, name)
                if rule.matches(stream):
                    yield stream

    # who wants what

    def wanted(self, stream: StreamKey) -> Collection[WantedRecord]:
        """At which replicas somebody wants a stream."""
        return self._wants.get(stream, {}).values()

    def wanted_at(self, replica: str) -> dict[StreamKey, WantedRecord]:
        """What is wanted at one replica, as it was written down."""
        return {record.stream: record for record in self._wanted.values() if record.replica == replica}

    # how it is kept

    def _rule_told(self, before: RelayRuleRecord | None, now: RelayRuleRecord | None) -> list[RelayRulesChanged]:
        self._order()
        return [RelayRulesChanged()]

    def _order(self) -> None:
        made = sorted(self._rule_records.values(), key=lambda record: (record.created_us, record.id))
        rules = [*self._configured, *((record.id, record.rule) for record in made)]
        if len(rules) > MAX_RULES:
            log.error("%d rules of relays, limit %d: the last are not followed", len(rules), MAX_RULES)
        self.rules = tuple(rules[:MAX_RULES])
        self._rules_by_id = dict(reversed(self.rules))  # of two that are the same the first one

    def _relay_told(self, before: RelayRecord | None, now: RelayRecord | None) -> list[RelayChanged]:
        self._note_names(before, now)
        if before is not None:
            self._by_id.pop(before.id, None)
            if before.edge is not None:
                _drop(self._of_edges, before.edge.node, before.key)
        if now is not None:
            self._by_id[now.id] = now
            if now.edge is not None:
                self._of_edges.setdefault(now.edge.node, {})[now.key] = now
        return [RelayChanged(before, now)]

    def _note_names(self, before: RelayRecord | None, now: RelayRecord | None) -> None:
        for record, is_there in ((before, False), (now, True)):
            if record is None or record.is_push:
                continue
            streams = self._pulls_by_name.setdefault(record.stream.name, set())
            (streams.add if is_there else streams.discard)(record.stream)
            if not streams:
                del self._pulls_by_name[record.stream.name]

    def _wanted_told(self, before: WantedRecord | None, now: WantedRecord | None) -> list[RelayRulesChanged]:
        if before is not None:
            _drop(self._wants, before.stream, before.replica)
        if now is not None:
            self._wants.setdefault(now.stream, {})[now.replica] = now
        return []


def _drop(index: dict[_Key, dict[str, _Record]], key: _Key, inner: str) -> None:
    found = index.get(key)
    if found is not None:
        found.pop(inner, None)
        if not found:
            del index[key]


def _untold(before: RelayStateRecord | None, now: RelayStateRecord | None) -> Sequence[RelayRulesChanged]:
    """Nobody waits for states: who shows one looks it up."""
    return []
