"""A clock that the test turns, and what runs on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lalmesh.runtime.registry import Compare, KeyValue, Operation, RegistryUnavailable, TransactionResult
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

    def check(self) -> None:
        if self.is_down:
            raise RegistryUnavailable("down", retry_after_s=0.7)
