"""Who may write a stream and where it goes: decided from what was read, in one transaction that compares what was read.

```
            read (the view first, the registry after)
              |
  decide -> Write --- transaction --- succeeded --> Granted
     ^        |            |
     |        |            not: decide again from what it found
     |      Granted or Refused: decided again from the registry where it came from the view, then answered
     +--------+
```
A pure core: it knows the directory and the time, and no registry.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from lalmesh.errors import NoOriginAvailable
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch, Grant, NodeAddress, NodeId
from lalmesh.runtime.registry import Absent, Compare, KeyValue, Put, Unchanged
from lalmesh.runtime.scheduling.model import Claim, HeldStream, Move, Refusal, Refused, Released
from services.scheduler.directory import Directory
from services.scheduler.kept import found_record
from services.scheduler.placement import Candidate, Decision, heir_of, place
from services.scheduler.records import (
    TERM_KEY,
    ClaimRecord,
    GroupRecord,
    NodeRecord,
    TermRecord,
    claim_key,
    grant_of,
    group_key,
    parse_claim,
    parse_group,
    parse_term,
    serialize_claim,
    serialize_group,
)

RETRY_AFTER_S = 0.5  #: pause hinted where the view lags or a node is on its way back: both are over within a second


@dataclass(slots=True, frozen=True)
class Seen:
    """What was read about one stream."""

    term: TermRecord | None = None
    claim: ClaimRecord | None = None
    group: GroupRecord | None = None

    @classmethod
    def of(cls, directory: Directory, stream: StreamKey) -> Seen:
        """What the directory knows."""
        return cls(directory.term, directory.claim(stream), directory.group(stream))

    def with_found(self, found: Mapping[str, KeyValue | None], stream: StreamKey) -> Seen:
        """The same with the keys of `found` as they were found; raises `DamagedRecordError`."""
        return Seen(
            term=found_record(found, TERM_KEY, parse_term, self.term),
            claim=found_record(found, claim_key(stream), parse_claim, self.claim),
            group=found_record(found, group_key(stream), parse_group, self.group),
        )


@dataclass(slots=True, frozen=True)
class Granted:
    """Nothing needs to be written: this is the answer."""

    grant: Grant  #: not yet signed


@dataclass(slots=True, frozen=True)
class Write:
    """A transaction that, where it succeeds, makes the answer true."""

    compares: tuple[Compare, ...]
    operations: tuple[Put, ...]
    reason: str  #: why the group goes where it goes

    def entries(self, revision: int) -> dict[str, KeyValue | None]:
        """What the registry holds once the transaction was carried out at `revision`."""
        return {put.key: KeyValue(put.key, put.value, revision, revision, put.lease_id) for put in self.operations}


Ruling = Granted | Refused | Write


def decide_claim(asked: Claim, edge: NodeId, seen: Seen, directory: Directory, now: float) -> Ruling:
    """Who may write: the one who asks, or the one who does already."""
    member = directory.node(edge)
    if member is None or directory.is_away(edge):
        return Refused(Refusal.NOT_JOINED, f"{edge.name} is no member", RETRY_AFTER_S)
    held = seen.claim
    if held is not None and held.publication == asked.publication and held.edge.node == edge:
        return _repeat(held, member, seen, directory)
    if held is not None and not asked.take_over and (refused := _defend(held, directory, now)) is not None:
        return refused
    return _write_claim(asked, member, seen, directory, now)


def decide_move(asked: Move, edge: NodeId, seen: Seen, directory: Directory) -> Ruling:
    """Where the group goes when the publication cannot reach it where it is."""
    held, group = seen.claim, seen.group
    if held is None or held.epoch < asked.epoch:
        return Refused(Refusal.NOT_FOUND, f"no claim on {asked.stream} is known: claim it again")
    if held.epoch != asked.epoch or held.publication != asked.publication or held.edge.node != edge:
        return Refused(Refusal.FENCED, f"{asked.stream} is at epoch {held.epoch.term}.{held.epoch.revision}")
    if group is not None and group.place > asked.place:
        return Granted(grant_of(held, group))
    member = directory.node(edge)
    return _point(held, seen, directory, machine=member.machine if member else "", tried=asked.avoid)


def is_claim_of(record: ClaimRecord, released: Released, node: NodeId) -> bool:
    """Whether what an edge gives back is still its own."""
    return record.epoch == released.epoch and record.publication == released.publication and record.edge.node == node


def is_group_of(record: GroupRecord, released: Released, node: NodeId) -> bool:
    """Whether what an origin gives back is still its own."""
    return record.place == released.place and record.origin.node == node


def is_outdated(held: HeldStream, now: ClaimRecord) -> bool:
    """Whether an edge that says it carries `held` writes a publication that `now` has outdated."""
    return bool(held.publication) and held.publication != now.publication and held.epoch < now.epoch


def _repeat(held: ClaimRecord, member: NodeRecord, seen: Seen, directory: Directory) -> Ruling:
    """The same question gets the same answer; a group that was lost since is placed anew."""
    if seen.group is not None:
        return Granted(grant_of(held, seen.group))
    return _point(held, seen, directory, machine=member.machine)


def _defend(held: ClaimRecord, directory: Directory, now: float) -> Refused | None:
    """Refuse for a holder that is there or may come back."""
    holder, text = held.edge.node, f"{held.stream} is published at {held.edge.node.name}"
    if directory.node(holder) is None:  # gone, unless the view is older than the claim
        return Refused(Refusal.EXISTS, text, RETRY_AFTER_S) if held.mod_revision > directory.revision else None
    if directory.is_live(holder, now):
        left_s = directory.rejoin_left_s(holder, now) if directory.is_away(holder) else 0.0
        return Refused(Refusal.EXISTS, text, left_s)
    return None


def _write_claim(asked: Claim, member: NodeRecord, seen: Seen, directory: Directory, now: float) -> Ruling:
    """One transaction that makes the claim and points the group."""
    if seen.term is None:
        return Refused(Refusal.UNAVAILABLE, "the term is not known", RETRY_AFTER_S)
    try:
        decision = _keep_or_place(asked.stream, member.machine, seen.group, directory, now)
    except NoOriginAvailable as exc:
        return Refused(Refusal.NO_ORIGIN, str(exc), exc.retry_after_s)
    claim = ClaimRecord(
        stream=asked.stream,
        term=seen.term.term,
        publication=asked.publication,
        edge=member.address,
        origin=decision.origin.name,
    )
    group = _group(claim, decision, seen.term.term, Epoch(seen.term.term, 0))
    puts = (
        Put(claim_key(asked.stream), serialize_claim(claim), member.lease_id),
        Put(group_key(asked.stream), serialize_group(group), decision.origin.lease_id),
    )
    return Write(_compares(asked.stream, seen, seen.term), puts, decision.reason)


def _point(held: ClaimRecord, seen: Seen, directory: Directory, *, machine: str, tried: Collection[str] = ()) -> Ruling:
    """A transaction that points the group of a claim to another origin and leaves the claim."""
    if seen.term is None:
        return Refused(Refusal.UNAVAILABLE, "the term is not known", RETRY_AFTER_S)
    try:
        decision = _place_anew(held.stream, machine, seen.group, directory, tried)
    except NoOriginAvailable as exc:
        return Refused(Refusal.NO_ORIGIN, str(exc), exc.retry_after_s)
    group = _group(held, decision, seen.term.term, held.epoch)
    put = Put(group_key(held.stream), serialize_group(group), decision.origin.lease_id)
    return Write(_compares(held.stream, seen, seen.term), (put,), decision.reason)


def _keep_or_place(stream: StreamKey, machine: str, group: GroupRecord | None, directory: Directory, now: float) -> Decision:
    """The origin that has the group keeps it, with its cache; else where placement says."""
    if group is not None and directory.is_live(group.origin.node, now):
        keeper = directory.candidate(group.origin.node)
        if keeper is not None:
            heir = _present_heir(group, directory) or heir_of(stream, keeper, directory.candidates(), publisher_machine=machine)
            return Decision(keeper, heir, f"{keeper.name} has the group")
    return place(stream, directory.candidates(), publisher_machine=machine)


def _present_heir(group: GroupRecord, directory: Directory) -> Candidate | None:
    heir = group.heir
    return directory.candidate(heir.node) if heir is not None and directory.is_joined(heir.node) else None


def _place_anew(
    stream: StreamKey, machine: str, group: GroupRecord | None, directory: Directory, tried: Collection[str]
) -> Decision:
    """Anywhere but where it was and what was tried, the heir first.

    Where no group is left, whatever was tried has lost its lease since: it may have come back, and is better than nothing.
    """
    avoid = {*tried, group.origin.node.name} if group is not None else set(tried)
    prefer = group.heir.node.name if group is not None and group.heir is not None else ""
    try:
        return place(stream, directory.candidates(), publisher_machine=machine, avoid=avoid, prefer=prefer)
    except NoOriginAvailable:
        if group is not None:
            raise
        return place(stream, directory.candidates(), publisher_machine=machine)


def _group(claim: ClaimRecord, decision: Decision, term: int, epoch: Epoch) -> GroupRecord:
    heir: NodeAddress | None = decision.heir.address if decision.heir else None
    return GroupRecord(
        stream=claim.stream,
        term=term,
        origin=decision.origin.address,
        heir=heir,
        epoch=epoch,
        publication=claim.publication,
    )


def _compares(stream: StreamKey, seen: Seen, term: TermRecord) -> tuple[Compare, ...]:
    """Everything that the decision rests on is still as it was read."""
    return (
        _same(claim_key(stream), seen.claim),
        _same(group_key(stream), seen.group),
        Unchanged(TERM_KEY, term.mod_revision),
    )


def _same(key: str, record: ClaimRecord | GroupRecord | None) -> Compare:
    return Absent(key) if record is None else Unchanged(key, record.mod_revision)
