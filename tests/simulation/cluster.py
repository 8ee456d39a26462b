"""The cluster of a schedule: one etcd, two schedulers, three origins, three edges, and who pushes and plays."""

from __future__ import annotations

import gc
import logging
import random
import secrets
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from support.standing import stand

from lalmesh.names import StreamKey
from services.scheduler.cluster_records import SETTLING_KEY
from simulation.encoders import Encoder
from simulation.etcd import Etcd
from simulation.hls import HlsNode, SegmentedRuns, SharedStorage
from simulation.invariants import Watcher
from simulation.network import Network, Weather
from simulation.nodes import EdgeNode, Node, OriginNode, Recorder, SchedulerNode, Surroundings
from simulation.world import World, wall_time_ns

SCHEDULERS = ("scheduler-1", "scheduler-2")
STARTED_S = 0.2  #: all nodes have been started
SETTLED_S = 0.5  #: schedulers have the cluster settle before this, publishers come after it


class _NoLoad:
    """In the place of `ProcessLoad`: what this process takes of the machine says nothing of a simulated one."""

    def cpu_fraction(self) -> float:
        return 0.1

    def memory_bytes(self) -> int:
        return 1 << 26


class _Chance(random.Random):
    """In the place of `random.Random`: what is not seeded is seeded from the chance of all."""

    def __init__(self, seed: int | str | None = None) -> None:
        super().__init__(random.getrandbits(64) if seed is None else seed)


@contextmanager
def determined(seed: int) -> Iterator[None]:
    """Chance, ids and load come from `seed` alone, and recorders stand where relays have their outputs."""
    ids = random.Random(f"ids {seed}")
    random.seed(f"events {seed}")
    with ExitStack() as stack:
        stack.enter_context(patch.object(secrets, "token_bytes", ids.randbytes))
        stack.enter_context(patch.object(random, "Random", _Chance))
        stack.enter_context(patch("services.edge.relay.Outputs", Recorder))
        stack.enter_context(patch("services.hls.worker.Conversion", SegmentedRuns))
        stack.enter_context(patch("lalmesh.runtime.member.ProcessLoad", _NoLoad))
        stack.enter_context(patch.object(time, "time_ns", wall_time_ns))
        stack.enter_context(_muted())
        yield


@contextmanager
def _muted() -> Iterator[None]:
    """Coroutines of processes that were killed end where they are: what they have to say to that is of no interest."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.unraisablehook = hook


def clear_away() -> None:
    """Free what schedules have left behind."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    with _muted():
        gc.collect()
    logging.disable(level)


class Cluster:
    """Everything there is."""

    def __init__(
        self,
        weather: Weather,
        *,
        streams: int = 1,
        take_over: bool = False,
        rivals: bool = False,
        hls: bool = False,
        skew: float = 0.0,
        wall_skew_s: float = 0.0,
    ) -> None:
        def clocks() -> tuple[float, float]:
            """How fast the clock of a node runs, and how far ahead its wall clock is."""
            return 1 + random.uniform(-skew, skew), random.uniform(-wall_skew_s, wall_skew_s)

        self.world = World()
        self.network = Network(self.world, weather)
        self.watcher = Recorder.watcher = Watcher(self.world)
        self.etcd = Etcd(self.network)
        around = Surroundings(self.world, self.network, self.watcher, SCHEDULERS)
        self.streams = [StreamKey("live", f"cam{number}") for number in range(streams)]
        self.schedulers = [SchedulerNode(around, name, clocks(), hls_always=hls) for name in SCHEDULERS]
        self.origins = [OriginNode(around, f"origin-{number}", clocks()) for number in (1, 2, 3)]
        self.edges = [
            EdgeNode(around, f"edge-{number}", clocks(), self._played(number), take_over=take_over) for number in (1, 2, 3)
        ]
        storage = SharedStorage(self.world)
        self.segmenters = [HlsNode(around, f"hls-{number}", clocks(), storage) for number in (1, 2) if hls]
        self.encoders = [
            Encoder(around, f"encoder-{stream.name}{which}", stream, self._edges_for(number), sound=number == 1)
            for number, stream in enumerate(self.streams)
            for which in ("ab" if rivals else "a")
        ]

    @property
    def nodes(self) -> list[Node]:
        return [*self.schedulers, *self.origins, *self.edges, *self.segmenters]

    def _played(self, number: int) -> list[StreamKey]:
        """The first stream is played at two edges, the second at one; one of them may be where it is published."""
        return [stream for at, stream in enumerate(self.streams) if number in ((1, 2) if at == 0 else (3,))]

    def _edges_for(self, number: int) -> list[EdgeNode]:
        edges = list(self.edges)
        random.shuffle(edges)
        return edges

    def start(self) -> None:
        """Start everybody at about the same time. That the cluster is new and has to settle is passed over."""
        self.world.at(SETTLED_S, self.network.ether, self.etcd.delete, SETTLING_KEY)
        for scheduler in self.schedulers:
            self.world.at(STARTED_S + 0.1, self.network.ether, self._have_stand, scheduler)
        for node in self.nodes:
            self.world.at(random.uniform(0.0, STARTED_S), self.network.ether, node.start)
        for encoder in self.encoders:
            encoder.begin(random.uniform(SETTLED_S, SETTLED_S + 1.0))

    def _have_stand(self, scheduler: SchedulerNode) -> None:
        process = scheduler.process
        process.call_soon(lambda: process.create_task(stand(scheduler.service)))
