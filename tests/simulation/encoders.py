"""Encoders: they push a unit every 200 ms to whatever edge takes them, and come back when they are closed."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from functools import partial

from lalmesh.errors import ServiceError
from lalmesh.media import AccessUnit, Codec, MediaEvent, Track, TracksChanged, TrackSet
from lalmesh.names import StreamKey
from lalmesh.runtime.sessions import SessionRole
from services.edge.client import Client
from services.edge.publishing import Publishing
from simulation.nodes import EdgeNode, Surroundings, leaves_soon
from simulation.world import Process

log = logging.getLogger(__name__)

UNIT_S = 0.2  #: between two units of a stream
UNIT_TICKS = 18_000
KEY_EACH = 5  #: every fifth unit is a random access point
VIDEO = TrackSet((Track(track_id=1, codec=Codec.H264),), 1)
AUDIO = TrackSet((Track(track_id=1, codec=Codec.AAC),), 1)


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
        self._ended: Callable[[str], None] = _nothing  # of its session
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
            self._around.world.at(self._around.world.now, self._process, self._ended, "unpublished")

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
                self._ended(reason)
                self.closures.append(f"{self._around.world.now:.3f} s: {self.name}: {reason}")
                self._go_elsewhere()

        try:
            edge.admit()
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
        self._begin_session(edge, publishing)
        assert publishing.grant is not None
        self._around.watcher.granted(publishing.grant)
        self._feed(publishing, TracksChanged(self._tracks))

    def _begin_session(self, edge: EdgeNode, publishing: Publishing) -> None:
        sessions = edge.app.sessions

        def leave(reason: str) -> None:
            """Its edge drains: it goes by itself, or is closed when the time is over."""
            if self.publishing is publishing:
                log.info("%s leaves: %s", self.name, reason)
                self.publishing = None
                publishing.close()
                self._ended(reason)
                self._go_elsewhere()

        client = Client(protocol="rtmp", address=self.name, peer=self.name)
        session = sessions.open(client, SessionRole.PUBLISHER, self.stream, leave)
        session.ask_to_reconnect = partial(leaves_soon, leave, "publishes elsewhere")
        self._ended = lambda reason: sessions.closed(session, reason)

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


def _nothing(_reason: str) -> None:
    """It has no session yet."""
