"""A clock that the test turns, and what runs on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lalmesh.runtime.registry import Compare, KeyValue, Listing, Operation, RegistryUnavailable, TransactionResult
from services.scheduler.registry import MemoryRegistry


@dataclass
class Clock:
    """Seconds, which pass when the test says so."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


class FlakyRegistry(MemoryRegistry):
    """`is_down`: no answer. `loses_answers`: what is asked for is done, but nobody hears of it."""

    is_down = False
    loses_answers = False

    async def transact(self, compares: Sequence[Compare], operations: Sequence[Operation]) -> TransactionResult:
        self.check()
        result = await super().transact(compares, operations)
        if self.loses_answers:
            raise RegistryUnavailable("no answer", retry_after_s=0.7)
        return result

    async def get(self, key: str) -> tuple[KeyValue | None, int]:
        self.check()
        return await super().get(key)

    async def renew_lease(self, lease_id: int) -> bool:
        self.check()
        return await super().renew_lease(lease_id)

    async def list(self, prefix: str) -> Listing:
        self.check()
        return await super().list(prefix)

    def check(self) -> None:
        if self.is_down:
            raise RegistryUnavailable("down", retry_after_s=0.7)


class RestoredRegistry(FlakyRegistry):
    """One that can be wiped, or set back to what it held some time ago; who follows it hears of that when the test says so."""

    def snapshot(self) -> tuple[int, dict[str, KeyValue]]:
        """What it holds now."""
        return self._revision, dict(self._entries)

    def restore(self, snapshot: tuple[int, dict[str, KeyValue]]) -> None:
        """Hold what it held then; leases live on."""
        self._revision, self._entries = snapshot[0], dict(snapshot[1])
        for lease in self._leases.values():
            lease.keys = {key for key in lease.keys if key in self._entries}

    async def write_unheard(self, *operations: Operation) -> None:
        """Carry them out; who follows does not hear of it."""
        following, self._followers = self._followers, set()
        await self.transact([], operations)
        self._followers = following

    def wipe(self) -> None:
        """Hold nothing, as at the first start."""
        self._revision = 1
        self._entries.clear()
        self._leases.clear()

    def start_over(self) -> None:
        """Followers find out."""
        for follower in self._followers:
            follower.start_over()
            follower.wake.set()
