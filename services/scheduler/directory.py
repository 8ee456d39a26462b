"""The scheduler's view of nodes, claims, groups and hls owners, kept by following the registry. A pure core.

It may lag behind the registry. So nobody is refused by it alone: a decision that writes nothing is taken again from what the
registry says, and one that writes compares revisions.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar, assert_never

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NodeId
from lalmesh.runtime.recording import RecordRule
from lalmesh.runtime.registry import Changed, FollowEvent, KeyValue, Listing, Removed
from lalmesh.runtime.scheduling.hls import HlsEndpoint
from lalmesh.runtime.scheduling.model import Role
from services.scheduler.changes import Change, ClaimChanged, GroupChanged, NodeChanged
from services.scheduler.hls_directory import HlsDirectory
from services.scheduler.hls_records import HLS
from services.scheduler.placement import Candidate
from services.scheduler.recording_rules import RECORDINGS, RuleDirectory, RulesChanged
from services.scheduler.records import (
    CLAIMS,
    GROUPS,
    NODES,
    TERM_KEY,
    ClaimRecord,
    DamagedRecordError,
    GroupRecord,
    NodeRecord,
    TermRecord,
    claim_key,
    group_key,
    node_key,
    parse_claim,
    parse_group,
    parse_node,
    parse_term,
)

log = logging.getLogger(__name__)

HLS_PROTOCOL = "http"  #: the endpoint of an hls node that edges proxy to

_Record = TypeVar("_Record", NodeRecord, ClaimRecord, GroupRecord)


class Directory:
    """Nodes, claims, groups and hls owners as the registry told them last."""

    def __init__(self, *, rejoin_s: float, recording: Sequence[RecordRule] = ()) -> None:
        """Begin with nothing known.

        Args:
            rejoin_s: seconds that a node may be away before what it has may be taken over.
            recording: rules of the configuration.
        """
        self._rejoin_s = rejoin_s
        self._nodes: dict[str, NodeRecord] = {}
        self._claims: dict[str, ClaimRecord] = {}
        self._groups: dict[str, GroupRecord] = {}
        self._away_since: dict[NodeId, float] = {}
        self._carried: Counter[NodeId] = Counter()
        self._term: TermRecord | None = None
        self._hls_endpoints: tuple[HlsEndpoint, ...] | None = None
        #: who segments what
        self.hls = HlsDirectory()
        #: what is to be recorded
        self.recording = RuleDirectory(recording)
        #: revision up to which the registry was followed
        self.revision = 0
        #: whether the registry was listed once
        self.is_listed = False

    # What happens ----------------------------------------------------------------------------------------------------

    def handle(self, event: FollowEvent, now: float) -> list[Change]:
        """Take in what the registry told; `now` is any clock in seconds that does not step."""
        match event:
            case Listing(entries, revision):
                changes = self._replace(entries, now)
                self.revision, self.is_listed = revision, True
                return changes
            case Changed(entry):
                self.revision = max(self.revision, entry.mod_revision)
                return self._write(entry, now)
            case Removed(key, revision):
                self.revision = max(self.revision, revision)
                return self._remove(key, revision, now)
            case _:
                assert_never(event)

    def learn(self, entry: KeyValue, now: float) -> list[Change]:
        """Take in what this scheduler wrote or read itself, where that is ahead of what it followed."""
        return self._write(entry, now) if entry.mod_revision > self.revision else []

    def mark_away(self, node: NodeId, now: float) -> list[Change]:
        """The membership stream of `node` ended here; the registry does not say so yet."""
        record = self.node(node)
        if record is None or node in self._away_since:
            return []
        self._away_since[node] = now
        self._hls_endpoints = None
        return [NodeChanged(record, record)]

    def end_lease(self, lease_id: int, now: float) -> list[Change]:
        """Forget the nodes under a lease that the registry says has ended, ahead of its own telling."""
        ended = [key for key, record in self._nodes.items() if record.lease_id == lease_id]
        return [change for key in ended for change in self._set_node(key, None, now)]

    # What is known ---------------------------------------------------------------------------------------------------

    @property
    def term(self) -> TermRecord | None:
        """The term, None while none is known."""
        return self._term

    def claim(self, stream: StreamKey) -> ClaimRecord | None:
        """Who may write the stream."""
        return self._claims.get(claim_key(stream))

    def group(self, stream: StreamKey) -> GroupRecord | None:
        """Where the stream is."""
        return self._groups.get(group_key(stream))

    def streams(self) -> list[StreamKey]:
        """Every stream that has a claim or a group, sorted."""
        claimed = {record.stream for record in self._claims.values()}
        return sorted(claimed.union(record.stream for record in self._groups.values()))

    def is_published(self, stream: StreamKey) -> bool:
        """Whether the stream has a claim or a group."""
        return self.claim(stream) is not None or self.group(stream) is not None

    def nodes(self) -> list[NodeRecord]:
        """Every node whose lease lives, sorted by name."""
        return sorted(self._nodes.values(), key=lambda record: record.node.name)

    def node(self, node: NodeId) -> NodeRecord | None:
        """The record of a node under that very incarnation."""
        record = self._nodes.get(node_key(node.name))
        return record if record is not None and record.node == node else None

    def groups_of(self, node: NodeId) -> int:
        """How many groups an origin has."""
        return self._carried[node]

    def is_away(self, node: NodeId) -> bool:
        """Whether the membership stream of a node that is still known has ended."""
        return node in self._away_since

    def is_joined(self, node: NodeId) -> bool:
        """Whether the node is a member now: it may be given something new."""
        return self.node(node) is not None and node not in self._away_since

    def state_of(self, record: NodeRecord) -> str:
        """``joined``, ``draining`` or ``away``."""
        if self.is_away(record.node):
            return "away"
        return "draining" if record.draining else "joined"

    def is_live(self, node: NodeId, now: float) -> bool:
        """Whether the node may keep what it has: a member, or away for less than `rejoin_s`."""
        return self.node(node) is not None and self.away_s(node, now) < self._rejoin_s

    def away_s(self, node: NodeId, now: float) -> float:
        """Seconds that the node has been away, 0 where it is not."""
        return now - self._away_since.get(node, now)

    def rejoin_left_s(self, node: NodeId, now: float) -> float:
        """Seconds that a node which is away still has to come back in."""
        return self._rejoin_s - self.away_s(node, now)

    def candidate(self, node: NodeId) -> Candidate | None:
        """The origin `node` as placement sees it, whether or not new groups may go to it."""
        record = self.node(node)
        return None if record is None else self._candidate(record)

    def candidates(self) -> Iterator[Candidate]:
        """Every origin that new groups may go to."""
        for record in self._nodes.values():
            if record.role is Role.ORIGIN and not record.draining and record.node not in self._away_since:
                yield self._candidate(record)

    def workers(self) -> Iterator[Candidate]:
        """Every hls node that streams may be given to; what it carries are those that it segments."""
        for record in self._nodes.values():
            if record.role is Role.HLS and not record.draining and record.node not in self._away_since:
                yield self._candidate(record)

    def hls_endpoints(self) -> tuple[HlsEndpoint, ...]:
        """Where the joined hls nodes answer HTTP, by name; those that drain only where no other is left."""
        if self._hls_endpoints is None:  # asked for with every report of every edge
            self._hls_endpoints = self._find_hls_endpoints()
        return self._hls_endpoints

    def _find_hls_endpoints(self) -> tuple[HlsEndpoint, ...]:
        joined = [record for record in self.nodes() if record.role is Role.HLS and record.node not in self._away_since]
        return tuple(
            HlsEndpoint(record.node.name, endpoint.host, endpoint.port)
            for record in [each for each in joined if not each.draining] or joined
            for endpoint in record.endpoints
            if endpoint.protocol == HLS_PROTOCOL
        )

    def _candidate(self, record: NodeRecord) -> Candidate:
        carried = len(self.hls.owned(record.node)) if record.role is Role.HLS else self._carried[record.node]
        return Candidate(
            address=record.address,
            machine=record.machine,
            streams=carried,
            capacity=record.capacity.streams,
            lease_id=record.lease_id,
        )

    # How it is kept --------------------------------------------------------------------------------------------------

    def _replace(self, entries: tuple[KeyValue, ...], now: float) -> list[Change]:
        """A listing replaces all; what did not change is no change."""
        listed = {entry.key for entry in entries}
        changes: list[Change] = [*self.hls.replace(listed), *self.recording.replace(listed)]
        for known, forget in ((self._claims, self._set_claim), (self._groups, self._set_group)):
            for key in [key for key in known if key not in listed]:
                changes += forget(key, None)
        for key in [key for key in self._nodes if key not in listed]:
            changes += self._set_node(key, None, now)
        if TERM_KEY not in listed:
            self._term = None
        for entry in entries:
            changes += self._write(entry, now, listed=True)
        return self._with_all_rules(changes)

    def _with_all_rules(self, changes: list[Change]) -> list[Change]:
        """What a listing changed, rules told once and as a whole: those that are told a part would stop what they record.

        The first listing tells them even if there are none but the configuration's: nobody was told before it.
        """
        others = [change for change in changes if not isinstance(change, RulesChanged)]
        if len(others) == len(changes) and self.is_listed:
            return changes
        return [*others, RulesChanged(self.recording.rules.rules)]

    def _write(self, entry: KeyValue, now: float, *, listed: bool = False) -> list[Change]:
        """A key is as `entry` says, unless a later write of it is known; a `listed` entry is the truth even so."""
        key = entry.key
        if key.startswith(NODES):
            if (node := _newer(entry, self._nodes.get(key), parse_node, listed=listed)) is not None:
                return self._set_node(key, node, now)
        elif key.startswith(CLAIMS):
            if (claim := _newer(entry, self._claims.get(key), parse_claim, listed=listed)) is not None:
                return self._set_claim(key, claim)
        elif key.startswith(GROUPS):
            if (group := _newer(entry, self._groups.get(key), parse_group, listed=listed)) is not None:
                return self._set_group(key, group)
        elif key.startswith(HLS):
            return [*self.hls.write(entry, listed=listed)]
        elif key.startswith(RECORDINGS):
            return [*self.recording.write(entry, listed=listed)]
        elif key == TERM_KEY:
            self._set_term(entry, listed=listed)
        return []

    def _remove(self, key: str, revision: int, now: float) -> list[Change]:
        if key.startswith(HLS):
            return [*self.hls.remove(key, revision)]
        if key.startswith(RECORDINGS):
            return [*self.recording.remove(key, revision)]
        known: NodeRecord | ClaimRecord | GroupRecord | TermRecord | None
        known = self._nodes.get(key) or self._claims.get(key) or self._groups.get(key)
        if key == TERM_KEY:
            known = self._term
        if known is None or known.mod_revision > revision:
            return []
        if key == TERM_KEY:
            self._term = None
        elif key.startswith(NODES):
            return self._set_node(key, None, now)
        elif key.startswith(CLAIMS):
            return self._set_claim(key, None)
        else:
            return self._set_group(key, None)
        return []

    def _set_term(self, entry: KeyValue, *, listed: bool) -> None:
        if not listed and self._term is not None and self._term.mod_revision >= entry.mod_revision:
            return
        try:
            self._term = parse_term(entry)
        except DamagedRecordError as exc:
            log.error("%s", exc)

    def _set_node(self, key: str, record: NodeRecord | None, now: float) -> list[Change]:
        before = _exchange(self._nodes, key, record)
        self._hls_endpoints = None
        if before is not None and (record is None or record.node != before.node):
            self._away_since.pop(before.node, None)
        if record is not None and record.away:
            self._away_since.setdefault(record.node, now)
        elif record is not None and (before is None or before.mod_revision != record.mod_revision):
            self._away_since.pop(record.node, None)
        return [] if before == record else [NodeChanged(before, record)]

    def _set_claim(self, key: str, record: ClaimRecord | None) -> list[Change]:
        before = _exchange(self._claims, key, record)
        return [] if before == record else [ClaimChanged(before, record)]

    def _set_group(self, key: str, record: GroupRecord | None) -> list[Change]:
        before = _exchange(self._groups, key, record)
        if record is not None:
            self._carried[record.origin.node] += 1
        if before is not None:
            self._carried[before.origin.node] -= 1
            if not self._carried[before.origin.node]:
                del self._carried[before.origin.node]
        return [] if before == record else [GroupChanged(before, record)]


def _exchange(records: dict[str, _Record], key: str, record: _Record | None) -> _Record | None:
    before = records.pop(key, None)
    if record is not None:
        records[key] = record
    return before


def _newer(entry: KeyValue, known: _Record | None, parse: Callable[[KeyValue], _Record], *, listed: bool) -> _Record | None:
    """The record in `entry`, None where it is damaged or older than what is known."""
    if not listed and known is not None and known.mod_revision >= entry.mod_revision:
        return None
    try:
        return parse(entry)
    except DamagedRecordError as exc:
        log.error("%s", exc)
        return None
