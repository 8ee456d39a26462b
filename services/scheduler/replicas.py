"""Replicas of the scheduler by name, and those among them that are told to end.

A replica is told as a node is: by `drains/NAME`, which every replica follows, and which dies with the key of the one that is told.
So any of them may be asked. The one that is meant ends by itself: its nodes go to others, and so do its duties.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lalmesh.errors import Unavailable
from lalmesh.runtime.ownership import NodeId
from lalmesh.runtime.registry import KeyValue, Put, Registry, Unchanged
from services.scheduler.changes import Change, DrainChanged
from services.scheduler.cluster_records import drain_key, scheduler_key, serialize_drain
from services.scheduler.presence import Presence
from services.scheduler.view import View

RETRY_S = 1.0  #: after which a replica that changed meanwhile may be asked again


@dataclass(slots=True, frozen=True)
class Replica:
    """One that is written down."""

    node: NodeId
    is_draining: bool
    is_here: bool  #: it is the one that says so

    @property
    def key(self) -> str:
        """Where it is written down."""
        return scheduler_key(self.node.name, self.node.incarnation)


class Replicas:
    """The replicas that one of them knows of."""

    def __init__(self, registry: Registry, view: View, presence: Presence) -> None:
        """Look into `view`; this one is as `presence` wrote it down."""
        self.drain_asked: Callable[[float], None] = _nobody  #: hears that this one is to end, within so many seconds
        self._registry = registry
        self._view = view
        self._presence = presence

    def named(self, name: str) -> Replica | None:
        """The replica of a name; of several starts the last one, for the keys of the others are about to run out."""
        cluster, prefix = self._view.directory.cluster, scheduler_key(name, b"")
        records = [record for record in cluster.schedulers.values() if record.key.startswith(prefix)]
        if not records:
            return None
        latest = max(records, key=lambda record: record.mod_revision)
        node = NodeId(name, bytes.fromhex(latest.key.removeprefix(prefix)))
        return Replica(node, cluster.drain(node) is not None, latest.key == self._presence.key)

    async def ask(self, name: str, deadline_s: float) -> Replica | None:
        """Have a replica end, see `Drains.ask`; None where it is not known.

        Raises:
            Unavailable: not known whether it was asked; asking again does no harm.
        """
        replica = self.named(name)
        if replica is None:
            return None
        entry, _ = await self._registry.get(replica.key)
        if entry is None:
            raise Unavailable(f"{name} is not written down any more", retry_after_s=RETRY_S)
        put = Put(drain_key(name), serialize_drain(replica.node, deadline_s), entry.lease_id)
        result = await self._registry.transact([Unchanged(entry.key, entry.mod_revision)], [put])
        if not result.succeeded:
            raise Unavailable(f"{name} has changed meanwhile", retry_after_s=RETRY_S)
        self._view.learn(KeyValue(put.key, put.value, result.revision, result.revision, put.lease_id))
        return Replica(replica.node, True, replica.is_here)

    def handle(self, change: Change) -> None:
        """Pass it on where this replica is told to end."""
        match change:
            case DrainChanged(_, now) if now is not None and scheduler_key(*now.node) == self._presence.key:
                self.drain_asked(now.deadline_s)
            case _:
                pass


def _nobody(deadline_s: float) -> None:
    """Nobody hears of it."""
