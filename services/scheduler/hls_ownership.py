"""Who segments a stream: decided from what was read, in one write that compares what was read.

```
        nobody, or a dead owner: Write(named) -> owner, a new epoch     stream gone, owner dead: Write(nobody, numbers kept)
        an owner that lives:     Owned        -> the same answer        the owner itself: Write(limit), Write(nobody, exact)
```
A pure core, as `claims.py`: it knows the directory and the time, and no registry. An owner lives as the holder of a claim does: it
is a member, or away for less than `rejoin_s`; one that is newer than the view is taken to live.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NO_EPOCH, Epoch, HlsOwner, NodeAddress, NodeId
from lalmesh.runtime.registry import Absent, Compare, KeyValue, Put, Unchanged
from lalmesh.runtime.scheduling.hls import HlsLimit, HlsReleased
from lalmesh.runtime.scheduling.model import Refusal, Refused
from services.scheduler.cluster_records import SETTLING_KEY, TERM_KEY, SettlingRecord, TermRecord, parse_settling, parse_term
from services.scheduler.cluster_state import Standing
from services.scheduler.directory import Directory
from services.scheduler.hls_placement import choose_worker
from services.scheduler.hls_records import HlsRecord, hls_key, parse_hls, serialize_hls
from services.scheduler.kept import found_record
from services.scheduler.records import claim_key, group_key
from services.scheduler.rulings import RETRY_AFTER_S, SETTLED_AFTER_S, as_it_is_known, standing_as_found

VIEW_LAG_S = 0.5  #: the view is behind the registry for less than this, unless that is away


@dataclass(slots=True, frozen=True)
class HlsSeen:
    """What was read about one stream."""

    term: TermRecord | None = None
    record: HlsRecord | None = None
    is_published: bool = False  #: it has a claim or a group
    settling: SettlingRecord | None = None
    standing: Standing = ()

    @classmethod
    def of(cls, directory: Directory, stream: StreamKey) -> HlsSeen:
        """What the directory knows."""
        cluster, record = directory.cluster, directory.hls.record(stream)
        return cls(cluster.term, record, directory.is_published(stream), cluster.settling, cluster.standing)

    def with_found(self, found: Mapping[str, KeyValue | None], stream: StreamKey) -> HlsSeen:
        """The same with the keys of `found` as they were found; raises `DamagedRecordError`."""
        is_published = self.is_published
        if claim_key(stream) in found and group_key(stream) in found:
            is_published = any((found[claim_key(stream)], found[group_key(stream)]))
        return HlsSeen(
            term=found_record(found, TERM_KEY, parse_term, self.term),
            record=found_record(found, hls_key(stream), parse_hls, self.record),
            is_published=is_published,
            settling=found_record(found, SETTLING_KEY, parse_settling, self.settling),
            standing=standing_as_found(self.standing, found),
        )

    @property
    def waits(self) -> bool:
        """Whether an owner that is not there has not died: it may be about to come back, and segments meanwhile."""
        return self.settling is not None or self.standing is None

    @property
    def settled(self) -> tuple[Compare, ...]:
        """What holds while it does not, whatever of that was seen."""
        return (Absent(SETTLING_KEY), *(self.standing or ()))


@dataclass(slots=True, frozen=True)
class Owned:
    """Nothing needs to be written: this is the owner."""

    owner: HlsOwner  #: not yet signed


@dataclass(slots=True, frozen=True)
class Held:
    """Nothing needs to be written: whether the asker is the owner and has what it wants."""

    holds: bool


@dataclass(slots=True, frozen=True)
class Write:
    """A transaction that, where it succeeds, makes the answer true."""

    compares: tuple[Compare, ...]
    record: HlsRecord
    reason: str

    @property
    def names_owner(self) -> bool:
        """Whether it gives the stream to somebody, under an epoch of its own."""
        return self.record.epoch.revision == 0

    @property
    def is_at_rest(self) -> bool:
        """Whether the key is to vanish some time, since nobody segments the stream."""
        return self.record.owner is None

    def put(self, lease_id: int) -> Put:
        """What is to be written; `lease_id` is of a lease for this key alone where it `is_at_rest`, else 0."""
        return Put(hls_key(self.record.stream), serialize_hls(self.record), lease_id)


Ruling = Owned | Held | Refused | Write


def decide_owner(
    stream: StreamKey, seen: HlsSeen, directory: Directory, now: float, *, shown: Epoch = NO_EPOCH, is_asked: bool = True
) -> Owned | Refused | Write:
    """The owner that lives, whatever the asker found of it; otherwise another, where the stream is published.

    Where the asker has been `shown` an epoch that the registry knows nothing of, that was restored: whoever is named is above it.
    Where nobody has asked, so that nobody waits, one that the registry does not show may have yet to say that he is the owner.
    """
    record = seen.record
    answer = record.answer() if record is not None and record.epoch >= shown and lives(record, directory, now) else None
    if answer is not None:
        return Owned(answer)
    lost = record.owner if record is not None and record.epoch >= shown else None
    if seen.waits and (lost is not None or not is_asked):
        return Refused(
            Refusal.SETTLING, f"{stream} waits for {lost.node.name if lost else 'its owner'} to come back", SETTLED_AFTER_S
        )
    if not seen.is_published:
        return Refused(Refusal.NOT_FOUND, f"{stream} is nowhere")
    if seen.term is None:
        return Refused(Refusal.UNAVAILABLE, "the term is not known", RETRY_AFTER_S)
    chosen = choose_worker(stream, directory.offers.workers())
    if chosen is None:
        return Refused(Refusal.NO_WORKER, f"no hls node has room for {stream}", RETRY_AFTER_S)
    worker, reason = chosen
    named = HlsRecord(
        stream=stream,
        owner=worker.address,
        epoch=Epoch(_term_above(seen.term.term, record, shown), 0),
        limit=record.limit if record else 0,
        exact=record is not None and record.owner is None and record.exact,  # a dead owner may have gone on
    )
    compares = (_same(stream, record), Unchanged(TERM_KEY, seen.term.mod_revision), *_still_lost(lost, directory))
    return Write((*compares, *(seen.settled if lost is not None or not is_asked else ())), named, reason)


def decide_succession(stream: StreamKey, seen: HlsSeen, directory: Directory, now: float) -> Owned | Held | Refused | Write:
    """What becomes of a stream whose owner may have died: another owner where it is published, rest where it is not."""
    record = seen.record
    if record is None or record.owner is None:
        return Held(False)
    if lives(record, directory, now) or seen.is_published:
        return decide_owner(stream, seen, directory, now, is_asked=False)
    if seen.waits:
        return Held(False)
    rest = replace(record, owner=None, exact=False)
    unclaimed = (Absent(claim_key(stream)), Absent(group_key(stream)))  # who claims it now is not seen yet
    compares = (_same(stream, record), *unclaimed, *_still_lost(record.owner, directory), *seen.settled)
    return Write(compares, rest, f"{record.owner.node.name} is gone, and so is the stream")


def decide_limit(asked: HlsLimit, node: NodeAddress, seen: HlsSeen) -> Held | Write:
    """Raise the limit of an owner; never lower it.

    A key that is absent, or older than the owner, is no loss of it (the registry was wiped, or restored): the owner has it written
    again under the epoch that it had. Nor is one at rest that nobody handed over: the owner was taken for dead, and is back.
    """
    record = seen.record
    was_taken_for_dead = record is not None and record.owner is None and not record.exact and record.epoch == asked.epoch
    if record is None or was_taken_for_dead or record.epoch < asked.epoch:
        again = HlsRecord(stream=asked.stream, owner=node, epoch=asked.epoch, limit=max(asked.limit, record.limit if record else 0))
        return Write((_same(asked.stream, record),), again, f"{node.node.name} has it from before")
    if not _is_owner(record, node.node, asked.epoch):
        return Held(False)
    if asked.limit <= record.limit and not record.exact:
        return Held(True)
    raised = replace(record, limit=max(asked.limit, record.limit), exact=False)
    return Write((_same(asked.stream, record),), raised, f"numbers to {raised.limit}")


def decide_release(asked: HlsReleased, node: NodeId, seen: HlsSeen) -> Held | Write:
    """Take a stream back from its owner, which says what the next number is."""
    record = seen.record
    if record is None or not _is_owner(record, node, asked.epoch):
        return Held(False)
    rest = replace(record, owner=None, limit=asked.next_number, exact=True)
    return Write((_same(asked.stream, record),), rest, f"{node.name} has handed over")


def decide_given_up(stream: StreamKey, epoch: Epoch, node: NodeId, seen: HlsSeen) -> Held | Write:
    """Take a stream from an owner that lives and does not segment it; if it does after all, it has that written again."""
    record = seen.record
    if record is None or not _is_owner(record, node, epoch):
        return Held(False)
    return Write((_same(stream, record),), replace(record, owner=None, exact=False), f"{node.name} does not segment it")


def lives(record: HlsRecord, directory: Directory, now: float) -> bool:
    """Whether the stream has an owner that may keep it."""
    if record.owner is None:
        return False
    owner = record.owner.node
    if directory.node(owner) is None:
        return record.mod_revision > directory.revision  # the view is older than the record
    return directory.is_live(owner, now)


def find_orphans(directory: Directory, now: float) -> tuple[list[StreamKey], float | None]:
    """The streams whose owner has died, and the seconds until another may be given up; None: nobody is away.

    While the cluster settles nobody has died: whoever is not there may be about to say that he is. Nor may a replica say so that
    does not stand.
    """
    if directory.cluster.settling is not None:
        return [], None
    if directory.cluster.standing is None:
        return [], VIEW_LAG_S
    orphans: list[StreamKey] = []
    waits_s: list[float] = []
    for node in directory.hls.owners():
        if directory.is_live(node, now):
            if directory.is_away(node):
                waits_s.append(directory.rejoin_left_s(node, now))
            continue
        streams = sorted(directory.hls.owned(node))
        due = [stream for stream in streams if (record := directory.hls.record(stream)) and not lives(record, directory, now)]
        orphans += due
        if len(due) < len(streams):  # named by somebody who knows more than this view does yet
            waits_s.append(VIEW_LAG_S)
    return orphans, min(waits_s, default=None)


def _term_above(term: int, before: HlsRecord | None, shown: Epoch) -> int:
    """The term under which a write that changes `before` gives an epoch above every one that is known of the stream.

    The revision of the write will be above that of `before`, which is enough unless the registry was wiped or restored since.
    """
    newest = max(shown, before.epoch) if before is not None else shown
    if newest.term < term:
        return term
    return newest.term + (newest.revision > (before.mod_revision if before is not None else 0))


def _is_owner(record: HlsRecord, node: NodeId, epoch: Epoch) -> bool:
    return record.owner is not None and record.owner.node == node and record.epoch == epoch


def _still_lost(owner: NodeAddress | None, directory: Directory) -> tuple[Compare, ...]:
    """That an owner which has died, by what is known here, has not come back somewhere else."""
    return (as_it_is_known(owner.node, directory),) if owner is not None else ()


def _same(stream: StreamKey, record: HlsRecord | None) -> Compare:
    return Absent(hls_key(stream)) if record is None else Unchanged(hls_key(stream), record.mod_revision)
