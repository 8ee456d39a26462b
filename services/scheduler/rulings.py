"""What a decision about a stream rests on, and what it can be.

```
            read (the view first, the registry after)
              |
  decide -> Write --- transaction --- succeeded --> Granted
     ^        |            |
     |        |            not: decide again from what it found
     |      Granted or Refused: decided again from the registry where it came from the view, then answered
     +--------+
```
The decisions are pure cores: `claims.py` (first claims), `reclaims.py`, `moves.py`. They know the directory and the time, and no
registry. One transaction writes, and it compares all that was read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch, Grant, NodeAddress, NodeId
from lalmesh.runtime.registry import Absent, Compare, KeyValue, Put, Unchanged
from lalmesh.runtime.scheduling.model import Refusal, Refused
from services.scheduler.candidates import Candidate
from services.scheduler.cluster_records import SETTLING_KEY, TERM_KEY, SettlingRecord, TermRecord, parse_settling, parse_term
from services.scheduler.cluster_state import Standing
from services.scheduler.directory import Directory
from services.scheduler.kept import found_record
from services.scheduler.placement import Decision, Publisher
from services.scheduler.records import (
    ClaimRecord,
    GroupRecord,
    NodeRecord,
    claim_key,
    group_key,
    node_key,
    parse_claim,
    parse_group,
    serialize_claim,
    serialize_group,
)

RETRY_AFTER_S = 0.5  #: pause hinted where the view lags or a node is on its way back: both are over within a second
SETTLED_AFTER_S = 1.0  #: pause hinted while the cluster settles, which takes a lease


@dataclass(slots=True, frozen=True)
class Seen:
    """What was read about one stream, and of the cluster."""

    term: TermRecord | None = None
    claim: ClaimRecord | None = None
    group: GroupRecord | None = None
    settling: SettlingRecord | None = None
    standing: Standing = ()

    @classmethod
    def of(cls, directory: Directory, stream: StreamKey) -> Seen:
        """What the directory knows."""
        cluster = directory.cluster
        return cls(cluster.term, directory.claim(stream), directory.group(stream), cluster.settling, cluster.standing)

    def with_found(self, found: Mapping[str, KeyValue | None], stream: StreamKey) -> Seen:
        """The same with the keys of `found` as they were found; raises `DamagedRecordError`."""
        return Seen(
            term=found_record(found, TERM_KEY, parse_term, self.term),
            claim=found_record(found, claim_key(stream), parse_claim, self.claim),
            group=found_record(found, group_key(stream), parse_group, self.group),
            settling=found_record(found, SETTLING_KEY, parse_settling, self.settling),
            standing=standing_as_found(self.standing, found),
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
    origin: NodeId | None = None  #: that gets the group; None: it stays where it is

    def entries(self, revision: int) -> dict[str, KeyValue | None]:
        """What the registry holds once the transaction was carried out at `revision`."""
        return {put.key: KeyValue(put.key, put.value, revision, revision, put.lease_id) for put in self.operations}


Ruling = Granted | Refused | Write

TERM_UNKNOWN = Refused(Refusal.UNAVAILABLE, "the term is not known", RETRY_AFTER_S)


def publisher_of(member: NodeRecord | None) -> Publisher:
    """Where a publishing edge is, for placement."""
    return Publisher(member.machine, member.zone) if member is not None else Publisher()


def unchanged(stream: StreamKey, seen: Seen, term: TermRecord) -> tuple[Compare, ...]:
    """The compares by which everything that a decision about a stream rests on is still as it was read."""
    return (
        _same(claim_key(stream), seen.claim),
        _same(group_key(stream), seen.group),
        Unchanged(TERM_KEY, term.mod_revision),
    )


def as_it_is_known(node: NodeId, directory: Directory) -> Compare:
    """Whether a node that is gone, or away for too long, has not come back at another replica, unknown to this one."""
    record = directory.named(node.name)
    return Absent(node_key(node.name)) if record is None else Unchanged(node_key(node.name), record.mod_revision)


def put_claim(claim: ClaimRecord, member: NodeRecord) -> Put:
    """Write a claim, under the lease of its edge."""
    return Put(claim_key(claim.stream), serialize_claim(claim), member.lease_id)


def put_group(claim: ClaimRecord, decision: Decision, term: int, epoch: Epoch) -> Put:
    """Point the group of a claim, under the lease of the origin. Revision 0 in `epoch` stands for that of the transaction."""
    heir: NodeAddress | None = decision.heir.address if decision.heir else None
    group = GroupRecord(
        stream=claim.stream,
        term=term,
        origin=decision.origin.address,
        heir=heir,
        epoch=epoch,
        publication=claim.publication,
    )
    return Put(group_key(claim.stream), serialize_group(group), decision.origin.lease_id)


def known_heir(address: NodeAddress | None, origin: Candidate, directory: Directory) -> Candidate | None:
    """The heir that there was, where it may go on to be one of `origin`."""
    record = directory.node(address.node) if address is not None else None
    if record is None or directory.state_of(record) != "joined" or record.machine == origin.machine:
        return None
    return directory.offers.candidate(record)


def _same(key: str, record: ClaimRecord | GroupRecord | None) -> Compare:
    return Absent(key) if record is None else Unchanged(key, record.mod_revision)


def standing_as_found(standing: Standing, found: Mapping[str, KeyValue | None]) -> Standing:
    """The same, None where what was found says that the replica stands no more."""
    stands = standing is not None and all(_holds(compare, found) for compare in standing)
    return standing if stands else None


def _holds(compare: Compare, found: Mapping[str, KeyValue | None]) -> bool:
    """Whether a compare held, as far as `found` says."""
    if compare.key not in found:
        return True
    entry = found[compare.key]
    if isinstance(compare, Absent):
        return entry is None
    return entry is not None and entry.mod_revision == compare.mod_revision
