"""Edges that are nothing but members and count who comes, and everybody who is sent to them.

Whoever is sent to an edge comes at once and stays for a while; an edge reports what it has, as real ones do. So the answers of
the scheduler come back to it as load.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

from support.cluster import CLUSTER_KEY

from bench import _nodes
from bench._route_asking import Request
from lalmesh.names import StreamKey
from lalmesh.runtime.channels import Channels
from lalmesh.runtime.scheduling import Capacity, Endpoint, GrpcSchedulerClient, HeldStream, Load, NodeReport, Role

ROOMS = (1600, 3200, 6400)  #: sessions that edges have room for, in turn
ZONES = {"west": "10.0.0.0/9", "east": "10.128.0.0/9"}
STREAMS = 20
PUBLISHERS = 0.05  #: of all who ask
STAY_S = 20.0  #: on average
CHANGE_S = 2.0  #: something happens to an edge as often
SETTLED_S = 2 * STAY_S  #: an edge that has come fills up within it; before, the others carry more
MISSED_S = 3.0  #: an edge that vanishes is known to have after this: 2 s of silence, and what a loaded machine adds
JOIN_S = 20.0


@dataclass(eq=False)
class LightEdge(_nodes.Joined):
    """An edge that counts sessions."""

    def __init__(self, name: str, client: GrpcSchedulerClient, zone: str, room: int, now: float) -> None:
        """Empty, and with room."""
        super().__init__(name, Role.EDGE, client)
        self.zone, self.room, self.came = zone, room, now
        self.sessions = self.opened = 0
        self.closed = float("inf")  #: when the scheduler knew that it takes nobody
        self.drains = False
        self.went = ""  #: how
        self.task: asyncio.Task[None] | None = None
        self._players: Counter[StreamKey] = Counter()

    @property
    def used(self) -> float:
        """Share of its room."""
        return self.sessions / self.room

    def arrive(self, stream: StreamKey) -> None:
        """Somebody comes."""
        self.sessions += 1
        self.opened += 1
        self._players[stream] += 1

    def leave(self, stream: StreamKey) -> None:
        """And goes."""
        self.sessions -= 1
        self._players[stream] -= 1

    def _report(self) -> NodeReport:
        endpoints = tuple(Endpoint(protocol, self.address.node.name, 1) for protocol in ("rtmp", "http"))
        held = [HeldStream(stream=stream, players=count) for stream, count in self._players.items() if count]
        return replace(
            super()._report(),
            zone=self.zone,
            endpoints=endpoints,
            capacity=Capacity(sessions=self.room),
            load=Load(sessions=self.sessions, opened_sessions=self.opened),
            draining=self.drains,
            streams=tuple(held),
        )


@dataclass
class Stage:
    """The edges, and everybody who asks."""

    scheduler: str
    stack: AsyncExitStack
    rng: random.Random = field(default_factory=lambda: random.Random(1))
    edges: dict[str, LightEdge] = field(default_factory=dict)
    changes: Counter[str] = field(default_factory=Counter)
    requests: list[Request] = field(default_factory=list)
    began: float = 0.0
    wrong: Counter[str] = field(default_factory=Counter)
    overfull: int = 0
    spreads: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.channels = Channels((CLUSTER_KEY.encode(),))
        self.streams = [StreamKey.of("live", f"s{number}") for number in range(STREAMS)]
        self.numbers = itertools.count()
        self.gone: dict[str, LightEdge] = {}
        self._leaving: list[tuple[float, int, LightEdge, StreamKey]] = []  # a heap
        self._order = itertools.count()

    # edges

    async def join(self, filled: float = 0.0, *, is_full: bool = False) -> None:
        """One more edge; of one that `is_full` nobody goes."""
        number = next(self.numbers)
        client = GrpcSchedulerClient([self.scheduler], dial=self.channels.dial)
        self.stack.push_async_callback(client.close)
        zone = list(ZONES)[number % len(ZONES)]
        edge = LightEdge(f"edge-{number}", client, zone, ROOMS[number % len(ROOMS)], self.loop.time())
        edge.sessions = edge.room if is_full else 0
        for _ in range(round(edge.room * filled)):
            self._arrive(edge, self.rng.choice(self.streams))
        edge.task = asyncio.create_task(edge.run())
        self.stack.push_async_callback(_nodes.ended, [edge.task])
        (self.gone if is_full else self.edges)[edge.address.node.name] = edge
        async with asyncio.timeout(JOIN_S):
            await edge.membership.joined.wait()

    async def drain(self, edge: LightEdge) -> None:
        """It says that it drains; the answer to that is that the scheduler knows."""
        edge.drains = True
        edge.membership.report_now()
        async with asyncio.timeout(JOIN_S):
            while not edge.membership.elsewhere:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
        self._close(edge)

    async def leave(self, edge: LightEdge) -> None:
        """It leaves in order."""
        await edge.membership.leave()
        self._close(edge)

    async def vanish(self, edge: LightEdge) -> None:
        """Not a word more."""
        if edge.task is not None:
            edge.task.cancel()
        self._close(edge, MISSED_S)

    async def change(self, seconds: float) -> None:
        """Edges come and go: each that goes is replaced by another."""
        kinds = itertools.cycle((self.drain, self.leave, self.vanish))
        for _ in range(round(seconds / CHANGE_S / 2)):
            await asyncio.sleep(CHANGE_S)
            kind, edge = next(kinds), self.rng.choice(list(self.edges.values()))
            del self.edges[edge.address.node.name]
            self.gone[edge.address.node.name] = edge
            edge.went = kind.__name__
            await kind(edge)
            self.changes[edge.went] += 1
            await asyncio.sleep(CHANGE_S)
            await self.join()
            self.changes["join"] += 1

    def _close(self, edge: LightEdge, after_s: float = 0.0) -> None:
        edge.closed = self.loop.time() + after_s

    # who asks

    def path(self) -> str:
        """Somebody's question."""
        network = self.rng.choice((10 << 24, 10 << 24 | 128 << 16))
        client = network + self.rng.randrange(1 << 23)
        stream = self.streams[min(STREAMS - 1, int(self.rng.expovariate(0.1)))]
        publishes = self.rng.random() < PUBLISHERS
        purpose, protocol = ("publish", "rtmp") if publishes else ("play", "http-flv")
        address = ".".join(str(byte) for byte in client.to_bytes(4, "big"))
        return f"/v1/route/{purpose}?stream={stream}&protocol={protocol}&client={address}"

    def done(self, request: Request) -> None:
        """An answer: whoever got it goes where it says."""
        self._go()
        self.requests.append(request)
        if request.status != 200:
            return
        name = request.body["edge"]
        edge = self.edges.get(name) or self.gone.get(name)
        stream = StreamKey.parse(request.body["stream"])
        request.body = None
        if edge is None or request.asked > edge.closed:
            self.wrong[edge.went if edge is not None else "unknown"] += 1
        else:
            self.overfull += edge.sessions >= edge.room
            self._arrive(edge, stream)

    def _arrive(self, edge: LightEdge, stream: StreamKey) -> None:
        edge.arrive(stream)
        until = self.loop.time() + self.rng.expovariate(1 / STAY_S)
        heapq.heappush(self._leaving, (until, next(self._order), edge, stream))

    def _go(self) -> None:
        now = self.loop.time()
        while self._leaving and self._leaving[0][0] <= now:
            _, _, edge, stream = heapq.heappop(self._leaving)
            edge.leave(stream)

    # what is looked at

    async def watch(self) -> None:
        """Each second, how far edges that have been there for long are from their shares."""
        while True:
            await asyncio.sleep(1.0)
            settled = [edge for edge in self.edges.values() if edge.came < self.loop.time() - SETTLED_S or edge.came == self.began]
            self.spreads.append(self.spread(settled))

    def spread(self, edges: Sequence[LightEdge]) -> float:
        """Furthest from what all those of its zone carry together, in percent of that."""
        off = [0.0]
        for zone in ZONES:
            here = [edge for edge in edges if edge.zone == zone]
            shared = sum(edge.sessions for edge in here) / max(1, sum(edge.room for edge in here))
            off += [abs(edge.used / shared - 1) * 100 for edge in here if shared]
        return max(off)
