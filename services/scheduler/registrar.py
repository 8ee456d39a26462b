"""Keeping a node in the registry: its key, its lease, and the notes that it is away or has left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from lalmesh.errors import ServiceError, Unavailable
from lalmesh.runtime.ownership import NodeId
from lalmesh.runtime.registry import Absent, Compare, KeyValue, LeaseLost, Put, Registry, Unchanged
from lalmesh.runtime.scheduling.model import NodeReport
from services.scheduler.candidates import Candidate
from services.scheduler.cluster_records import DrainRecord, drain_key, parse_drain, serialize_drain
from services.scheduler.records import (
    MAX_REPLACED,
    DamagedRecordError,
    NodeRecord,
    node_key,
    parse_node,
    serialize_node,
)

LOAD_STEP = 0.05  #: a load is written down when the share of the fullest dimension has changed by so much: seldom
MAX_ATTEMPTS = 8  #: transactions of one registration: two replicas that fight over a node are done after two or three


class NameTakenError(ServiceError):
    """The node's name belongs to a newer incarnation."""


@dataclass(slots=True, frozen=True)
class Registration:
    """A node as this replica wrote it last."""

    record: NodeRecord  #: with its lease and the revision of the write
    renewed_at: float  #: by the clock; the lease lives `lease_s` from then at least


class Registrar:
    """Writes nodes into the registry."""

    def __init__(self, registry: Registry, *, lease_s: int, clock: Callable[[], float], learn: Callable[[KeyValue], None]) -> None:
        """Prepare.

        Args:
            registry: where to.
            lease_s: seconds that a node lives without being renewed.
            clock: seconds, never stepping.
            learn: told of every key that was written.
        """
        self._registry = registry
        self._lease_s = lease_s
        self._clock = clock
        self._learn = learn

    async def keep(self, registration: Registration | None, report: NodeReport, known: NodeRecord | None) -> Registration:
        """Make the registry say what the node says, and renew its lease where a third of it has passed.

        Args:
            registration: what this returned last for the same membership stream; None for its first report.
            report: the newest one.
            known: what the registry is known to say of the node.

        Raises:
            NameTakenError: a newer incarnation has the name.
            Unavailable: the registry cannot be reached, or is fought over; try again with the next report.
        """
        if registration is None:
            return await self._register(report, joins=True, known=known)
        if known is not None and (known.away or known.mod_revision != registration.record.mod_revision):
            # It was written by another replica; a store that went back to before gives revisions out again, the same ones too.
            return await self._register(report, joins=False, known=known)
        now = self._clock()
        if now - registration.renewed_at >= self._lease_s / 3:
            if not await self._registry.renew_lease(registration.record.lease_id):
                return await self._register(report, joins=False)
            registration = replace(registration, renewed_at=now)
        before = registration.record
        wanted = NodeRecord.of(report, replaced=before.replaced)
        if not _is_notable(before, wanted):
            wanted = replace(wanted, load=before.load)
        if replace(wanted, lease_id=before.lease_id, mod_revision=before.mod_revision) == before:
            return registration
        written = await self._write(Unchanged(node_key(wanted.node.name), before.mod_revision), wanted, before.lease_id)
        return Registration(written, registration.renewed_at) if written else await self._register(report, joins=False)

    async def note_away(self, registration: Registration) -> None:
        """Tell the other replicas that the node's stream has ended, unless it has joined one of them since.

        Raises:
            Unavailable: the registry cannot be reached.
        """
        record = registration.record
        compare = Unchanged(node_key(record.node.name), record.mod_revision)
        await self._write(compare, replace(record, away=True), record.lease_id)

    async def leave(self, node: NodeId) -> int:
        """End the lease of a node that leaves in order, and all that lives under it; gives its number, 0 where there was none.

        Raises:
            Unavailable: the registry cannot be reached.
        """
        _, before = await self._read(node.name)
        if before is not None and before.node == node:
            await self._registry.revoke_lease(before.lease_id)
            return before.lease_id
        return 0

    async def _register(self, report: NodeReport, *, joins: bool, known: NodeRecord | None = None) -> Registration:
        """Write the node's key under a lease of its own; one that it has already under this incarnation goes on.

        What is `known` of the same incarnation need not be read: nodes that all come back at once cost less.
        """
        key, node = node_key(report.node.node.name), report.node.node
        replaced: tuple[bytes, ...] = ()
        unheard: DrainRecord | None = None
        granted_id = 0
        for _ in range(MAX_ATTEMPTS):
            now = self._clock()
            compare, before = (Unchanged(key, known.mod_revision), known) if known is not None else await self._read(node.name)
            known, lease_id = None, 0  # where it is known wrong, it is read
            if before is not None and before.node == node:
                replaced = before.replaced
                if await self._registry.renew_lease(before.lease_id):
                    lease_id = before.lease_id
            elif before is not None:
                unheard = await self._unheard(before) or unheard
                replaced = await self._replace(before, node, joins=joins)
                compare = Absent(key)
            if not lease_id:
                lease_id = granted_id = granted_id or await self._registry.grant_lease(self._lease_s)
            record = await self._write(compare, NodeRecord.of(report, replaced=replaced), lease_id, unheard)
            if record is not None:
                return Registration(record, now)
        raise Unavailable(f"node {node.name} is being written by somebody else", retry_after_s=1.0)

    async def _replace(self, before: NodeRecord, node: NodeId, *, joins: bool) -> tuple[bytes, ...]:
        """Take the name from an older incarnation: its lease ends, with everything under it."""
        if not joins or node.incarnation in before.replaced:
            raise NameTakenError(f"another incarnation of {node.name} has joined")
        await self._registry.revoke_lease(before.lease_id)
        return (before.node.incarnation, *before.replaced)[:MAX_REPLACED]

    async def _unheard(self, before: NodeRecord) -> DrainRecord | None:
        """That a worker was to drain, and died without having heard of it: nor has its supervisor, which starts it again."""
        if not before.worker_of or before.draining:
            return None
        entry, _ = await self._registry.get(drain_key(before.node.name))
        try:
            drain = parse_drain(entry) if entry is not None else None
        except DamagedRecordError:
            return None
        return drain if drain is not None and drain.node == before.node else None

    async def _read(self, name: str) -> tuple[Compare, NodeRecord | None]:
        """The record of a node, and the compare that holds while it is unchanged."""
        key = node_key(name)
        entry, _ = await self._registry.get(key)
        if entry is None:
            return Absent(key), None
        try:
            return Unchanged(key, entry.mod_revision), parse_node(entry)
        except DamagedRecordError:
            return Unchanged(key, entry.mod_revision), None

    async def _write(
        self, compare: Compare, record: NodeRecord, lease_id: int, drain: DrainRecord | None = None
    ) -> NodeRecord | None:
        """Write the record if `compare` holds, and that the node is to `drain`; None where it does not, or the lease has ended."""
        puts = [Put(node_key(record.node.name), serialize_node(record), lease_id)]
        if drain is not None:
            value = serialize_drain(record.node, drain.deadline_s, all_workers=drain.all_workers)
            puts.append(Put(drain_key(record.node.name), value, lease_id))
        try:
            result = await self._registry.transact([compare], puts)
        except LeaseLost:
            return None
        if not result.succeeded:
            return None
        for put in puts:
            self._learn(KeyValue(put.key, put.value, result.revision, result.revision, lease_id))
        return replace(record, lease_id=lease_id, mod_revision=result.revision)


def is_overwritten(registration: Registration, known: NodeRecord) -> bool:
    """Whether another replica has written the node since this one did: it had a stream of it that came late, or has it now."""
    return known.mod_revision > registration.record.mod_revision


def _is_notable(before: NodeRecord, now: NodeRecord) -> bool:
    """Whether replicas that the node does not report to should know of its load. Groups they count themselves."""
    return abs(_share(now) - _share(before)) >= LOAD_STEP


def _share(record: NodeRecord) -> float:
    fullest = Candidate(address=record.address, machine=record.machine, capacity=record.capacity, load=record.load).fullest
    return fullest.share if fullest is not None else 0.0
