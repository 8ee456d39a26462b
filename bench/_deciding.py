"""What a scheduler decides and answers a second, and what it takes while a cluster does nothing but report.

Scheduler and etcd are real processes; the nodes are members that say they hold streams (`_nodes.Joined`). The scheduler has a core
to itself where there are two.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
from support.cluster import CLUSTER_KEY, Cluster, Node

from bench import _load, _nodes, cpu
from bench.publish import FULL_PERCENT
from lalmesh.names import StreamKey
from lalmesh.runtime.channels import Channels
from lalmesh.runtime.ownership import Grant, Location, new_publication
from lalmesh.runtime.scheduling import MAX_ITEMS, Claim, GrpcSchedulerClient, HeldStream, Role, Wanted

AT_ONCE = 32  #: questions that are under way together where each asks for one stream
CONSOLES = 8  #: that ask over HTTP, each in one connection
PAGE = 100  #: streams of one answer over HTTP
DEADLINE_S = 30.0
ORIGINS = 10  #: while questions are counted
SHARE = 10  #: of a cluster in which nothing happens one node in so many is an origin, one an hls node, all others are edges
SETTLE_S = 5.0  #: before that is measured


@dataclass(slots=True, frozen=True)
class Rate:
    """One kind of question."""

    per_s: float  #: items
    us_an_item: float  #: processor time of the scheduler
    percent: float  #: of one core
    failed: int

    @property
    def problem(self) -> str:
        """What makes it worthless; nothing where it shows something."""
        return f"{self.failed} were refused" if self.failed else ""


@dataclass(slots=True, frozen=True)
class Idle:
    """A cluster in which nothing happens."""

    nodes: int
    streams: int
    held_per_s: int  #: streams in the reports of one second
    percent: float  #: of one core
    rss_mb: float
    etcd_percent: float
    nodes_percent: float  #: of one core, that the process took in which all nodes are
    away: int  #: nodes that were no members at the end

    @property
    def problem(self) -> str:
        """What makes it worthless; nothing where it shows something."""
        if self.away:
            return f"{self.away} of {self.nodes} nodes were away"
        is_late = self.nodes_percent >= FULL_PERCENT
        return f"the nodes took {self.nodes_percent:.0f}% of a core, and reported late" if is_late else ""

    @property
    def shown(self) -> str:
        """In a few words."""
        return f"scheduler {self.percent:.0f}% of a core, {self.rss_mb:.0f} MB, etcd {self.etcd_percent:.1f}%"


class _Bench:
    """A scheduler, and members of its cluster that share a client."""

    def __init__(self, scheduler: Node, etcd_pid: int, stack: AsyncExitStack) -> None:
        self.scheduler = scheduler
        self.etcd_pid = etcd_pid
        self._stack = stack
        self._channels = Channels((CLUSTER_KEY.encode(),))
        self.client = self.new_client()

    def new_client(self) -> GrpcSchedulerClient:
        client = GrpcSchedulerClient([self.scheduler.grpc_address], dial=self._channels.dial)
        self._stack.push_async_callback(client.close)
        return client

    async def join(self, name: str, role: Role) -> _nodes.Joined:
        """One more member, with a connection of its own."""
        node = _nodes.Joined(name, role, self.new_client())
        task: asyncio.Task[object] = asyncio.create_task(node.run())
        self._stack.push_async_callback(_nodes.ended, [task])
        await node.membership.joined.wait()
        return node


@asynccontextmanager
async def _running(cluster: Cluster, *, apart: bool) -> AsyncIterator[_Bench]:
    cores = _load.Cores(apart=apart)
    scheduler = cluster.schedulers[0]
    cores.give_load(os.getpid())
    cores.give_load(cluster.etcd.pid)
    cores.give_server(scheduler.pid)
    async with AsyncExitStack() as stack:
        stack.callback(cores.give_back, os.getpid())  # or all that is measured after this would share a core
        yield _Bench(scheduler, cluster.etcd.pid, stack)


# rates


def measure_rates(seconds: float, folder: Path, *, apart: bool) -> dict[str, Rate]:
    """All kinds of questions, each for so long."""
    with Cluster(folder, schedulers=1, origins=0, edges=0) as cluster:
        return _nodes.runner().run(_measure_rates(seconds, cluster, apart=apart))


async def _measure_rates(seconds: float, cluster: Cluster, *, apart: bool) -> dict[str, Rate]:
    async with _running(cluster, apart=apart) as bench:
        for number in range(ORIGINS):
            await bench.join(f"origin-{number}", Role.ORIGIN)
        edge = await bench.join("edge", Role.EDGE)
        held = edge.held = list[HeldStream]()
        names = (StreamKey.of("bench", f"s{number}") for number in itertools.count())

        async def claim(count: int) -> int:
            return await _claim(edge, held, list(itertools.islice(names, count)))

        async def locate(count: int) -> int:
            first = next(offsets) % max(1, len(held) - count)
            wanted = [Wanted(each.stream) for each in held[first : first + count]]
            found = await edge.client.locate(wanted, DEADLINE_S)
            return sum(not isinstance(each, Location) for each in found)

        offsets = itertools.count(0, 7)
        kinds: dict[str, tuple[Callable[[int], Awaitable[int]], int, int]] = {
            "claim, one a call": (claim, 1, AT_ONCE),
            f"claim, {MAX_ITEMS} a call": (claim, MAX_ITEMS, 1),
            "locate, one a call": (locate, 1, AT_ONCE),
            f"locate, {MAX_ITEMS} a call": (locate, MAX_ITEMS, 1),
        }
        found = {name: await _rate(bench, seconds, *kind) for name, kind in kinds.items()}
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE_S)) as session:

            async def listing(count: int) -> int:
                page = 1 + next(offsets) % (len(held) // count)
                url = f"{bench.scheduler.api_url}/v1/streams?items_per_page={count}&page={page}"
                async with session.get(url) as answer:
                    await answer.read()
                    return 0 if answer.status == 200 else count

            found["HTTP listing, 1 stream a page"] = await _rate(bench, seconds, listing, 1, CONSOLES)
            found[f"HTTP listing, {PAGE} streams a page"] = await _rate(bench, seconds, listing, PAGE, CONSOLES)
        return found


async def _claim(edge: _nodes.Joined, held: list[HeldStream], streams: Sequence[StreamKey]) -> int:
    """Claim, and hold what is granted; gives how many were refused."""
    claims = [Claim(stream=stream, publication=new_publication()) for stream in streams]
    results = await edge.client.claim(edge.address, claims, DEADLINE_S)
    granted = [result for result in results if isinstance(result, Grant)]
    held += [replace(_held(each), published=True) for each in granted]
    return len(results) - len(granted)


async def _rate(bench: _Bench, seconds: float, ask: Callable[[int], Awaitable[int]], items: int, at_once: int) -> Rate:
    """Ask for `items` in one call, `at_once` calls at the same time, for so long."""
    begun, before_s, done, failed = time.monotonic(), cpu.taken(bench.scheduler.pid).processor_s, 0, 0

    async def one() -> None:
        nonlocal done, failed
        while time.monotonic() - begun < seconds:
            failed += await ask(items)
            done += items

    await asyncio.gather(*(one() for _ in range(at_once)))
    took_s, used_s = time.monotonic() - begun, cpu.taken(bench.scheduler.pid).processor_s - before_s
    return Rate(done / took_s, used_s / done * 1e6, used_s / took_s * 100, failed)


# a cluster in which nothing happens


def roles(nodes: int) -> tuple[int, int, int]:
    """How many of so many nodes are origins, hls nodes and edges."""
    each = max(1, nodes // SHARE)
    return each, each, nodes - 2 * each


def measure_idle(nodes: int, streams: int, seconds: float, folder: Path, *, apart: bool) -> Idle:
    """So many nodes that report each second; every stream is published at one edge, has an origin and is played at another edge."""
    with Cluster(folder, schedulers=1, origins=0, edges=0) as cluster:
        return _nodes.runner().run(_measure_idle(nodes, streams, seconds, cluster, apart=apart))


async def _measure_idle(nodes: int, streams: int, seconds: float, cluster: Cluster, *, apart: bool) -> Idle:
    async with _running(cluster, apart=apart) as bench:
        origins, hls, edges = [
            [await bench.join(f"{role.value}-{number}", role) for number in range(count)]
            for role, count in zip((Role.ORIGIN, Role.HLS, Role.EDGE), roles(nodes), strict=True)
        ]
        await _share_out(streams, edges, origins)
        await asyncio.sleep(SETTLE_S)
        etcd_s, own_s, begun = cpu.taken(bench.etcd_pid).processor_s, time.process_time(), time.monotonic()
        used = await asyncio.to_thread(_load.usage, bench.scheduler.pid, seconds)
        etcd_s, own_s = cpu.taken(bench.etcd_pid).processor_s - etcd_s, time.process_time() - own_s
        took_s, members = time.monotonic() - begun, [*origins, *hls, *edges]
        return Idle(
            nodes,
            streams,
            sum(len(node.held) for node in members),
            used.cpu_percent,
            used.rss_mb,
            etcd_s / took_s * 100,
            own_s / took_s * 100,
            sum(not node.membership.joined.is_set() for node in members),
        )


async def _share_out(streams: int, edges: Sequence[_nodes.Joined], origins: Sequence[_nodes.Joined]) -> None:
    """Have every stream claimed, and held by those who would."""
    owned: dict[str, list[HeldStream]] = {node.address.node.name: [] for node in origins}
    names: Iterator[StreamKey] = (StreamKey.of("bench", f"s{number}") for number in range(streams))
    share = -(-streams // len(edges))
    for number, edge in enumerate(edges):
        mine = list(itertools.islice(names, share))
        claims = [Claim(stream=stream, publication=new_publication()) for stream in mine]
        grants = [each for each in await edge.client.claim(edge.address, claims, DEADLINE_S) if isinstance(each, Grant)]
        if len(grants) < len(mine):
            raise AssertionError(f"{len(mine) - len(grants)} claims were refused")
        seen = [_held(grant) for grant in grants]
        edge.held = [*edge.held, *(replace(each, published=True) for each in seen)]
        player = edges[(number + 1) % len(edges)]
        player.held = [*player.held, *seen]
        for grant, each in zip(grants, seen, strict=True):
            owned[grant.origin.node.name].append(each)
    for node in origins:
        node.held = owned[node.address.node.name]


def _held(grant: Grant) -> HeldStream:
    return HeldStream(
        stream=grant.stream, epoch=grant.epoch, place=grant.place, publication=grant.publication, tracks=_nodes.TRACKS, players=1
    )
