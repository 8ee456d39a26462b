"""The scheduler's view of nodes, claims, groups and hls owners, kept by following the registry. A pure core.

It may lag behind the registry. So nobody is refused by it alone: a decision that writes nothing is taken again from what the
registry says, and one that writes compares revisions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import assert_never

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NodeId
from lalmesh.runtime.recording import RecordRule
from lalmesh.runtime.registry import Changed, FollowEvent, KeyValue, Listing, Removed
from lalmesh.runtime.scheduling.hls import HlsEndpoint
from lalmesh.runtime.scheduling.model import Load, Role
from services.scheduler.changes import Change, ClaimChanged, GroupChanged, NodeChanged
from services.scheduler.cluster_records import DRAINS, DUTIES, SCHEDULERS, SETTLING_KEY, TERM_KEY, TermRecord
from services.scheduler.cluster_state import ClusterState
from services.scheduler.hls_directory import HlsDirectory, hls_endpoints
from services.scheduler.hls_records import HLS
from services.scheduler.kept import Kept, Part
from services.scheduler.node_streams import StreamsOfNodes
from services.scheduler.offers import Offers
from services.scheduler.recording_rules import RECORDINGS, RuleDirectory, RulesChanged
from services.scheduler.records import (
    CLAIMS,
    GROUPS,
    NODES,
    ClaimRecord,
    GroupRecord,
    NodeRecord,
    claim_key,
    group_key,
    node_key,
    parse_claim,
    parse_group,
    parse_node,
)
from services.scheduler.relay_directory import RelayDirectory


class Directory:
    """Nodes, claims, groups and hls owners as the registry told them last."""

    def __init__(self, *, rejoin_s: float, recording: Sequence[RecordRule] = ()) -> None:
        """Begin with nothing known.

        Args:
            rejoin_s: seconds that a node may be away before what it has may be taken over.
            recording: rules of the configuration.
        """
        self._rejoin_s = rejoin_s
        self._now = 0.0  # when what is being taken in was told
        self._nodes = Kept(parse_node, self._node_told)
        self._claims = Kept(parse_claim, self._claim_told)
        self._groups = Kept(parse_group, self._group_told)
        self._is_listing = False
        self._away_since: dict[NodeId, float] = {}
        self._claimed = StreamsOfNodes()
        self._carried = StreamsOfNodes()
        self._hls_endpoints: tuple[HlsEndpoint, ...] | None = None
        self._streams: list[StreamKey] | None = None  # until one comes or goes: sorting 10,000 takes 9 ms
        #: who segments what
        self.hls = HlsDirectory()
        #: what is to be recorded
        self.recording = RuleDirectory(recording)
        #: what is fetched from elsewhere and sent there
        self.relaying = RelayDirectory()
        #: term, settling, replicas
        self.cluster = ClusterState()
        #: who may be given something
        self.offers = Offers(self._nodes.values, state_of=self.state_of, carried=self._carries, now=lambda: self._now)
        self._parts: Mapping[str, Part] = {
            HLS: self.hls.records,
            RECORDINGS: self.recording,
            CLAIMS: self._claims,
            GROUPS: self._groups,
            NODES: self._nodes,
            TERM_KEY: self.cluster.terms,
            SETTLING_KEY: self.cluster.settlings,
            SCHEDULERS: self.cluster.schedulers,
            DUTIES: self.cluster.duties,
            DRAINS: self.cluster.drains,
            **self.relaying.parts,
        }
        #: revision up to which the registry was followed
        self.revision = 0
        #: whether the registry was listed once
        self.is_listed = False

    # What happens ----------------------------------------------------------------------------------------------------

    def handle(self, event: FollowEvent, now: float) -> list[Change]:
        """Take in what the registry told; `now` is any clock in seconds that does not step."""
        self._now = now
        match event:
            case Listing(entries, revision):
                changes = self._replace(entries)
                self.revision, self.is_listed = revision, True
                return changes
            case Changed(entry):
                self.revision = max(self.revision, entry.mod_revision)
                return [*self._write(entry)]
            case Removed(key, revision):
                self.revision = max(self.revision, revision)
                part = self._part(key)
                return [*part.remove(key, revision)] if part is not None else []
            case _:
                assert_never(event)

    def learn(self, entry: KeyValue, now: float) -> list[Change]:
        """Take in what this scheduler wrote or read itself, where that is ahead of what it followed."""
        self._now = now
        return [*self._write(entry)] if entry.mod_revision > self.revision else []

    def learn_gone(self, key: str, revision: int, now: float) -> list[Change]:
        """Take in that this scheduler found a key to be absent at `revision`, ahead of what it followed."""
        self._now = now
        part = self._part(key) if revision > self.revision else None
        return [*part.remove(key, revision)] if part is not None else []

    def mark_away(self, node: NodeId, now: float) -> list[Change]:
        """The membership stream of `node` ended here; the registry does not say so yet."""
        if (record := self.node(node)) is None or node in self._away_since:
            return []
        self._away_since[node] = now
        self._hls_endpoints = None
        return [NodeChanged(record, record)]

    def end_lease(self, lease_id: int, now: float) -> list[Change]:
        """Forget the nodes under a lease that the registry says has ended, ahead of its own telling."""
        self._now = now
        ended = [key for key, record in self._nodes.items() if record.lease_id == lease_id]
        return [change for key in ended for change in self._nodes.set(key, None)]

    def report(self, node: NodeId, load: Load, now: float) -> None:
        """A node says here how loaded it is."""
        self._now = now
        self.offers.loads.report(node, load, now)

    # What is known ---------------------------------------------------------------------------------------------------

    @property
    def term(self) -> TermRecord | None:
        """The term, None while none is known."""
        return self.cluster.term

    def claim(self, stream: StreamKey) -> ClaimRecord | None:
        """Who may write the stream."""
        return self._claims.get(claim_key(stream))

    def group(self, stream: StreamKey) -> GroupRecord | None:
        """Where the stream is."""
        return self._groups.get(group_key(stream))

    def streams(self) -> list[StreamKey]:
        """Every stream that has a claim or a group, sorted."""
        if self._streams is None:
            claimed = {record.stream for record in self._claims.values()}
            self._streams = sorted(claimed.union(record.stream for record in self._groups.values()))
        return list(self._streams)

    def is_published(self, stream: StreamKey) -> bool:
        """Whether the stream has a claim or a group."""
        return self.claim(stream) is not None or self.group(stream) is not None

    def nodes(self) -> list[NodeRecord]:
        """Every node whose lease lives, sorted by name."""
        return sorted(self._nodes.values(), key=lambda record: record.node.name)

    def node(self, node: NodeId) -> NodeRecord | None:
        """The record of a node under that very incarnation."""
        record = self.named(node.name)
        return record if record is not None and record.node == node else None

    def named(self, name: str) -> NodeRecord | None:
        """The record of a node under whatever incarnation."""
        return self._nodes.get(node_key(name))

    def groups_of(self, node: NodeId) -> int:
        """How many groups an origin has."""
        return len(self.carried_by(node))

    def carried_by(self, node: NodeId) -> Collection[StreamKey]:
        """The groups that an origin has."""
        return self._carried.of(node)

    def claimed_by(self, node: NodeId) -> Collection[StreamKey]:
        """The streams that an edge may write."""
        return self._claimed.of(node)

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
        return "draining" if record.draining or self.cluster.drain(record.node) is not None else "joined"

    def is_draining(self, node: NodeId) -> bool:
        """Whether the node gives away what it has."""
        record = self.node(node)
        return record is not None and self.state_of(record) == "draining"

    def is_live(self, node: NodeId, now: float) -> bool:
        """Whether the node may keep what it has: a member, or away for less than `rejoin_s`."""
        return self.node(node) is not None and self.away_s(node, now) < self._rejoin_s

    def away_s(self, node: NodeId, now: float) -> float:
        """Seconds that the node has been away, 0 where it is not."""
        return now - self._away_since.get(node, now)

    def rejoin_left_s(self, node: NodeId, now: float) -> float:
        """Seconds that a node which is away still has to come back in."""
        return self._rejoin_s - self.away_s(node, now)

    def hls_endpoints(self) -> tuple[HlsEndpoint, ...]:
        """Where the joined hls nodes answer HTTP, by name; those that drain only where no other is left."""
        if self._hls_endpoints is None:  # asked for with every report of every edge
            self._hls_endpoints = hls_endpoints(record for record in self.nodes() if record.node not in self._away_since)
        return self._hls_endpoints

    def _carries(self, record: NodeRecord) -> int:
        return len(self.hls.owned(record.node)) if record.role is Role.HLS else self.groups_of(record.node)

    # How it is kept --------------------------------------------------------------------------------------------------

    def _replace(self, entries: tuple[KeyValue, ...]) -> list[Change]:
        """A listing replaces all; what did not change is no change."""
        listed = {entry.key for entry in entries}
        self._is_listing = True
        changes = [change for part in self._parts.values() for change in part.replace(listed)]
        for entry in entries:
            changes += self._write(entry, listed=True)
        self._is_listing = False
        return self._with_all_rules(changes)

    def _with_all_rules(self, changes: list[Change]) -> list[Change]:
        """What a listing changed, rules told once and as a whole: those that are told a part would stop what they record.

        The first listing tells them even if there are none but the configuration's: nobody was told before it.
        """
        others = [change for change in changes if not isinstance(change, RulesChanged)]
        if len(others) == len(changes) and self.is_listed:
            return changes
        return [*others, RulesChanged(self.recording.rules.rules)]

    def _write(self, entry: KeyValue, *, listed: bool = False) -> Sequence[Change]:
        """A key is as `entry` says, unless a later write of it is known; a `listed` entry is the truth even so."""
        part = self._part(entry.key)
        return part.write(entry, listed=listed) if part is not None else []

    def _part(self, key: str) -> Part | None:
        return next((part for prefix, part in self._parts.items() if key.startswith(prefix)), None)

    def _node_told(self, before: NodeRecord | None, now: NodeRecord | None) -> list[NodeChanged]:
        self._hls_endpoints = None
        if before is not None and (now is None or now.node != before.node):
            self._away_since.pop(before.node, None)
            self.offers.loads.forget(before.node)
        if now is not None and (before is None or now.load != before.load):
            self.offers.loads.shown(now.node, self._now)
        if now is not None and now.away:
            self._away_since.setdefault(now.node, self._now)
        elif now is not None and (before is None or before.mod_revision != now.mod_revision):
            self._away_since.pop(now.node, None)
        return [NodeChanged(before, now)]

    def _group_told(self, before: GroupRecord | None, now: GroupRecord | None) -> list[GroupChanged]:
        self._streams = None
        if now is not None and not self._is_listing and (before is None or before.origin != now.origin):
            self.offers.loads.granted(now.origin.node, self._now)  # those of a listing have been there for long
        self._carried.replace(
            (before.origin.node, before.stream) if before is not None else None,
            (now.origin.node, now.stream) if now is not None else None,
        )
        return [GroupChanged(before, now)]

    def _claim_told(self, before: ClaimRecord | None, now: ClaimRecord | None) -> list[ClaimChanged]:
        self._streams = None
        self._claimed.replace(
            (before.edge.node, before.stream) if before is not None else None,
            (now.edge.node, now.stream) if now is not None else None,
        )
        return [ClaimChanged(before, now)]
