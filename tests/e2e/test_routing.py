"""Players and publishers are sent to edges of a real cluster: by the scheduler, and by edges that are full."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.cluster import Cluster, Node
from support.drained import by_command, listed
from support.ffmpeg import OLD_FFMPEG, Publisher, bounded, quiet
from support.process import Child, wait_until
from support.recorder import recorder, recording

Media = Callable[[str], Path]
StartCluster = Callable[..., Cluster]

STREAM = "live/cam"
LIMIT_S = 30.0
ROOM = 2  #: sessions of each edge


def route(cluster: Cluster, query: str, purpose: str = "play", scheduler: int = 0) -> tuple[int, dict[str, Any]]:
    """Status and body of what a scheduler answers."""
    url = f"{cluster.schedulers[scheduler].api_url}/v1/route/{purpose}?stream={STREAM}&{query}"
    try:
        with urllib.request.urlopen(url, timeout=LIMIT_S) as answer:
            return int(answer.status), json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, {**json.load(error), "retry_after": error.headers.get("Retry-After")}


def sessions(cluster: Cluster) -> dict[str, int]:
    """Of every edge, as it reported them last."""
    found = listed(cluster.api_url, "nodes")
    return {item["name"]: item["load"]["sessions"] for item in found if item["role"] == "edge" and item["load"]}


async def reported(cluster: Cluster, **wanted: int) -> None:
    """Wait until edges say that they have so many sessions."""
    names = {name.replace("_", "-"): count for name, count in wanted.items()}
    await asyncio.to_thread(wait_until, f"{names}", lambda: names.items() <= sessions(cluster).items(), LIMIT_S)


async def test_players_fill_every_edge_and_then_are_told_to_come_back(
    start_cluster: StartCluster, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    cluster = start_cluster(origins=1, edges=3, settings={"edge": {"edge.capacity.sessions": ROOM}})
    _, to = await asyncio.to_thread(route, cluster, "protocol=rtmp", "publish")
    stack.enter_context(Publisher(media("h264_aac"), to["url"], log=tmp_path / "push.log", loops=-1, limit_s=120))
    await reported(cluster, **{to["edge"].replace("-", "_"): 1})
    players = [recorder(f"player-{number}", f"{cluster.api_url}/play/{STREAM}.flv") for number in range(3 * ROOM - 1)]
    async with recording(*players):
        await asyncio.gather(*(player.more(LIMIT_S) for player in players))
        assert not any(player.ended for player in players)
        await reported(cluster, **{name.replace("-", "_"): ROOM for name in sessions(cluster)})
        status, problem = await asyncio.to_thread(route, cluster, "protocol=http-flv")
        assert (status, problem["status"], problem["retry_after"]) == (503, 503, "2")
    await reported(cluster, **{name.replace("-", "_"): int(name == to["edge"]) for name in sessions(cluster)})
    status, back = await asyncio.to_thread(route, cluster, "protocol=rtmp", "publish")
    assert (status, back["edge"], back["choice"]) == (200, to["edge"], "publishes")


async def test_a_full_edge_sends_players_of_every_protocol_to_another(
    start_cluster: StartCluster, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    cluster = start_cluster(origins=1)
    full, other = cluster.add("edge", {"edge.capacity.sessions": 1}).wait_ready(), cluster.edges[0]
    await asyncio.to_thread(by_command, cluster, cluster.edges[1])  # so that there is one place to go to
    stack.enter_context(Publisher(media("h264_aac"), full.rtmp_url(STREAM), log=tmp_path / "push.log", loops=-1, limit_s=120))
    await reported(cluster, edge_3=1)
    await asyncio.to_thread(wait_until, "a redirect", lambda: _location(full) == other.flv_url(STREAM), LIMIT_S)
    players = [recorder(name, url) for name, url in (("rtmp", full.rtmp_url(STREAM)), ("flv", full.flv_url(STREAM)))]
    rows = tmp_path / "rows"
    played = [*quiet(OLD_FFMPEG), "-rtsp_transport", "tcp", "-i", full.rtsp_url(STREAM)]
    written = ["-c", "copy", "-flush_packets", "1", "-f", "framemd5", str(rows)]
    stack.enter_context(Child(bounded(150, [*played, *written]), log=tmp_path / "rtsp.log"))
    async with recording(*players, rtsp := recorder("rtsp", full.rtsp_url(STREAM))):
        await asyncio.gather(*(player.more(LIMIT_S) for player in (*players, rtsp)))
        await asyncio.to_thread(wait_until, "frames by RTSP", lambda: rows.exists() and rows.stat().st_size > 2000, LIMIT_S)
        await reported(cluster, edge_3=1, edge_1=4)
        async with aiohttp.ClientSession() as client:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.ws_connect(full.ws_url(STREAM))
        assert refused.value.headers is not None
        assert (refused.value.status, refused.value.headers["Retry-After"]) == (503, "1")
    metrics = await asyncio.to_thread(full.metrics)
    for protocol, count in (("rtmp", 1), ("rtsp", 2)):
        assert f'edge_refused_total{{protocol="{protocol}",reason="full"}} {count}.0' in metrics


async def test_replicas_name_edges_that_take_clients_and_no_others(start_cluster: StartCluster) -> None:
    cluster = start_cluster(schedulers=2, origins=1, edges=3, settings={"edge": {"edge.capacity.sessions": 50}})
    drained, killed, kept = cluster.edges
    for scheduler in (0, 1):
        answers = [await asyncio.to_thread(route, cluster, "protocol=rtsp", "play", scheduler) for _ in range(30)]
        assert {answer["edge"] for _, answer in answers} == {edge.name for edge in cluster.edges}
    await asyncio.to_thread(by_command, cluster, drained)
    killed.kill()
    for scheduler in (0, 1):
        await asyncio.to_thread(_wait_until_gone, cluster, scheduler, drained, killed)
        answers = [await asyncio.to_thread(route, cluster, "protocol=rtmp", "publish", scheduler) for _ in range(10)]
        assert {answer["edge"] for _, answer in answers} == {kept.name}


def _wait_until_gone(cluster: Cluster, scheduler: int, *nodes: Node) -> None:
    """Until a scheduler knows that they take nobody."""
    names = {node.name for node in nodes}

    def gone() -> bool:
        items = listed(cluster.schedulers[scheduler].api_url, "nodes")
        return not any(item["state"] == "joined" for item in items if item["name"] in names)

    wait_until("their end", gone, LIMIT_S)


def _location(edge: Node) -> str:
    """Where an edge sends a player of HTTP-FLV; empty: it does not."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            return None

    try:
        urllib.request.build_opener(Stay()).open(edge.flv_url(STREAM), timeout=LIMIT_S).close()
    except urllib.error.HTTPError as error:
        return str(error.headers.get("Location", ""))
    return ""
