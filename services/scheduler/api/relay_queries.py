"""Which relays, and which of their rules, are to be listed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from lalmesh.runtime.relay_rules import RelayRule
from services.scheduler.api import MAX_STREAM_CHARS, PageQuery, named_stream
from services.scheduler.api.relay_models import RelayKind, kind_of
from services.scheduler.records import NodeRecord
from services.scheduler.relay_records import RelayRecord
from services.scheduler.relays import Relays, ShownState
from services.scheduler.wholes import names_of

MAX_ID_CHARS = 100  #: of a rule: more than any has


class RelaysQuery(PageQuery):
    """Which relays are wanted: those of which all of it is true that is said."""

    stream: str | None = Field(default=None, min_length=3, max_length=MAX_STREAM_CHARS, description="Of this stream only.")
    kind: RelayKind | None = Field(default=None, description="Of this kind only.")
    state: ShownState | None = Field(default=None, description="In this state only.")
    edge: str | None = Field(default=None, min_length=1, max_length=253, description="That this node, or one of its workers, runs.")
    rule: str | None = Field(default=None, min_length=1, max_length=MAX_ID_CHARS, description="By the rule of this id.")


class RelayRulesQuery(PageQuery):
    """Which rules are wanted, likewise."""

    stream: str | None = Field(default=None, min_length=3, max_length=MAX_STREAM_CHARS, description="That match this stream.")
    kind: RelayKind | None = Field(default=None, description="Of this kind only.")
    source: Literal["config", "api"] | None = Field(default=None, description="From there only.")


def wanted_relays(relays: Relays, query: RelaysQuery, nodes: Iterable[NodeRecord]) -> list[RelayRecord]:
    """The relays that a query is for, by stream, where those are the nodes of the cluster.

    Raises:
        ProblemError: its stream is none.
    """
    stream = named_stream(query.stream) if query.stream is not None else None
    edges = names_of(query.edge, nodes) if query.edge is not None else None

    def is_wanted(record: RelayRecord) -> bool:
        edge = record.edge.node.name if record.edge is not None else None
        return (
            stream in (None, record.stream)
            and query.kind in (None, kind_of(record))
            and (edges is None or edge in edges)
            and query.rule in (None, record.rule)
        )

    wanted = [record for record in relays.known.relays() if is_wanted(record)]
    return wanted if query.state is None else [each.record for each in relays.shown(wanted) if each.state == query.state]


def wanted_rules(relays: Relays, query: RelayRulesQuery) -> list[tuple[str, RelayRule]]:
    """The rules that a query is for, in the order in which they are looked at.

    Raises:
        ProblemError: its stream is none.
    """
    stream = named_stream(query.stream) if query.stream is not None else None

    def is_wanted(rule_id: str, rule: RelayRule) -> bool:
        source = "config" if relays.known.rule_record(rule_id) is None else "api"
        return (stream is None or rule.matches(stream)) and query.kind in (None, kind_of(rule)) and query.source in (None, source)

    return [each for each in relays.known.rules if is_wanted(*each)]
