"""The nodes of the simulated cluster: the real apps of every role, each in a process of its own that can die and start again.

Players are recorders in the place of a relay's outputs. Every player and publisher has a session, so that an edge
which drains knows whom to tell and for whom to wait.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from prometheus_client import CollectorRegistry

from lalmesh.errors import ServiceError, Unavailable
from lalmesh.media import TrackSet
from lalmesh.names import StreamKey
from lalmesh.runtime.member import MemberSettings
from lalmesh.runtime.ownership import NodeId, new_incarnation
from lalmesh.runtime.ring import Run
from lalmesh.runtime.scheduling import Drain
from lalmesh.runtime.sessions import SessionRole
from services.edge.app import EdgeApp
from services.edge.client import Client
from services.edge.entrance import RETRY_AFTER_S, Closed
from services.edge.relay import Relay, RelaySettings
from services.edge.settings import EdgeSettings
from services.origin.app import OriginApp, OriginSettings
from services.origin.group import GroupSettings
from services.scheduler import SchedulerService
from simulation.etcd_client import EtcdClient
from simulation.incoming_links import serve_links
from simulation.invariants import Seen, Watcher
from simulation.links import LinkPool
from simulation.network import Network
from simulation.scheduling import SimulatedScheduler, serve_scheduler
from simulation.world import Process, World

log = logging.getLogger(__name__)

KEY = b"a cluster key"
GRPC_PORT = 50_000
LEASE_S = 4  #: the rest of what the services wait for is as in production; what is longer is cut to fit into a schedule
GRACE_S = 6.0
LOST_S = 9.0  #: longer than a publication without an origin pauses between two questions, beyond the grace
CLAIM_TIMEOUT_S = 3.0
WAIT_S = 5.0  #: that a player waits for a stream
FOLLOWS_WORD = 0.5  #: share of clients that leave an edge which drains when they are asked to
LEAVES_S = (0.1, 1.0)  #: that they take for it


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
        self._is_leaving = False

    @property
    def is_running(self) -> bool:
        return self.process.is_alive

    def start(self) -> None:
        """Start it, as a new incarnation."""
        fast, wall_ahead_s = self._clocks
        self.process = Process(self.around.world, self.name, fast=fast, wall_ahead_s=wall_ahead_s)
        self._is_leaving = False
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

    def _told_to_drain(self, drain: Drain) -> None:
        """The scheduler has it drain, as often as it joins: it gives everything away, leaves, and its process ends."""
        if not self._is_leaving:
            self._is_leaving = True
            self.process.create_task(self._leave(drain.deadline_s))

    async def _leave(self, within_s: float) -> None:
        await self._give_away(within_s)
        log.info("drained, and ends")
        self.kill()

    async def _give_away(self, within_s: float) -> None:
        raise NotImplementedError

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
        self.app.member.drain_asked = self._told_to_drain
        serve_links(self.around.network, self.process, self.app.groups, self.around.watcher)
        self.process.create_task(self.app.member.run())

    async def _give_away(self, within_s: float) -> None:
        await self.app.drain(within_s)
        await self.app.stop()


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
        self.app.member.drain_asked = self._told_to_drain
        self.process.create_task(self.app.member.run())
        self.players.clear()
        for stream in self.played:
            self.process.create_task(self._play(stream))

    async def _give_away(self, within_s: float) -> None:
        await self.app.drain(within_s)
        await self.app.stop()

    def admit(self) -> None:
        """Let somebody new in, as listeners do.

        Raises:
            Unavailable: the edge drains.
        """
        if self.app.member.is_draining:
            raise Unavailable(Closed.DRAINING.value, retry_after_s=RETRY_AFTER_S)

    async def _play(self, stream: StreamKey) -> None:
        """A player that comes back whenever it is closed."""
        while True:
            try:
                self.admit()
                relay = await self.app.relays.acquire(stream, WAIT_S)
            except ServiceError as error:
                log.info("no play of %s: %s", stream, error)
            else:
                recorder = recorder_of(relay)
                self.players[stream] = recorder
                client = Client(protocol="rtmp", address=self.name, peer=self.name)
                session = self.app.sessions.open(client, SessionRole.PLAYER, stream, recorder.end)
                session.ask_to_reconnect = partial(leaves_soon, recorder.end, "plays elsewhere")
                reason = await recorder.over
                self.app.sessions.closed(session, reason)
                if not self.app.member.is_draining:
                    self.closures.append(f"{self.around.world.now:.3f} s: players of {stream} at {self.name}: {reason}")
                relay.let_go()
            await asyncio.sleep(random.uniform(0.2, 0.7))


def leaves_soon(leave: Callable[[str], None], reason: str) -> bool:
    """Ask a client of an edge that drains to go on elsewhere; whether it is one that does."""
    if random.random() >= FOLLOWS_WORD:
        return False
    asyncio.get_running_loop().call_later(random.uniform(*LEAVES_S), leave, reason)
    return True


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
