"""The term: made where there is none, and raised above whatever anybody has seen (docs/design.md §5).

```
  absent                                 made: Unix seconds, or one above every one that is known here
  shown a higher term, or an epoch of    raised past it, in one transaction that compares the term,
  this term above the store's revision   and that makes the cluster settle
  the store went back under us           the same: any epoch of this term may have been granted
```
So an epoch that is granted afterwards is above every one that was granted before, though etcd was wiped or restored from an old
snapshot. Places are made of the same two numbers and count as well.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from lalmesh.errors import Unavailable
from lalmesh.runtime.ownership import NO_EPOCH, Epoch, Place
from lalmesh.runtime.registry import Absent, Compare, Delete, KeyValue, Operation, Put, Registry, TransactionResult, Unchanged
from services.scheduler.cluster_records import (
    SETTLING_KEY,
    TERM_KEY,
    TermRecord,
    parse_term,
    serialize_settling,
    serialize_term,
)
from services.scheduler.directory import Directory
from services.scheduler.metrics import SchedulerMetrics

log = logging.getLogger(__name__)

NEVER = -1  #: a mod revision that no key has
LAST_REVISION = (1 << 63) - 1  #: etcd counts in signed 64 bits
RETRY_S = 0.5  #: pause between two attempts to raise the term
MAX_WRITES = 128  #: transactions of one replica that are under way together; more wait their turn


class StoreWentBackError(Unavailable):
    """The store is at a lower revision than it was: wiped or restored. What was just written may have to be undone."""


class Terms:
    """Keeps the term, and every transaction on the right side of it."""

    def __init__(
        self,
        registry: Registry,
        directory: Directory,
        metrics: SchedulerMetrics,
        *,
        wall_clock: Callable[[], float],
        lease_s: int,
        settles_first: bool,
        learn: Callable[[KeyValue | None], None],
        start_over: Callable[[], None],
    ) -> None:
        """Begin with nothing known.

        Args:
            registry: what all replicas share.
            directory: what is known of it.
            metrics: where to count.
            wall_clock: Unix seconds.
            lease_s: seconds that the cluster settles for.
            settles_first: whether the very first term that is known here makes it settle too.
            learn: told of what was read and written.
            start_over: called where what is known of the store is of another past.
        """
        self._registry = registry
        self._directory = directory
        self._metrics = metrics
        self._wall_clock = wall_clock
        self._lease_s = lease_s
        self._settles_first = settles_first
        self._learn = learn
        self._start_over = start_over
        self._shown = NO_EPOCH
        self._revision = 0  # the highest that the store, as it is, has told
        self._raising = asyncio.Lock()
        self._wake = asyncio.Event()
        self._writes = asyncio.Semaphore(MAX_WRITES)
        #: the newest term that was known; 0 before
        self.term = 0

    def show(self, *shown: Epoch | Place) -> None:
        """Somebody has seen these: what is granted from now on is above them."""
        for each in shown:
            self._shown = max(self._shown, Epoch(each.term, each.revision))
        if self._is_behind():
            self._wake.set()

    @property
    def revision(self) -> int:
        """The highest that the store, as it is, has told."""
        return self._revision

    def told(self, revision: int, *, since: int = 0) -> None:
        """The store has come to `revision`.

        It is linearizable: what was asked for after `since` was known is answered at none below that, unless it is not what it was.
        """
        if revision < since:
            self._go_back(since, revision)
        self._revision = max(self._revision, revision)
        self._keep()

    async def transact(self, compares: Sequence[Compare], operations: Sequence[Operation]) -> TransactionResult:
        """Carry out a transaction that grants something.

        Raises:
            LeaseLost: see `Registry.transact`.
            StoreWentBackError: the store is not what it was; where the transaction wrote, that was undone.
            Unavailable: the registry cannot be reached.
        """
        async with self._writes:
            before = self._revision
            result = await self._registry.transact(compares, operations)
            has_written = result.succeeded and bool(operations)
            self.told(result.revision, since=before + has_written)
            if result.revision >= before + has_written:
                return result
            if has_written:
                await self._undo(operations, result.revision)
        raise StoreWentBackError("the registry went back in time", retry_after_s=0.5)

    async def run(self) -> None:
        """Keep up with what is shown, without end."""
        while True:
            self._wake.clear()
            try:
                await self.keep_up()
            except Unavailable as exc:
                log.warning("the term cannot be kept: %s", exc)
            except Exception:  # a bug of ours, or a term that no scheduler wrote, must not end the scheduler
                log.exception("the term cannot be kept")
            else:
                await self._wake.wait()
                continue
            await asyncio.sleep(RETRY_S)

    async def keep_up(self) -> None:
        """Have a term in the registry that nothing which was shown is above.

        Raises:
            Unavailable: the registry cannot be reached, or the view of it has yet to follow.
        """
        if not self._is_behind():
            return
        async with self._raising:
            if self._is_behind():
                await self._catch_up()
            if self._is_behind():
                raise Unavailable("the term is being raised", retry_after_s=RETRY_S)

    def _keep(self) -> None:
        record = self._directory.term
        if record is not None:
            self.term = max(self.term, record.term)
        if self._is_behind():
            self._wake.set()

    def _is_behind(self) -> bool:
        record = self._directory.term
        return record is None or record.term < self.term or self._shown > Epoch(record.term, self._revision)

    def _go_back(self, before: int, now: int) -> None:
        """The term is spent: others may have granted epochs at revisions that were not even seen here."""
        if self._shown < (spent := Epoch(self.term, LAST_REVISION)):
            log.warning("the registry went back from revision %d to %d", before, now)
            self.show(spent)
        self._revision = now
        self._start_over()

    async def _catch_up(self) -> None:
        """Ask the registry, which may be ahead of the view, and raise the term where that does not help."""
        since = self._revision
        now = await self._registry.transact([Unchanged(TERM_KEY, NEVER)], [])
        entry = now.found.get(TERM_KEY)
        record = parse_term(entry) if entry is not None else None
        self._learn(entry)
        if record is not None and ((known := self._directory.term) is None or known.mod_revision < record.mod_revision):
            self._start_over()  # the view is past that write and does not have it: what it followed is another past
        self.told(now.revision, since=since)
        if record is None or record.term < self.term or self._shown > Epoch(record.term, now.revision):
            await self._raise(record)

    async def _raise(self, before: TermRecord | None) -> None:
        compare = Absent(TERM_KEY) if before is None else Unchanged(TERM_KEY, before.mod_revision)
        term = max(int(self._wall_clock()), self.term + 1, self._shown.term + 1)
        puts = [Put(TERM_KEY, serialize_term(term))]
        if before is not None or self.term or self._shown > NO_EPOCH or self._settles_first:
            lease_id = await self._registry.grant_lease(self._lease_s)
            puts.append(Put(SETTLING_KEY, serialize_settling(f"term {term} is new"), lease_id))
        known = before.term if before is not None else self.term
        result = await self._registry.transact([compare], puts)
        if not result.succeeded:
            self._learn(result.found.get(TERM_KEY))
            return
        log.warning("term %d, after %d", term, known)
        self._metrics.terms.inc()
        for put in puts:
            self._learn(KeyValue(put.key, put.value, result.revision, result.revision, put.lease_id))
        self.told(result.revision)

    async def _undo(self, operations: Sequence[Operation], revision: int) -> None:
        """Take back what was granted under a term that is no longer above everything."""
        puts = [operation for operation in operations if isinstance(operation, Put)]
        if puts:
            await self._registry.transact([Unchanged(put.key, revision) for put in puts], [Delete(put.key) for put in puts])
