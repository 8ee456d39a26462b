"""Whoever asks a scheduler too much over HTTP is refused, and its nodes stay members meanwhile; others join."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from support.cluster import CLUSTER_KEY, Cluster, Node
from support.members import Member
from support.process import Child

from lalmesh.runtime.channels import Channels
from lalmesh.runtime.scheduling import Capacity, Endpoint, GrpcSchedulerClient, NodeReport, Role

EDGES = 100  #: each of which reports once a second
CONNECTIONS = 700  #: that ask without end: more than may be under way
FLOOD_S = 8.0  #: several times `silence_s`, after which a node that is not heard is away
FLOOD_BEGINS_S = 5.0  #: for all connections to stand
PATH = "/v1/route/play?stream=live/cam&protocol=http-flv"
SUPPORT = Path(__file__).parents[2]


@dataclass
class Edge(Member):
    """An edge that listens for players."""

    interval_s: float = 1.0

    def report(self) -> NodeReport:
        endpoint = Endpoint("http", f"{self.name}.test", 80)
        return replace(super().report(), endpoints=(endpoint,), capacity=Capacity(sessions=1_000_000))


def _flood(scheduler: Node, log: Path) -> Child:
    asked = [str(scheduler.ports["api"]), str(CONNECTIONS), str(FLOOD_S), PATH]
    return Child([sys.executable, "-m", "support.flood", *asked], log=log, env={"PYTHONPATH": str(SUPPORT)})


def _busy(scheduler: Node) -> float:
    """Requests that were refused."""
    found = re.search(r"^scheduler_http_busy_total (\S+)", scheduler.metrics(), re.MULTILINE)
    return float(found[1]) if found else 0.0


async def _refuses(scheduler: Node) -> None:
    async with asyncio.timeout(FLOOD_BEGINS_S):
        while not await asyncio.to_thread(_busy, scheduler):  # noqa: ASYNC110 - another process counts
            await asyncio.sleep(0.05)


async def test_nodes_stay_members_and_join_while_too_much_is_asked_over_http(tmp_path: Path) -> None:
    channels = Channels((CLUSTER_KEY.encode(),))
    with Cluster(tmp_path, schedulers=1, origins=0, edges=0) as cluster:
        async with AsyncExitStack() as stack:
            scheduler = cluster.schedulers[0]

            async def join(name: str) -> Edge:
                client = GrpcSchedulerClient([scheduler.grpc_address], dial=channels.dial)
                stack.push_async_callback(client.close)
                return await stack.enter_async_context(Edge(name, Role.EDGE, client))

            edges = [await join(f"edge-{number}") for number in range(EDGES)]
            flood = await asyncio.to_thread(_flood, scheduler, tmp_path / "flood.log")
            stack.callback(flood.kill)
            await _refuses(scheduler)
            edges.append(await join("edge-late"))
            await asyncio.to_thread(flood.wait, FLOOD_S + FLOOD_BEGINS_S)
            assert all(edge.membership.joined.is_set() for edge in edges)
            assert " is away" not in scheduler.output()
    found = json.loads(flood.output().splitlines()[-1])
    assert set(found["statuses"]) == {"200", "503"}
    assert (found["without_retry_after"], found["lost"]) == (0, 0)
