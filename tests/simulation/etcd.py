"""etcd, as one linearizable store that each scheduler reaches or not: revisions, leases, watches, and what goes wrong with it.

The rules of transactions and leases are those of `MemoryRegistry`. What comes on top: watches that resume from a revision, as
long as that is not compacted; a leader that is lost, so that nothing is answered, and whose successor lets every lease live its
whole time again; data that is wiped, or restored from a snapshot: with the members that it had it is under the same cluster id, as
etcd's own is, so a scheduler that was away meanwhile sees no more than revisions.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from lalmesh.runtime.registry import (
    Changed,
    Delete,
    KeyValue,
    Removed,
)
from services.scheduler.registry import MemoryRegistry
from simulation.connections import End
from simulation.network import Network
from simulation.world import Process

log = logging.getLogger(__name__)

NAME = "etcd"
WRITES = 1000  #: that the store has seen before a schedule, and sees between a snapshot and its return
EXPIRY_S = 0.25  #: between two looks for leases that have ended

News = list[Changed | Removed]  #: what one transaction changed
_T = TypeVar("_T")


@dataclass(slots=True, frozen=True)
class Snapshot:
    """The data at some moment."""

    revision: int
    entries: dict[str, KeyValue]
    leases: dict[int, Any]


class _Store(MemoryRegistry):
    """The rules, with a history of changes."""

    def __init__(self, clock: Callable[[], float], changed: Callable[[list[Changed | Removed]], None]) -> None:
        super().__init__(clock)
        self.history: list[tuple[int, Changed | Removed]] = []
        self.compacted = 1  #: the history begins after this revision
        self._changed = changed
        self._news: list[Changed | Removed] = []
        self._followers.add(self)  # type: ignore[arg-type]

    @property
    def revision(self) -> int:
        return self._revision

    @property
    def entries(self) -> dict[str, KeyValue]:
        return self._entries

    def tell(self, event: Changed | Removed, key: str) -> None:
        """A change, as followers hear of it."""
        self.history.append((self._revision, event))
        self._news.append(event)

    def _write(self, operations: Any) -> None:
        super()._write(operations)
        if self._news:
            news, self._news = self._news, []
            self._changed(news)

    def pass_over(self, writes: int) -> None:
        """So many writes that are of no interest here."""
        self._revision += writes

    def compact(self) -> None:
        self.history.clear()
        self.compacted = self._revision

    def snapshot(self) -> Snapshot:
        leases = {number: replace(lease, keys=set(lease.keys)) for number, lease in self._leases.items()}
        return Snapshot(self._revision, dict(self._entries), leases)

    def become(self, snapshot: Snapshot) -> None:
        """Go on from other data. Leases live their whole time again; numbers of leases never come again, as with etcd."""
        self._revision, self._entries = snapshot.revision, dict(snapshot.entries)
        self._leases = {number: replace(lease, keys=set(lease.keys)) for number, lease in snapshot.leases.items()}
        self.prolong_leases()
        self.compact()

    def prolong_leases(self) -> None:
        for lease in self._leases.values():
            lease.ends_at = self._clock() + lease.ttl_s


class Etcd:
    """The store and its listeners."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._process = Process(network.world, NAME)
        self.store = _Store(self._process.time, self._tell)
        self.store.pass_over(WRITES)
        self.has_leader = True
        self._watches: dict[End, str] = {}  # who watches
        self._stuck: dict[str, list[tuple[End, News]]] = {}  # what waits for those whose watches are stuck
        network.run(self._process)
        network.serve(self._process, NAME, self._call)
        network.serve(self._process, "watch", self._watch)
        self._process.call_soon(self._expire)

    # faults

    def lose_leader(self) -> None:
        """Nothing is answered from now on, no lease ends."""
        self.has_leader = False

    def elect(self) -> None:
        """A new leader, which lets every lease live its whole time again."""
        self.has_leader = True
        self.store.prolong_leases()
        self._break_watches()

    def compact(self) -> None:
        self.store.compact()

    def become(self, snapshot: Snapshot) -> None:
        """Wiped, or restored."""
        self.store.become(snapshot)
        self._break_watches()

    def snapshot(self, writes: int = WRITES) -> Snapshot:
        """What it may be restored from later; so much is written meanwhile beside what is seen here."""
        snapshot = self.store.snapshot()
        self.store.pass_over(writes)
        return snapshot

    def hold_watches(self, name: str) -> None:
        """The watches of a scheduler are stuck; what it asks is answered."""
        self._stuck.setdefault(name, [])

    def release_watches(self, name: str) -> None:
        """They go on, with all that they have missed."""
        for end, news in self._stuck.pop(name, ()):
            end.send(news)

    def wipe(self) -> None:
        self.become(Snapshot(1, {}, {}))

    def delete(self, key: str) -> None:
        """Somebody removes a key by hand."""
        _at_once(self.store.transact([], [Delete(key)]))

    # what it does

    def _expire(self) -> None:
        if self.has_leader:
            self.store.expire()
        self._process.call_later(EXPIRY_S, self._expire)

    def _call(self, reply: Callable[[Any], None], method: str, *args: Any) -> None:
        if not self.has_leader:
            return
        try:
            result = _at_once(getattr(self.store, method)(*args))
        except Exception as error:
            result = error
        reply(result)

    def _watch(self, _process: Process, end: End, source: str) -> None:
        def opened(revision: int) -> None:
            """It is told what happened at `revision` once more, as far as the history goes."""
            if revision < self.store.compacted or revision > self.store.revision:
                end.send(None)  # list again
                return
            missed = [event for at, event in self.store.history if at >= revision]
            self._watches[end] = source
            self._send(end, source, missed)

        def closed(_reason: str) -> None:
            self._watches.pop(end, None)

        end.receive, end.closed = opened, closed

    def _tell(self, news: list[Changed | Removed]) -> None:
        for end, source in self._watches.items():
            self._send(end, source, news)

    def _send(self, end: End, source: str, news: News) -> None:
        stuck = self._stuck.get(source)
        if stuck is None:
            end.send(news)
        else:
            stuck.append((end, news))

    def _break_watches(self) -> None:
        watches, self._watches = self._watches, {}
        for end in watches:
            end.close("reset")


def key_of(event: Changed | Removed) -> str:
    """Of what was written or removed."""
    return event.entry.key if isinstance(event, Changed) else event.key


def _at_once(work: Coroutine[Any, Any, _T]) -> _T:
    """What a coroutine that waits for nothing gives."""
    try:
        work.send(None)
    except StopIteration as done:
        result: _T = done.value
        return result
    raise AssertionError("the store waits for something")
