"""The registry in one process: etcd's rules over a dictionary.

Nothing here waits but followers, so each call is one step for everybody else. Time is the clock that the registry was built
with; a lease ends at the first call, or `MemoryRegistry.expire`, after its time. As in etcd an empty store has revision 1, a
transaction that changes something raises it by one, and a lease takes all its keys along in one revision.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from lalmesh.runtime.registry import (
    Absent,
    Changed,
    Compare,
    Delete,
    FollowEvent,
    KeyValue,
    LeaseLost,
    Listing,
    Operation,
    Put,
    RegistryUnavailable,
    Removed,
    TransactionResult,
    Unchanged,
)
from services.scheduler.registry._rules import check_transaction

MAX_LAG_EVENTS = 10_000  #: kept for a follower, a few MB; one that is further behind is quicker served with a new listing
EXPIRE_CHECK_S = 0.5  #: how late `MemoryRegistry.keep_time` ends a lease at most; etcd checks as often


@dataclass(slots=True, kw_only=True)
class _Lease:
    ttl_s: int
    ends_at: float
    keys: set[str] = field(default_factory=set)


class _Follower:
    """What one `MemoryRegistry.follow` has still to be told."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.needs_listing = True
        self.events: deque[Changed | Removed] = deque()
        self.wake = asyncio.Event()

    def tell(self, event: Changed | Removed, key: str) -> None:
        """Keep `event` if it is about the prefix; where too many wait, drop them all for a listing."""
        if self.needs_listing or not key.startswith(self.prefix):
            return
        if len(self.events) == MAX_LAG_EVENTS:
            self.start_over()
        else:
            self.events.append(event)
        self.wake.set()

    def start_over(self) -> None:
        """Have a listing come next."""
        self.events.clear()
        self.needs_listing = True


class MemoryRegistry:
    """The registry in memory (see `lalmesh.runtime.registry.Registry`)."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """An empty registry at revision 1; `clock` gives seconds and never goes back."""
        self._clock = clock
        self._revision = 1
        self._entries: dict[str, KeyValue] = {}
        self._leases: dict[int, _Lease] = {}
        self._lease_ids = itertools.count(1)
        self._followers: set[_Follower] = set()
        self._closed = False

    async def get(self, key: str) -> tuple[KeyValue | None, int]:
        """The key as it is now, and the registry's revision."""
        self._begin()
        return self._entries.get(key), self._revision

    async def list(self, prefix: str) -> Listing:
        """All keys that begin with `prefix`."""
        self._begin()
        return self._listing(prefix)

    async def transact(self, compares: Sequence[Compare], operations: Sequence[Operation]) -> TransactionResult:
        """Carry out all `operations` if every compare holds, otherwise none.

        Raises:
            LeaseLost: a put names a lease that has ended; nothing was written.
            LocalProtocolError: a key stands in two operations, or the transaction is too large.
        """
        self._begin()
        check_transaction(compares, operations)
        if not all(self._holds(compare) for compare in compares):
            found = {compare.key: self._entries.get(compare.key) for compare in compares}
            return TransactionResult(False, self._revision, found)
        for operation in operations:
            if isinstance(operation, Put) and operation.lease_id and operation.lease_id not in self._leases:
                raise LeaseLost(operation.lease_id)
        self._write(operations)
        return TransactionResult(True, self._revision)

    async def grant_lease(self, ttl_s: int) -> int:
        """A new lease that ends `ttl_s` seconds after its last renewal."""
        self._begin()
        lease_id = next(self._lease_ids)
        self._leases[lease_id] = _Lease(ttl_s=ttl_s, ends_at=self._clock() + ttl_s)
        return lease_id

    async def renew_lease(self, lease_id: int) -> bool:
        """Renew; False where the lease does not exist (any more)."""
        self._begin()
        lease = self._leases.get(lease_id)
        if lease is None:
            return False
        lease.ends_at = self._clock() + lease.ttl_s
        return True

    async def revoke_lease(self, lease_id: int) -> None:
        """End a lease now, and every key under it. No error where it does not exist."""
        self._begin()
        self._end_lease(lease_id)

    async def follow(self, prefix: str) -> AsyncIterator[FollowEvent]:
        """A `Listing` of `prefix`, then every change; a `Listing` again after `MAX_LAG_EVENTS` of lag. Ends with `close`."""
        follower = _Follower(prefix)
        self._followers.add(follower)
        try:
            while not self._closed:
                if follower.needs_listing:
                    self.expire()
                    follower.needs_listing = False
                    yield self._listing(prefix)
                elif follower.events:
                    yield follower.events.popleft()
                else:
                    follower.wake.clear()
                    await follower.wake.wait()
        finally:
            self._followers.discard(follower)

    async def close(self) -> None:
        """End the followers; every call from now on raises `RegistryUnavailable`."""
        self._closed = True
        for follower in self._followers:
            follower.wake.set()

    def expire(self) -> float | None:
        """End the leases whose time has come.

        Returns:
            When, by the clock, the next lease ends if nobody renews it; None without leases.
        """
        now = self._clock()
        for lease_id in [lease_id for lease_id, lease in self._leases.items() if lease.ends_at <= now]:
            self._end_lease(lease_id)
        return min((lease.ends_at for lease in self._leases.values()), default=None)

    async def keep_time(self) -> None:
        """Call `expire` every `EXPIRE_CHECK_S` until closed: a task for whoever runs by the wall clock."""
        while not self._closed:
            self.expire()
            await asyncio.sleep(EXPIRE_CHECK_S)

    def _begin(self) -> None:
        if self._closed:
            raise RegistryUnavailable("registry is closed", retry_after_s=1.0)
        self.expire()

    def _listing(self, prefix: str) -> Listing:
        keys = sorted(key for key in self._entries if key.startswith(prefix))
        return Listing(tuple(self._entries[key] for key in keys), self._revision)

    def _holds(self, compare: Compare) -> bool:
        entry = self._entries.get(compare.key)
        match compare:
            case Absent():
                return entry is None
            case Unchanged(mod_revision=mod_revision):
                return (entry.mod_revision if entry else 0) == mod_revision  # etcd too takes an absent key for revision 0
            case _:
                assert_never(compare)

    def _write(self, operations: Iterable[Operation]) -> None:
        """Carry out `operations` as one revision, or none where nothing changes."""
        revision = self._revision + 1
        changes = [(operation.key, self._apply(operation, revision)) for operation in operations]
        for key, event in changes:
            if event is not None:
                self._revision = revision
                for follower in self._followers:
                    follower.tell(event, key)

    def _apply(self, operation: Operation, revision: int) -> Changed | Removed | None:
        old = self._entries.pop(operation.key, None)
        if old is not None and old.lease_id in self._leases:
            self._leases[old.lease_id].keys.discard(old.key)
        match operation:
            case Put(key=key, value=value, lease_id=lease_id):
                entry = KeyValue(key, value, old.create_revision if old else revision, revision, lease_id)
                self._entries[key] = entry
                if lease_id:
                    self._leases[lease_id].keys.add(key)
                return Changed(entry)
            case Delete(key=key):
                return Removed(key, revision) if old else None
            case _:
                assert_never(operation)

    def _end_lease(self, lease_id: int) -> None:
        lease = self._leases.pop(lease_id, None)
        if lease is not None:
            self._write([Delete(key) for key in sorted(lease.keys)])
