"""Drains: nodes that are told to give everything away, and the groups of origins that do, moved one by one.

A node drains because it says so (its own SIGTERM), or because it is told: `drains/NAME`, which every replica follows, and which the
one that the node joined hands on; a worker that joins while all of its node drain is told as they were, and one whose start before
died without having heard of it as that was. Groups are moved by the replica that has the duty, each in one transaction that leaves
the claim as it is, and the old origin serves on until its last reader has left. Nothing else moves by itself: an origin that joins
gets new streams only, and the load of the others is left as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.registry import KeyValue, Put, Registry, Unchanged
from lalmesh.runtime.scheduling.model import Refused
from services.scheduler.changes import Change, ClaimChanged, DrainChanged, DutyChanged, GroupChanged, NodeChanged
from services.scheduler.cluster_records import drain_key, serialize_drain
from services.scheduler.metrics import SchedulerMetrics
from services.scheduler.ownership import Ownership
from services.scheduler.parallel import for_each
from services.scheduler.presence import Presence
from services.scheduler.records import NodeRecord, node_key
from services.scheduler.view import View
from services.scheduler.wholes import parts_of

log = logging.getLogger(__name__)

DUTY = "moves"
MOVES_AT_ONCE = 8  #: planned moves that are under way together: few enough for a new origin to take what is replayed to it
PAUSE_S = 0.05  #: between two rounds of them: 1,000 groups are moved in some 10 s, half the usual time to drain
TIME_S = 5.0  #: for one move; the registry's own deadline is shorter
RETRY_S = 1.0  #: pause after a move that could not be made, or a registry that does not answer


class Drains:
    """Tells nodes to drain, and moves what draining origins have. Run `run` as a task of the scheduler."""

    def __init__(self, registry: Registry, view: View, ownership: Ownership, presence: Presence, metrics: SchedulerMetrics) -> None:
        """Look into `view`, move by `ownership` where `presence` has the duty."""
        self._metrics = metrics
        self._registry = registry
        self._view = view
        self._ownership = ownership
        self._presence = presence
        self._wake = asyncio.Event()
        self._stuck = 0  # groups that could not be moved by the last look
        self._failure = ""  # why one of them could not

    async def ask(self, name: str, deadline_s: float) -> list[NodeRecord]:
        """Have a node drain within `deadline_s` seconds, 0 for what it is configured to take, with all its workers.

        Gives whom it asked, nobody where it is not known.

        Raises:
            Unavailable: not known whether all were asked; asking again does no harm.
        """
        asked = parts_of(name, self._view.directory.nodes())
        for record, all_workers in [(record, self._drains_with(record, asked)) for record in asked]:
            await self._ask(record, deadline_s, all_workers=all_workers)
        return asked

    def _drains_with(self, record: NodeRecord, asked: Sequence[NodeRecord]) -> bool:
        """Whether a record is one of several workers, of which none goes on once `asked` drain."""
        directory = self._view.directory
        workers = parts_of(record.worker_of, directory.nodes()) if record.worker_of else []
        return bool(workers) and all(each in asked or directory.state_of(each) == "draining" for each in workers)

    async def _ask(self, record: NodeRecord, deadline_s: float, *, all_workers: bool) -> None:
        name = record.node.name
        put = Put(drain_key(name), serialize_drain(record.node, deadline_s, all_workers=all_workers), record.lease_id)
        result = await self._registry.transact([Unchanged(node_key(name), record.mod_revision)], [put])
        if not result.succeeded:
            self._view.learn(result.found.get(node_key(name)))
            raise Unavailable(f"{name} has changed meanwhile", retry_after_s=RETRY_S)
        self._view.learn(KeyValue(put.key, put.value, result.revision, result.revision, put.lease_id))

    def handle(self, change: Change) -> None:
        """Look soon if a change may leave a draining origin with a group to be moved."""
        match change:
            case NodeChanged() | DrainChanged() | DutyChanged():
                self._wake.set()
            case ClaimChanged(_, now) if now is not None:
                self._wake_for(now.stream)
            case GroupChanged(_, now) if now is not None:
                self._wake_for(now.stream)
            case _:
                pass

    async def run(self) -> None:
        """Look without end."""
        while True:
            self._wake.clear()
            try:
                wait_s = await self._look()
            except Unavailable as exc:
                log.warning("groups cannot be moved: %s", exc)
                wait_s = RETRY_S
            except Exception:  # a bug of ours must not end the moves of every stream
                log.exception("groups of draining origins could not be looked after")
                wait_s = RETRY_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    def _wake_for(self, stream: StreamKey) -> None:
        group = self._view.directory.group(stream)
        if group is not None and self._view.directory.is_draining(group.origin.node):
            self._wake.set()

    async def _look(self) -> float | None:
        """Move what is to be moved; seconds until the next look, None: not before something changes."""
        streams = self._find()
        if not streams:
            return None
        if not await self._presence.has_duty(DUTY):
            return RETRY_S
        log.info("%d groups of draining origins are to be moved", len(streams))
        before, self._stuck = self._stuck, 0
        for start in range(0, len(streams), MOVES_AT_ONCE):
            await for_each(streams[start : start + MOVES_AT_ONCE], self._move)
            await asyncio.sleep(PAUSE_S)
        if not self._stuck:
            return 0
        level = logging.DEBUG if before else logging.WARNING  # once, not with every look
        log.log(level, "%d groups stay at origins that drain: %s", self._stuck, self._failure)
        return RETRY_S

    def _find(self) -> list[StreamKey]:
        """Claimed streams at origins that drain."""
        directory = self._view.directory
        draining = directory.offers.draining()
        carried = [stream for origin in draining for stream in directory.carried_by(origin)]
        return sorted(stream for stream in carried if directory.claim(stream) is not None)

    async def _move(self, stream: StreamKey) -> None:
        answer = await self._ownership.move_away(stream, asyncio.get_running_loop().time() + TIME_S)
        if isinstance(answer, Refused):
            self._stuck, self._failure = self._stuck + 1, answer.detail
        else:
            self._metrics.planned_moves.inc(answer is not None)
