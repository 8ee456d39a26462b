"""The nodes of the simulated cluster: the real apps of every role, each in a process of its own that can die and start again.

Players are recorders in the place of a relay's outputs; encoders push a unit every 200 ms to whatever edge takes them.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from prometheus_client import CollectorRegistry

from lalmesh.errors import ServiceError
from lalmesh.media import AccessUnit, Codec, MediaEvent, Track, TracksChanged, TrackSet
from lalmesh.names import StreamKey
from lalmesh.runtime.member import MemberSettings
from lalmesh.runtime.ownership import NodeId, new_incarnation
from lalmesh.runtime.ring import Run
from services.edge.app import EdgeApp, EdgeSettings
from services.edge.publishing import Publishing
from services.edge.relay import Relay, RelaySettings
from services.origin.app import OriginApp, OriginSettings
from services.origin.group import GroupSettings
from services.scheduler import SchedulerService
from simulation.etcd import EtcdClient
from simulation.invariants import Seen, Watcher
from simulation.links import LinkPool, serve_links
from simulation.network import Network
from simulation.scheduling import SimulatedScheduler, serve_scheduler
from simulation.world import Process, World

log = logging.getLogger(__name__)

KEY = b"a cluster key"
GRPC_PORT = 50_000
UNIT_S = 0.2  #: between two units of a stream
UNIT_TICKS = 18_000
KEY_EACH = 5  #: every fifth unit is a random access point
LEASE_S = 4  #: the rest of what the services wait for is as in production; what is longer is cut to fit into a schedule
GRACE_S = 6.0
LOST_S = 8.0
CLAIM_TIMEOUT_S = 3.0
WAIT_S = 5.0  #: that a player waits for a stream

VIDEO = TrackSet((Track(track_id=1, codec=Codec.H264),), 1)
AUDIO = TrackSet((Track(track_id=1, codec=Codec.AAC),), 1)


@dataclass(slots=True)
class Surroundings:
    """What every node is in."""

    world: World
    network: Network
    watcher: Watcher
    schedulers: Sequence[str]


class Node:
    """One node: a name, and a process while it runs."""

    def __init__(self, around: Surroundings, name: str, clocks: tuple[float, float]) -> None:
        self.around = around
        self.name = name
        self._clocks = clocks
        self.process = Process(around.world, name)
        self.process.kill()

    @property
    def is_running(self) -> bool:
        return self.process.is_alive

    def start(self) -> None:
        """Start it, as a new incarnation."""
        fast, wall_ahead_s = self._clocks
        self.process = Process(self.around.world, self.name, fast=fast, wall_ahead_s=wall_ahead_s)
        self.around.network.run(self.process)
        self.process.call_soon(self._boot)

    def kill(self, *, silently: bool = False) -> None:
        """SIGKILL; `silently`: its machine vanishes with it."""
        self.process.kill()
        self.around.network.died(self.process, silently=silently)

    def halt(self) -> None:
        self.process.halt()
        self.around.network.changed()

    def resume(self) -> None:
        self.process.resume()
        self.around.network.changed()

    def _boot(self) -> None:
        raise NotImplementedError

    def _scheduler(self) -> SimulatedScheduler:
        return SimulatedScheduler(self.around.network, self.process, self.around.schedulers)

    def _node_id(self) -> NodeId:
        return NodeId(self.name, new_incarnation())

    def _evicted(self, reason: str) -> None:
        """Another start of this node has taken its place; here that is a fault that a restart mends."""
        log.info("evicted: %s", reason)
        self.kill()
        self.around.world.at(self.around.world.now + 1.0, self.around.network.ether, self.start)


class SchedulerNode(Node):
    """A replica of the scheduler."""

    service: SchedulerService

    def __init__(self, around: Surroundings, name: str, clocks: tuple[float, float], *, hls_always: bool = False) -> None:
        super().__init__(around, name, clocks)
        self._hls_always = hls_always

    def _boot(self) -> None:
        process, network = self.process, self.around.network
        self.service = SchedulerService(
            EtcdClient(network, process),
            [KEY],
            name=self.name,
            lease_s=LEASE_S,
            hls_always=self._hls_always,
            clock=process.time,
            wall_clock=process.wall_time,
        )
        process.create_task(self.service.start())
        serve_scheduler(network, process, self.service)


class OriginNode(Node):
    """An origin."""

    app: OriginApp

    def _boot(self) -> None:
        settings = OriginSettings(groups=GroupSettings(grace_s=GRACE_S, release_retry_s=1.0, waiting_s=WAIT_S))
        self.app = OriginApp(
            self._node_id(), (KEY,), settings, self._scheduler(), CollectorRegistry(), None, lambda: self.name, self._evicted
        )
        self.app.member.listens_at(GRPC_PORT)
        serve_links(self.around.network, self.process, self.app.groups, self.around.watcher)
        self.process.create_task(self.app.member.run())


class EdgeNode(Node):
    """An edge with its players."""

    app: EdgeApp

    def __init__(
        self, around: Surroundings, name: str, clocks: tuple[float, float], played: Sequence[StreamKey], *, take_over: bool = False
    ) -> None:
        super().__init__(around, name, clocks)
        self.played = played
        self.players: dict[StreamKey, Recorder] = {}
        self.closures: list[str] = []  #: of players
        self._take_over = take_over

    def _boot(self) -> None:
        settings = EdgeSettings(
            member=MemberSettings(), relay=RelaySettings(lost_s=LOST_S), take_over=self._take_over, claim_timeout_s=CLAIM_TIMEOUT_S
        )
        node = self._node_id()
        links = LinkPool(self.around.network, self.process, node, self.around.watcher)
        self.app = EdgeApp(node, settings, self._scheduler(), links, CollectorRegistry(), lambda: self.name, self._evicted)
        self.app.member.listens_at(GRPC_PORT)
        self.process.create_task(self.app.member.run())
        self.players.clear()
        for stream in self.played:
            self.process.create_task(self._play(stream))

    async def _play(self, stream: StreamKey) -> None:
        """A player that comes back whenever it is closed."""
        while True:
            try:
                relay = await self.app.relays.acquire(stream, WAIT_S)
            except ServiceError as error:
                log.info("no play of %s: %s", stream, error)
            else:
                recorder = recorder_of(relay)
                self.players[stream] = recorder
                reason = await recorder.over
                self.closures.append(f"{self.around.world.now:.3f} s: players of {stream} at {self.name}: {reason}")
                relay.let_go()
            await asyncio.sleep(random.uniform(0.2, 0.7))


class Recorder:
    """In the place of a relay's `Outputs`: shows the watcher what players would get."""

    watcher: ClassVar[Watcher]  #: of the schedule that runs: there is one at a time in this process

    def __init__(self, stream: StreamKey, *_: object, **__: object) -> None:
        process = asyncio.get_running_loop()
        assert isinstance(process, Process)
        self.stream = stream
        self.process = process
        self.seen = Seen()
        self.over: asyncio.Future[str] = process.create_future()
        self.players = 1
        self.tracks = TrackSet()
        self.fanouts: list[object] = []
        self.left_out: tuple[str, ...] = ()
        self.left_out_counts: Counter[tuple[str, str]] = Counter()

    def feed(self, run: Run) -> None:
        Recorder.watcher.delivered(self.process, self.stream, self.seen, run)

    def end(self, reason: str) -> None:
        log.info("players of %s closed: %s", self.stream, reason)
        if not self.over.done():
            self.over.set_result(reason)

    def sweep(self) -> None:
        """Nobody is slow here."""


def recorder_of(relay: Relay) -> Recorder:
    outputs = relay.outputs
    assert isinstance(outputs, Recorder)
    return outputs


class Encoder:
    """Pushes a stream to one edge after another, a unit every `UNIT_S`, and comes back when it is closed."""

    def __init__(
        self, around: Surroundings, name: str, stream: StreamKey, edges: Sequence[EdgeNode], *, sound: bool = False
    ) -> None:
        self.name = name
        self.stream = stream
        self.publishing: Publishing | None = None
        self.edge: EdgeNode = edges[0]
        self.stopped = False
        self.pushed = 0
        self.closures: list[str] = []
        self._around = around
        self._edges = list(edges)
        self._tracks = AUDIO if sound else VIDEO
        self._key_each = 1 if sound else KEY_EACH
        self._process: Process = self.edge.process
        self._is_connecting = False
        self._is_retired = False
        self._number = random.randrange(1000)
        self._began = 0  # number at which its clock began, anew with each connection
        self._ether = around.network.ether

    @property
    def is_live(self) -> bool:
        return self.publishing is not None and self._process.is_alive

    def begin(self, after_s: float) -> None:
        """Connect for the first time, and let time pass."""
        world = self._around.world
        world.at(world.now + after_s, self._ether, self._connect)
        world.at(world.now + after_s, self._ether, self._tick)

    def stop(self) -> None:
        """Go, for a while or for good."""
        self.stopped = True
        publishing, self.publishing = self.publishing, None
        if publishing is not None:
            self._around.world.at(self._around.world.now, self._process, publishing.close)

    def retire(self) -> None:
        """Go, and never come back."""
        self._is_retired = True
        self.stop()

    def resume(self) -> None:
        if not self._is_retired:
            self.stopped = False
            self._again(0.0)

    def _connect(self) -> None:
        if self.stopped or self.publishing is not None:
            return
        edge, process = self.edge, self.edge.process
        if not process.is_alive:
            self._go_elsewhere()
            return
        self._process, self._is_connecting = process, True
        self._began = self._number - random.randrange(100)
        process.call_soon(lambda: process.create_task(self._publish(edge, process)))

    async def _publish(self, edge: EdgeNode, process: Process) -> None:
        started: list[Publishing] = []

        def ended(reason: str) -> None:
            log.info("%s closed: %s", self.name, reason)
            if started and self.publishing is started[0]:
                self.publishing = None
                self.closures.append(f"{self._around.world.now:.3f} s: {self.name}: {reason}")
                self._go_elsewhere()

        try:
            publishing = await edge.app.publishers.start(self.stream, ended)
        except ServiceError as error:
            log.info("%s refused: %s", self.name, error)
            if process is self._process:
                self._is_connecting = False
                self._go_elsewhere()
            return
        if process is not self._process or self.stopped:
            publishing.close()
            return
        self._is_connecting = False
        started.append(publishing)
        self.publishing = publishing
        assert publishing.grant is not None
        self._around.watcher.granted(publishing.grant)
        self._feed(publishing, TracksChanged(self._tracks))

    def _go_elsewhere(self) -> None:
        self.edge = random.choice(self._edges)
        self._again(random.uniform(0.3, 1.0))

    def _again(self, after_s: float) -> None:
        world = self._around.world
        world.at(world.now + after_s, self._ether, self._connect)

    def _tick(self) -> None:
        """Time goes on at the encoder whether it is connected or not."""
        world = self._around.world
        world.at(world.now + UNIT_S, self._ether, self._tick)
        self._number += 1
        publishing = self.publishing
        if (publishing is not None or self._is_connecting) and not self._process.is_alive:
            log.info("%s lost its edge", self.name)
            publishing = self.publishing = None
            self._is_connecting = False
            self._go_elsewhere()
        if publishing is None:
            return
        payload = f"{self.name}:{self._number}".encode()
        unit = AccessUnit(1, (self._number - self._began) * UNIT_TICKS, 0, self._number % self._key_each == 0, payload)
        world.at(world.now, self._process, self._feed, publishing, unit)

    def _feed(self, publishing: Publishing, event: MediaEvent) -> None:
        if publishing is not self.publishing:
            return
        publishing.feed([event], int(self._process.wall_time() * 1e6))
        if isinstance(event, AccessUnit):
            self.pushed += 1
            name = publishing.core.ring.last_name
            assert name is not None
            self._around.watcher.published(name.publication, name.seq, event.payload)
