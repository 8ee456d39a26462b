"""Whatever happens in whatever order, no media sequence number is used twice, and epochs only rise.

Two replicas whose views lag, over the registry in memory; workers that use numbers as they may, are killed, come back as another
incarnation, hand over, and do not always hear that they have lost a stream.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NO_EPOCH, Epoch, HlsOwner, NodeAddress, NodeId
from lalmesh.runtime.registry import Changed, Compare, Delete, Listing, Operation, Put, Removed, TransactionResult
from lalmesh.runtime.scheduling import HlsLimit, HlsReleased, HlsWanted, NodeReport, Role
from services.scheduler import records
from services.scheduler.cluster_records import TERM_KEY
from services.scheduler.directory import Directory
from services.scheduler.hls_records import hls_key, parse_hls
from services.scheduler.metrics import SchedulerMetrics
from services.scheduler.registry import MemoryRegistry
from services.scheduler.segmenting import Segmenting
from services.scheduler.view import View

CAM = StreamKey.of("live", "cam")
STEP = 3  #: numbers that a worker reserves at once
NODES = ("h1", "h2")

STEPS = 80  #: of one history: some ten owners
#: what happens, and how often
WEIGHTS = {"work": 6, "catch_up": 4, "locate": 3, "succeed": 2, "release": 1, "restart": 1, "kill": 1}


class LoggedRegistry(MemoryRegistry):
    """Keeps every change, for views to follow as slowly as they like."""

    def __init__(self) -> None:
        super().__init__(lambda: 0.0)
        self.log: list[Changed | Removed] = []

    async def transact(self, compares: Sequence[Compare], operations: Sequence[Operation]) -> TransactionResult:
        result = await super().transact(compares, operations)
        for operation in operations if result.succeeded else ():
            if isinstance(operation, Put):
                entry, _ = await self.get(operation.key)
                assert entry is not None
                self.log.append(Changed(entry))
            else:
                self.log.append(Removed(operation.key, result.revision))
        return result


class Replica:
    def __init__(self, registry: LoggedRegistry) -> None:
        self._log, self._position = registry.log, 0
        self._directory = Directory(rejoin_s=0.0)
        self._directory.handle(Listing((), 1), 0.0)
        self.view = View(
            registry,
            self._directory,
            SchedulerMetrics(),
            clock=lambda: 0.0,
            wall_clock=lambda: 0.0,
            lease_s=10,
            settles_first=False,
            tell=lambda _: None,
        )
        self.segmenting = Segmenting(registry, self.view, b"key", remember_s=60)

    def catch_up(self, events: int) -> None:
        for event in self._log[self._position : self._position + events]:
            self._directory.handle(event, 0.0)
            self._position += 1


@dataclass
class Worker:
    """A node as it sees itself."""

    address: NodeAddress
    heard: Epoch = NO_EPOCH  #: the highest of its own; what becomes of others it does not hear in this test
    owner: HlsOwner | None = None
    next_number: int = 0
    limit: int = 0

    def assign(self, owner: HlsOwner) -> None:
        """A replica that lags behind may name it again under an epoch that it has handed over: that is no news."""
        if owner.worker == self.address and owner.epoch > self.heard:
            self.owner, self.heard, self.next_number, self.limit = owner, owner.epoch, owner.limit, owner.limit


class World:
    def __init__(self) -> None:
        self.registry = LoggedRegistry()
        self.replicas = [Replica(self.registry) for _ in range(2)]
        self.workers: list[Worker] = []  # of all incarnations
        self.used: dict[int, Epoch] = {}
        self._incarnations = 0

    async def begin(self) -> None:
        edge = NodeAddress(NodeId("e1", b"edge...1"), "e1:1")
        claim = records.ClaimRecord(stream=CAM, term=7, publication=b"p" * 16, edge=edge, origin="o1")
        puts = [Put(TERM_KEY, b"7"), Put(records.claim_key(CAM), records.serialize_claim(claim))]
        await self.registry.transact([], puts)
        for name in NODES:
            await self.join(name)

    async def restart(self, replica: Replica, rng: random.Random) -> None:
        """Another incarnation of a node joins."""
        await self.join(rng.choice(NODES))

    async def join(self, name: str) -> None:
        self._incarnations += 1
        address = NodeAddress(NodeId(name, self._incarnations.to_bytes(8, "big")), f"{name}:1")
        record = records.NodeRecord.of(NodeReport(node=address, role=Role.HLS))
        await self.registry.transact([], [Put(records.node_key(name), records.serialize_node(record))])
        self.workers.append(Worker(address))

    async def kill(self, replica: Replica, rng: random.Random) -> None:
        """The registry forgets a node, which may go on for a while without knowing."""
        await self.registry.transact([], [Delete(records.node_key(rng.choice(NODES)))])

    async def catch_up(self, replica: Replica, rng: random.Random) -> None:
        replica.catch_up(rng.choice([1, 3, len(self.registry.log)]))

    async def locate(self, replica: Replica, rng: random.Random) -> None:
        """Somebody asks, perhaps since it finds the owner not working; who is named hears of it."""
        wanted = HlsWanted(CAM, await self.epoch() if rng.random() < 0.5 else None)
        answer = await replica.segmenting.locate(wanted, _end())
        for worker in self.workers:
            if isinstance(answer, HlsOwner):
                worker.assign(answer)

    async def succeed(self, replica: Replica, rng: random.Random) -> None:
        await replica.segmenting.succeed(CAM, _end())

    async def work(self, replica: Replica, rng: random.Random) -> None:
        """All who think that they segment the stream use some numbers."""
        for worker in self.workers:
            for _ in range(rng.randint(1, 4)):
                await self.use_number(replica, worker)

    async def use_number(self, replica: Replica, worker: Worker) -> None:
        """Use the next number, after raising the limit where it is reached."""
        if worker.owner is None:
            return
        if worker.next_number >= worker.limit:
            asked = HlsLimit(CAM, worker.owner.epoch, worker.next_number + STEP)
            if await replica.segmenting.raise_limit(asked, worker.address, _end()) is not True:
                worker.owner = None
                return
            worker.limit = asked.limit
        assert worker.next_number not in self.used
        self.used[worker.next_number] = worker.owner.epoch
        worker.next_number += 1

    async def release(self, replica: Replica, rng: random.Random) -> None:
        worker = rng.choice(self.workers)
        if worker.owner is not None:
            released = HlsReleased(CAM, worker.owner.epoch, worker.next_number)
            await replica.segmenting.release(released, worker.address, _end())
            worker.owner = None

    async def epoch(self) -> Epoch | None:
        """The present one."""
        entry, _ = await self.registry.get(hls_key(CAM))
        return parse_hls(entry).epoch if entry else None


def _end() -> float:
    return asyncio.get_running_loop().time() + 5.0


@given(st.integers(0, 1 << 32))
def test_no_number_is_used_twice(seed: int) -> None:
    async def scene() -> None:
        world, rng = World(), random.Random(seed)
        await world.begin()
        epoch = NO_EPOCH
        for action in rng.choices(list(WEIGHTS), list(WEIGHTS.values()), k=STEPS):
            await getattr(world, action)(rng.choice(world.replicas), rng)
            now = await world.epoch()
            assert now is None or now >= epoch
            epoch = now or epoch

    asyncio.run(scene())
