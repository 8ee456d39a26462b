"""Nodes of every role are told to end: who is connected elsewhere sees nothing, who is connected there is told, nothing is lost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from support import wire
from support.clip import Clip
from support.cluster import PROGRAM, Cluster, Node
from support.ffmpeg import Publisher
from support.process import wait_until
from support.recorder import Recorder, recorder, recording

Media = Callable[[str], Path]
StartCluster = Callable[..., Cluster]

STREAM = "live/cam"
DRAIN_S = 8.0
AT_ONCE_S = 4.0  #: for a node that waits for nothing more to say goodbye and end
LIMIT_S = 30.0
UNITS = 150  #: two seconds of pictures and sound
SETTINGS = {
    "all": {"cluster.drain_s": DRAIN_S},
    "hls": {"hls.segment_ms": 1000, "hls.list_num": 20},
}

#: Tells a node of a cluster to drain.
Tell = Callable[[Cluster, Node], None]


def by_command(cluster: Cluster, node: Node) -> None:
    done = subprocess.run(
        [PROGRAM, "drain", node.name, "--api", cluster.api_url], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{node.name} drains\n"


def by_signal(cluster: Cluster, node: Node) -> None:
    node.terminate()


told = pytest.mark.parametrize("tell", [by_command, by_signal])


def owner(cluster: Cluster, role: str) -> Node:
    """The node of that role (``origin``, ``hls``) that has the stream."""

    def named() -> str:
        with urllib.request.urlopen(f"{cluster.api_url}/v1/streams", timeout=5) as answer:
            items = {item["stream"]: item for item in json.load(answer)["items"]}
        return str(items.get(STREAM, {}).get(role) or "")

    wait_until(f"an {role}", lambda: bool(named()), LIMIT_S)
    name = named()
    return next(node for node in (*cluster.origins, *cluster.hls) if node.name == name)


class Show:
    """A stream that is published, and those who play it."""

    def __init__(self, cluster: Cluster, clip: Clip, players: list[Recorder]) -> None:
        self.cluster = cluster
        self.clip = clip
        self.players = players

    async def go_on(self, units: int = UNITS) -> None:
        """So many more units for everybody."""
        await asyncio.gather(*(player.more(LIMIT_S, units=units) for player in self.players))

    def judge(self, *, joints: int = 0) -> None:
        """Everybody is still there, and has every unit once and in order."""
        faults = [fault for player in self.players for fault in player.judge(self.clip, joints=joints).faults]
        assert not faults, "\n".join(faults)


@asynccontextmanager
async def show(cluster: Cluster, media: Media, log: Path, ingest: Node, at: Node) -> AsyncIterator[Show]:
    """Published at `ingest`, played at `at` by every protocol, by HLS where there are hls nodes."""
    clip = Clip(media("unique_av"))
    urls = {
        "flv": at.flv_url(STREAM),
        "rtmp": at.rtmp_url(STREAM),
        "ts": at.http_url(f"{STREAM}.ts"),
        "rtsp": at.rtsp_url(STREAM),
    }
    if cluster.hls:
        urls["hls"] = at.http_url(f"hls/{STREAM}.m3u8")
    with Publisher(clip.file, ingest.rtmp_url(STREAM), log=log / "push.log", loops=-1, limit_s=150):
        players = [recorder(name, url) for name, url in urls.items()]
        async with recording(*players):
            made = Show(cluster, clip, players)
            await made.go_on()
            yield made


async def ends(node: Node, limit_s: float) -> float:
    """Seconds until the process has ended, in order."""
    began = time.monotonic()
    assert await asyncio.to_thread(node.wait, limit_s) == 0, node.output()
    return time.monotonic() - began


@told
async def test_an_origin_that_drains_gives_its_stream_away_and_nobody_sees_it(
    tell: Tell, start_cluster: StartCluster, media: Media, tmp_path: Path
) -> None:
    cluster = start_cluster(settings=SETTINGS)
    async with show(cluster, media, tmp_path, *cluster.edges) as shown:
        first = await asyncio.to_thread(owner, cluster, "origin")
        await asyncio.to_thread(tell, cluster, first)
        assert await ends(first, DRAIN_S + AT_ONCE_S) < DRAIN_S, "it waited for its deadline"
        await shown.go_on()
        assert await asyncio.to_thread(owner, cluster, "origin") is not first
        shown.judge()
    assert "drained: nobody reads or writes here" in first.output()


@told
async def test_an_hls_node_that_drains_hands_over_the_next_number(
    tell: Tell, start_cluster: StartCluster, media: Media, tmp_path: Path
) -> None:
    cluster = start_cluster(hls=2, origins=1, settings=SETTINGS)
    async with show(cluster, media, tmp_path, *cluster.edges) as shown:
        first = await asyncio.to_thread(owner, cluster, "hls")
        await asyncio.to_thread(tell, cluster, first)
        assert await ends(first, DRAIN_S + AT_ONCE_S) < DRAIN_S, "it waited for its deadline"
        await shown.go_on(3 * UNITS)
        assert await asyncio.to_thread(owner, cluster, "hls") is not first
        shown.judge()


@told
async def test_an_edge_that_drains_sends_people_elsewhere_and_closes_who_stays(
    tell: Tell, start_cluster: StartCluster, media: Media, tmp_path: Path
) -> None:
    cluster = start_cluster(origins=1, settings=SETTINGS)
    kept, drained = cluster.edges
    async with show(cluster, media, tmp_path, kept, kept) as shown:
        staying = [recorder(name, url) for name, url in urls_of(drained).items()]
        async with recording(*staying):
            await asyncio.gather(*(player.more(LIMIT_S) for player in staying))
            began = time.monotonic()
            await asyncio.to_thread(tell, cluster, drained)
            await asyncio.to_thread(wait_until, "unreadiness", lambda: not drained.is_ready(), LIMIT_S)
            await check_new_sessions(drained, kept)
            assert not any(player.ended for player in staying)
            await ends(drained, DRAIN_S + AT_ONCE_S)
            assert time.monotonic() - began >= DRAIN_S - 0.5
            await asyncio.sleep(1.0)
        assert all(player.ended for player in staying)
        await shown.go_on()
        shown.judge()
    assert drained.output().count("the edge drains, and its time is over") >= len(staying)


def urls_of(edge: Node) -> dict[str, str]:
    return {"flv": edge.flv_url(STREAM), "rtmp": edge.rtmp_url(STREAM), "ws": edge.ws_url(STREAM), "rtsp": edge.rtsp_url(STREAM)}


async def check_new_sessions(drained: Node, kept: Node) -> None:
    """Who comes now is told where to go, or to come back; in the first moment the edge has not heard yet where others are."""
    async with aiohttp.ClientSession() as client:
        async with asyncio.timeout(LIMIT_S):
            while True:
                if await status_of(client, drained.flv_url(STREAM)) != 503:
                    break
                await asyncio.sleep(0.05)
        for path in (f"{STREAM}.flv", f"hls/{STREAM}.m3u8"):
            async with client.get(drained.http_url(path), allow_redirects=False) as answer:
                assert (answer.status, answer.headers["Location"]) == (302, kept.http_url(path))
        with pytest.raises(aiohttp.WSServerHandshakeError) as answered:
            await client.ws_connect(drained.ws_url(STREAM))
        assert answered.value.status == 503
        assert answered.value.headers is not None
        assert answered.value.headers["Retry-After"] == "1"
    late = recorder("late", drained.rtmp_url(STREAM))
    async with recording(late):  # it follows the redirect
        await late.more(LIMIT_S)
    metrics = (await asyncio.to_thread(drained.metrics)).splitlines()
    refused = [line for line in metrics if line.startswith("edge_refused_total")]
    assert 'edge_refused_total{protocol="rtmp",reason="draining"} 1.0' in refused
    late = recorder("late", drained.rtsp_url(STREAM))
    await asyncio.wait_for(late.run(), LIMIT_S)
    assert "503" in late.ended


async def status_of(client: aiohttp.ClientSession, url: str) -> int:
    async with client.get(url, allow_redirects=False) as answer:
        return answer.status


async def test_a_publisher_of_an_edge_that_drains_goes_on_elsewhere_and_players_stay(
    start_cluster: StartCluster, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    cluster = start_cluster(origins=1, settings={**SETTINGS, "all": {"cluster.drain_s": 2.0}})
    drained, kept = cluster.edges
    async with show(cluster, media, tmp_path, drained, kept) as shown:
        await asyncio.to_thread(by_command, cluster, drained)
        await ends(drained, 2.0 + AT_ONCE_S)
        stack.enter_context(Publisher(shown.clip.file, kept.rtmp_url(STREAM), log=tmp_path / "again.log", loops=-1, limit_s=60))
        await shown.go_on()
        shown.judge(joints=1)


async def test_a_second_signal_ends_a_drain_at_once(start_cluster: StartCluster, media: Media, tmp_path: Path) -> None:
    cluster = start_cluster(origins=1, settings=SETTINGS)
    kept, drained = cluster.edges
    async with show(cluster, media, tmp_path, kept, kept) as shown, wire.player(drained.flv_url(STREAM)):
        drained.terminate()
        await asyncio.sleep(1.0)
        assert drained.running
        os.kill(drained.pid, signal.SIGTERM)
        assert await asyncio.to_thread(drained.wait, 1.0) == 1
        await shown.go_on()
        shown.judge()


async def test_every_node_is_restarted_and_players_of_an_edge_that_stays_see_nothing(
    start_cluster: StartCluster, media: Media, tmp_path: Path
) -> None:
    cluster = start_cluster(schedulers=2, origins=2, edges=2, hls=2, settings=SETTINGS)
    kept, other = cluster.edges
    async with show(cluster, media, tmp_path, kept, kept) as shown:
        for node in (*cluster.schedulers, *cluster.origins, *cluster.hls, other):
            node.terminate()
            await ends(node, DRAIN_S + AT_ONCE_S)
            await asyncio.to_thread(node.restart().wait_ready)
            await shown.go_on(UNITS // 2)
        await shown.go_on(2 * UNITS)
        shown.judge()
