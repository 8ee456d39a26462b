"""How long streams stand still when the process of their origin is killed: 10 to 1,000 streams on it, read by ten edges.

etcd, scheduler and origins are real processes, and so are the links; the edges are light (`_nodes.py`). The other origins share the
publisher's machine, as far as they say, so every stream begins at the one that is killed, and has one of them as its heir.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.cluster import CLUSTER_KEY, Cluster

from bench import _nodes, cpu
from lalmesh.names import StreamKey
from lalmesh.runtime.channels import Channels
from lalmesh.runtime.scheduling import GrpcSchedulerClient
from services.edge.publishing import Publishing

READERS = 10
HEIRS = 2
FLOW_S = 3.0  #: that the streams flow before the kill, once all have begun
LIMIT_S = 60.0  #: for all of them to begin, and to go on
LOOK_S = 0.01


@dataclass(slots=True, frozen=True)
class Sample:
    """One kill."""

    streams: int
    p50_s: float  #: from the kill until a unit that was made after it is there
    p99_s: float
    worst_s: float
    written_s: float  #: until every publication has been told its new place by the scheduler
    missing: int  #: units
    stuck: int  #: streams that did not go on within `LIMIT_S`
    edges_percent: float  #: of a core, from the kill until all go on: what the process with all the edges took
    heirs_percent: float  #: the same of the heirs together
    control_percent: float  #: and of the scheduler with etcd

    @property
    def problem(self) -> str:
        """What makes it worthless; nothing where it shows something."""
        return f"{self.stuck} of {self.streams} streams did not go on" if self.stuck else ""

    @property
    def shown(self) -> str:
        """In a few words."""
        return (
            f"p50 {self.p50_s:.3f}, worst {self.worst_s:.3f} s, registry right after {self.written_s:.2f} s, {self.missing} missing"
        )


def measure(streams: int, folder: Path) -> Sample:
    """Start everything, kill the origin of all streams, end everything."""
    with Cluster(folder, schedulers=1, origins=0, edges=0) as cluster:
        beside = {"cluster.machine": _nodes.PUBLISHER_MACHINE}
        origins = [cluster.add("origin"), *(cluster.add("origin", beside) for _ in range(HEIRS))]
        for origin in origins:
            origin.wait_ready()
        return _nodes.runner().run(_measure(streams, cluster))


async def _measure(streams: int, cluster: Cluster) -> Sample:
    channels = Channels((CLUSTER_KEY.encode(),))
    addresses = [node.grpc_address for node in cluster.schedulers]
    lost = cluster.origins[0]
    names = ["publisher", *(f"reader-{number + 1}" for number in range(READERS))]
    clients = [GrpcSchedulerClient(addresses, dial=channels.dial) for _ in names]
    edges = [
        _nodes.LightEdge(name, client, channels, machine="" if number else _nodes.PUBLISHER_MACHINE)
        for number, (name, client) in enumerate(zip(names, clients, strict=True))
    ]
    publisher, *readers = edges
    tasks: list[asyncio.Task[object]] = []

    def spawn(work: Coroutine[Any, Any, object]) -> None:
        tasks.append(asyncio.create_task(work))

    for edge in edges:
        spawn(edge.run())
    for edge in edges:
        await edge.membership.joined.wait()
    publishings = await publisher.publish([StreamKey.of("bench", f"s{number}") for number in range(streams)])
    elsewhere = sum(each.grant is None or each.grant.origin.node.name != lost.name for each in publishings)
    if elsewhere:
        raise AssertionError(f"{elsewhere} of {streams} streams did not begin at {lost.name}")
    spawn(_nodes.feed(publishings))
    watched = [readers[number % READERS].watch(each.stream, spawn) for number, each in enumerate(publishings)]
    await _until(lambda: sum(not each.units for each in watched))
    await asyncio.sleep(FLOW_S)
    heirs, control = [node.pid for node in cluster.origins[1:]], [*(node.pid for node in cluster.schedulers), cluster.etcd.pid]
    sample = await _kill(lost.name, lost.kill, publishings, watched, heirs, control)
    await _nodes.ended(tasks)
    await publisher.publishers.close(1.0)
    for edge, client in zip(edges, clients, strict=True):
        await edge.links.close()
        await client.close()
    return sample


async def _kill(
    name: str,
    kill: Callable[[], None],
    publishings: Sequence[Publishing],
    watched: Sequence[_nodes.Watched],
    heirs: Sequence[int],
    control: Sequence[int],
) -> Sample:
    lost_at, edges_s = time.time(), time.process_time()
    heirs_s, control_s = (cpu.taken(*pids).processor_s for pids in (heirs, control))
    for each in watched:
        each.lost_at = lost_at
    await asyncio.to_thread(kill)
    stuck = await _until(lambda: sum(each.again_at is None for each in watched))
    all_s = time.time() - lost_at
    more_s = cpu.taken(*heirs).processor_s - heirs_s, cpu.taken(*control).processor_s - control_s
    taken_s = time.process_time() - edges_s, *more_s
    await _until(lambda: sum(each.grant is None or each.grant.origin.node.name == name for each in publishings))
    written_s = time.time() - lost_at
    await asyncio.sleep(1.0)  # what is missing would show
    took = sorted(each.again_at - lost_at for each in watched if each.again_at is not None) or [LIMIT_S]
    return Sample(
        len(watched),
        statistics.median(took),
        took[len(took) * 99 // 100],
        took[-1],
        written_s,
        sum(each.missing for each in watched),
        stuck,
        *(each / all_s * 100 for each in taken_s),
    )


async def _until(left: Callable[[], int]) -> int:
    """Wait until nothing is left, for `LIMIT_S`; gives what is left then."""
    for _ in range(round(LIMIT_S / LOOK_S)):
        if not left():
            break
        await asyncio.sleep(LOOK_S)
    return left()


HEAD = [
    "streams on the lost origin",
    "stood still, p50 s",
    "p99 s",
    "worst s",
    "registry right after s",
    "units missing",
    "edges, % of a core",
    "heirs, %",
    "scheduler and etcd, %",
]


def row(samples: Sequence[Sample]) -> list[str]:
    """The line of one number of streams: medians over the rounds, and the worst of all."""
    return [
        str(samples[0].streams),
        f"{statistics.median(each.p50_s for each in samples):.3f}",
        f"{statistics.median(each.p99_s for each in samples):.3f}",
        f"{max(each.worst_s for each in samples):.3f}",
        f"{statistics.median(each.written_s for each in samples):.2f}",
        str(sum(each.missing for each in samples)),
        f"{statistics.median(each.edges_percent for each in samples):.0f}",
        f"{statistics.median(each.heirs_percent for each in samples):.0f}",
        f"{statistics.median(each.control_percent for each in samples):.0f}",
    ]
