"""The store of what must be agreed on and is small: nodes, claims, groups (docs/design.md §5).

The interface follows what etcd gives: one revision that rises with every change, leases under which keys live, transactions
that compare before they write. `services.scheduler.registry` holds the two implementations: in memory, and etcd.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lalmesh.errors import Unavailable


class RegistryUnavailable(Unavailable):
    """The registry did not answer in time; whether a write was carried out is not known."""


@dataclass(slots=True, frozen=True)
class KeyValue:
    """One key as it was at some revision."""

    key: str
    value: bytes
    create_revision: int
    mod_revision: int  #: revision of the transaction that wrote it last
    lease_id: int = 0  #: the lease that it dies with, 0 none


@dataclass(slots=True, frozen=True)
class Absent:
    """Holds where the key does not exist."""

    key: str


@dataclass(slots=True, frozen=True)
class Unchanged:
    """Holds where the key was last written at `mod_revision`."""

    key: str
    mod_revision: int


@dataclass(slots=True, frozen=True)
class Put:
    """Write a key, under a lease or (0) for ever. A key that had another lease leaves it."""

    key: str
    value: bytes
    lease_id: int = 0


@dataclass(slots=True, frozen=True)
class Delete:
    """Remove a key; no error where it does not exist."""

    key: str


Compare = Absent | Unchanged
Operation = Put | Delete


@dataclass(slots=True, frozen=True)
class TransactionResult:
    """What a transaction did."""

    succeeded: bool
    revision: int  #: of the registry after it; where it succeeded and wrote: the mod revision of what it wrote
    #: where it did not succeed, each compared key as it is, None where absent; empty otherwise
    found: dict[str, KeyValue | None] = field(default_factory=dict)


@dataclass(slots=True, frozen=True)
class Listing:
    """All keys under a prefix at one revision."""

    entries: tuple[KeyValue, ...]  #: sorted by key
    revision: int


@dataclass(slots=True, frozen=True)
class Changed:
    """A key under a followed prefix was written."""

    entry: KeyValue


@dataclass(slots=True, frozen=True)
class Removed:
    """A key under a followed prefix is gone: deleted, or its lease ended."""

    key: str
    revision: int


FollowEvent = Listing | Changed | Removed


class Registry(Protocol):
    """What schedulers ask of the store. Every call has the deadline that the implementation was built with.

    Raises (every method):
        RegistryUnavailable: no answer in time, or no endpoint can be reached.
    """

    async def get(self, key: str) -> tuple[KeyValue | None, int]:
        """The key as it is now, linearizable, and the registry's revision."""
        ...

    async def list(self, prefix: str) -> Listing:
        """All keys that begin with `prefix`, linearizable."""
        ...

    async def transact(self, compares: Sequence[Compare], operations: Sequence[Operation]) -> TransactionResult:
        """Carry out all `operations` if every compare holds, otherwise none. No key may stand in two operations.

        A put under a lease that does not exist (any more) raises `LeaseLost`.
        """
        ...

    async def grant_lease(self, ttl_s: int) -> int:
        """A new lease that ends `ttl_s` seconds after its last renewal."""
        ...

    async def renew_lease(self, lease_id: int) -> bool:
        """Renew; False where the lease does not exist (any more)."""
        ...

    async def revoke_lease(self, lease_id: int) -> None:
        """End a lease now, and every key under it. No error where it does not exist."""
        ...

    def follow(self, prefix: str) -> AsyncIterator[FollowEvent]:
        """First a `Listing` of `prefix`, then every change in order of revision, without end.

        A `Listing` comes again where changes may have been missed (compacted or wiped store); it replaces all before it.
        Interruptions are bridged inside; the iterator raises nothing but `asyncio.CancelledError`.
        """
        ...

    async def close(self) -> None:
        """Give back connections."""
        ...


class LeaseLost(Unavailable):
    """The lease that a key was to live under has ended."""

    def __init__(self, lease_id: int) -> None:
        """Keep the lease."""
        self.lease_id = lease_id
        super().__init__(f"lease {lease_id:x} has ended", retry_after_s=0.0)
