"""The registry as a scheduler has it: etcd over the simulated network, with the policies of `EtcdRegistry`."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

from lalmesh.runtime.registry import (
    Compare,
    FollowEvent,
    KeyValue,
    Listing,
    Operation,
    RegistryUnavailable,
    TransactionResult,
)
from services.scheduler.registry._watch import StartOver, Told
from simulation.etcd import NAME, News, key_of
from simulation.inbox import Inbox, settle
from simulation.network import Network
from simulation.world import Process

log = logging.getLogger(__name__)

TIMEOUT_S = 1.5  #: of every call; with leases of 4 s what 5 s are with leases of 10 s
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0  #: before a broken watch is opened again; as in `registry._watch`


class EtcdClient:
    """The `Registry` of one scheduler."""

    def __init__(self, network: Network, process: Process) -> None:
        self._network = network
        self._process = process

    async def get(self, key: str) -> tuple[KeyValue | None, int]:
        result: tuple[KeyValue | None, int] = await self._ask("get", key)
        return result

    async def list(self, prefix: str) -> Listing:
        listing: Listing = await self._ask("list", prefix)
        return listing

    async def transact(self, compares: Sequence[Compare], operations: Sequence[Operation]) -> TransactionResult:
        result: TransactionResult = await self._ask("transact", compares, operations)
        return result

    async def grant_lease(self, ttl_s: int) -> int:
        lease_id: int = await self._ask("grant_lease", ttl_s)
        return lease_id

    async def renew_lease(self, lease_id: int) -> bool:
        renewed: bool = await self._ask("renew_lease", lease_id)
        return renewed

    async def revoke_lease(self, lease_id: int) -> None:
        await self._ask("revoke_lease", lease_id)

    async def close(self) -> None:
        """Nothing to give back."""

    async def _ask(self, method: str, *args: Any) -> Any:
        answered: asyncio.Future[Any] = self._process.create_future()
        self._network.call(self._process, NAME, NAME, partial(settle, answered), method, *args)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                result = await answered
        except TimeoutError as error:
            raise RegistryUnavailable(f"etcd: no answer in {TIMEOUT_S:g} s", retry_after_s=1.0) from error
        if isinstance(result, ConnectionRefusedError):
            raise RegistryUnavailable("etcd: refused", retry_after_s=1.0)
        if isinstance(result, Exception):
            raise result
        return result

    async def follow(self, prefix: str) -> AsyncIterator[FollowEvent]:
        """As `EtcdRegistry.follow`."""
        told: Told | None = None
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                if told is None:
                    listing = await self.list(prefix)
                    told = Told(listing)
                    yield listing
                async for news in self._watched(prefix, told.revision):
                    pause_s = FIRST_PAUSE_S
                    for event in told.new(news):
                        yield event
            except StartOver:
                told = None
            except RegistryUnavailable as error:
                log.info("following is interrupted: %s", error)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _watched(self, prefix: str, revision: int) -> AsyncIterator[News]:
        end = self._network.connect(self._process, NAME, "watch", dead_s=2 * TIMEOUT_S)
        inbox = Inbox(self._process, end)
        end.send(revision)
        try:
            async for (news,) in inbox:
                if news is None:
                    raise StartOver
                yield [event for event in news if key_of(event).startswith(prefix)]
        finally:
            end.close()
