"""The hls nodes of the simulated cluster, and the storage that they share. Every claimed stream is segmented, played or not."""

from __future__ import annotations

import asyncio
import random

from prometheus_client import CollectorRegistry
from support.hls_fakes import FakeStorage, Objects

from lalmesh.media import TICKS_PER_SECOND
from lalmesh.runtime.follower import FollowSettings
from lalmesh.runtime.member import MemberSettings
from lalmesh.runtime.ownership import HlsOwner
from lalmesh.runtime.ring import Run
from lalmesh.runtime.storage import MAX_LISTED
from services.hls.app import LOOK_S, HlsApp
from services.hls.cuts import CutSettings
from services.hls.hosting import WorkerSettings
from services.hls.settings import HlsSettings
from services.hls.worker import Worker
from services.hls.workers import Workers
from simulation.invariants import Seen
from simulation.links import LinkPool
from simulation.nodes import GRPC_PORT, KEY, LOST_S, Node, Recorder, Surroundings
from simulation.world import EPOCH_S, Process, World

STORE_S = (0.005, 0.05)  #: that storage takes for a call


class SharedStorage(FakeStorage):
    """Objects in a dictionary; each call takes a while."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    async def put(self, path: str, data: bytes) -> None:
        await _a_while()
        self.now_us = int((EPOCH_S + self._world.now) * 1e6)
        await super().put(path, data)
        Recorder.watcher.stored(path)

    async def get(self, path: str) -> bytes | None:
        await _a_while()
        return await super().get(path)

    async def list(self, prefix: str, *, after: str = "", limit: int = MAX_LISTED) -> Objects:
        await _a_while()
        return await super().list(prefix, after=after, limit=limit)


async def _a_while() -> None:
    await asyncio.sleep(random.uniform(*STORE_S))


class SegmentedRuns:
    """In the place of a worker's conversion: shows the watcher what is segmented."""

    def __init__(self, *, enabled: bool = True) -> None:
        process = asyncio.get_running_loop()
        assert isinstance(process, Process)
        self._process = process
        self.seen = Seen()

    def convert(self, run: Run) -> Run:
        watcher = Recorder.watcher
        stream = watcher.stream_of(run.publication)
        watcher.delivered(self._process, stream, self.seen, run)
        watcher.segmenting(stream, run)
        return run


def seen_of(worker: Worker) -> Seen:
    """What a worker got."""
    conversion = worker._conversion
    assert isinstance(conversion, SegmentedRuns)
    return conversion.seen


class HlsNode(Node):
    """An hls node."""

    app: HlsApp

    def __init__(self, around: Surroundings, name: str, clocks: tuple[float, float], storage: SharedStorage) -> None:
        super().__init__(around, name, clocks)
        self._storage = storage

    def _boot(self) -> None:
        process, node = self.process, self._node_id()
        worker = WorkerSettings(
            cuts=CutSettings(segment=2 * TICKS_PER_SECOND, max_target_s=6),
            idle_s=None,
            follow=FollowSettings(lost_s=LOST_S, awaits_first=True, keep_s=6.0),
        )
        self.app = HlsApp(
            node,
            (KEY,),
            HlsSettings(member=MemberSettings(), worker=worker),
            self._scheduler(),
            LinkPool(self.around.network, process, node, self.around.watcher),
            self._storage,
            CollectorRegistry(),
            None,
            lambda: self.name,
            self._evicted,
        )
        self.app.workers.node = self.app.member.listens_at(GRPC_PORT)
        self.app.workers.recordings = None
        self.app.member.drain_asked = self._told_to_drain
        self._watch(self.app.workers)
        process.create_task(self.app.member.run())
        process.create_task(self._look())

    async def _give_away(self, within_s: float) -> None:
        await self.app.drain(within_s)
        await self.app.member.leave()

    def _watch(self, workers: Workers) -> None:
        """Let the watcher see which epochs begin here."""
        assigned = workers.assigned

        def watched(owner: HlsOwner) -> Worker | None:
            before = workers.get(owner.stream)
            worker = assigned(owner)
            if worker is not None and worker is not before:
                self.around.watcher.segments(self.process, worker.stream, worker.epoch)
            return worker

        workers.assigned = watched  # type: ignore[method-assign]

    async def _look(self) -> None:
        """As the app does where there are other hls nodes."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self.app.member.has_joined and not self.app.member.joined.is_set():
                await self.app.workers.look_for_successors()
