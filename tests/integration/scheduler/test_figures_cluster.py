"""What nodes report is shown by every replica, whichever they joined."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from support.members import LIMIT_S, eventually
from support.schedulers import Cluster

from lalmesh.media import Codec, Track, TrackSet
from lalmesh.names import StreamKey
from lalmesh.runtime.scheduling import HeldStream, Role
from lalmesh.runtime.scheduling.model import StreamState
from services.scheduler import SchedulerApp
from services.scheduler.members import Session
from services.scheduler.peers import OwnFigures
from services.scheduler.registry import MemoryRegistry

TRACKS = TrackSet((Track(track_id=1, codec=Codec.H264, width=1280, height=720),), 1)
CAM = StreamKey.of("live/a", "cam 1")
#: what an edge says of the last seconds of a publisher
OF_LATE: dict[str, Any] = {
    "frames_end_s": 100, "frames": (25, 24), "payload_bytes": (1000, 2),
    "gops_end_us": 99_000_000, "gop_frames": (50, 25), "gop_ms": (2000, 1000),
}  # fmt: skip
TOLD_S = 1.0  #: in which replicas tell one another what they know


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        registry = MemoryRegistry(asyncio.get_running_loop().time)
        keeping = asyncio.create_task(registry.keep_time())
        stack.callback(keeping.cancel)
        yield Cluster(iter(lambda: registry, None), stack)


class Web:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def get(self, app: SchedulerApp, path: str) -> Any:
        async with self._session.get(f"http://127.0.0.1:{app.http_port}/v1/{path}") as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def alike(self, apps: list[SchedulerApp], path: str) -> Any:
        """What all of them answer, once they do so alike."""
        for _ in range(round(LIMIT_S / 0.1)):
            answers = [await self.get(app, path) for app in apps]
            if answers[0] == answers[1]:
                return answers[0]
            await asyncio.sleep(0.1)
        raise AssertionError(f"{answers}")


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    async with aiohttp.ClientSession() as session:
        yield Web(session)


async def test_every_replica_shows_what_nodes_report_to_any(cluster: Cluster, web: Web) -> None:
    one, two = await cluster.replica(name="s1"), await cluster.replica(name="s2")
    origin = await cluster.member("o1", Role.ORIGIN, cluster.client(one))
    publisher = await cluster.member("e1", Role.EDGE, cluster.client(one))
    player = await cluster.member("e2", Role.EDGE, cluster.client(two))
    grant = await publisher.granted_in_time(CAM)
    about: dict[str, Any] = {
        "stream": CAM,
        "tracks": TRACKS,
        "epoch": grant.epoch,
        "place": grant.place,
        "publication": grant.publication,
    }
    origin.held.append(HeldStream(**about, players=2, state=StreamState.WAITING, delay_us=1_500))
    publisher.held.append(HeldStream(**about, players=3, bitrate_bps=9, published=True, **OF_LATE))
    player.held.append(HeldStream(stream=CAM, players=4, left_out=("flv: mp2",), delay_us=4_000, missing=1))
    await eventually(lambda: len(one.service.members.holders(CAM)) == 2 and len(two.service.members.holders(CAM)) == 1)
    await asyncio.sleep(TOLD_S)

    shown = await web.alike([one, two], "streams/live%2Fa/cam%201")
    expected = {"state": "waiting", "players": 7, "subscriptions": 2, "bitrate_bps": 9, "left_out": ["flv: mp2"], "edge": "e1"}
    assert {name: shown[name] for name in expected} == expected
    assert shown["tracks"][0]["width"] == 1280
    path = await web.alike([one, two], "streams/live%2Fa/cam%201/path")
    assert [(each["node"], each["part"], each["reads_from"], each["delay_ms"]) for each in path["nodes"]] == [
        ("e1", "publishes", None, None), ("o1", "owns", "e1", 1.5), ("e2", "plays", "o1", 4.0)
    ]  # fmt: skip
    assert [(each["players"], each["missing"]) for each in path["nodes"]] == [(3, 0), (None, 0), (4, 1)]
    assert path["more"] is False
    history = await web.alike([one, two], "streams/live%2Fa/cam%201/history")
    assert history == {
        "end_s": 100, "frames": [25, 24], "bitrate_bps": [8000, 16], "gops": [
            {"ended_us": 99_000_000, "frames": 50, "duration_ms": 2000}, {"ended_us": 97_000_000, "frames": 25, "duration_ms": 1000}
        ]
    }  # fmt: skip
    nodes = await web.alike([one, two], "nodes")
    assert all(node["load"] is not None for node in nodes["items"])
    reads = {node["name"]: node["reads"] for node in nodes["items"]}
    assert reads == {"o1": [], "e1": [], "e2": [{"origin": "o1", "streams": 1}]}
    for query, count in (("app=live/a", 1), ("app=live", 0), ("name=cam", 1), ("state=waiting", 1), ("state=live", 0),
                         ("node=o1", 1), ("node=e2", 0), ("node=e1&name=c&state=waiting", 1)):  # fmt: skip
        assert (await web.alike([one, two], f"streams?{query}"))["item_count"] == count, query
    for query, count in (("role=edge", 2), ("role=hls", 0), ("state=joined", 3), ("zone=", 3), ("zone=a", 0)):
        assert (await web.alike([one, two], f"nodes?{query}"))["item_count"] == count, query


async def test_what_nodes_read_is_counted_where_somebody_looks_at_them(
    cluster: Cluster, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[str] = []

    def count(
        figures: OwnFigures, session: Session, inner: Callable[..., Mapping[str, int]] = OwnFigures._reads
    ) -> Mapping[str, int]:
        counted.append(session.node.name)
        return inner(figures, session)

    monkeypatch.setattr(OwnFigures, "_reads", count)
    one, two = await cluster.replica(name="s1"), await cluster.replica(name="s2")
    edges = [await cluster.member(name, Role.EDGE, cluster.client(at)) for name, at in (("e1", one), ("e2", two), ("e3", two))]
    await eventually(lambda: all(at.peers.load(edge.address.node) is not None for at in (one, two) for edge in edges))
    assert counted == []
    await web.get(one, "nodes")
    assert sorted(counted) == ["e1", "e2", "e3"]
    counted.clear()
    await web.get(two, "nodes/e2")
    assert counted == ["e2"]


async def test_a_replica_that_does_not_answer_is_left_out(cluster: Cluster, web: Web) -> None:
    one, two = await cluster.replica(name="s1"), await cluster.replica(name="s2")
    edge = await cluster.member("e1", Role.EDGE, cluster.client(one))
    await eventually(lambda: two.peers.load(edge.address.node) is not None)
    assert one.grpc_port is not None
    await one.stop()
    began = asyncio.get_running_loop().time()
    assert (await web.get(two, "streams"))["items"] == []
    assert asyncio.get_running_loop().time() - began < 1.0
    await eventually(lambda: two.peers.load(edge.address.node) is None)
