"""Nodes of every role are told to end: who is connected elsewhere sees nothing, who is connected there is told, nothing is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import pytest
from support.clip import Clip
from support.cluster import Cluster, Node
from support.drained import (
    DRAIN_S,
    LIMIT_S,
    LONG,
    LONG_S,
    SETTINGS,
    STREAM,
    UNITS,
    by_command,
    by_signal,
    ends,
    listed,
    owner,
    publishing,
    show,
)
from support.ffmpeg import Publisher
from support.process import wait_until
from support.recorder import recorder, recording

Media = Callable[[str], Path]
StartCluster = Callable[..., Cluster]

MANY = [f"live/cam{number}" for number in range(20)]
SEGMENTED = MANY[:6]  #: of these, those that are played by HLS too: each such player asks ten times a second

#: Tells a node of a cluster to drain.
Tell = Callable[[Cluster, Node], None]
told = pytest.mark.parametrize("tell", [by_command, by_signal])


@told
async def test_an_origin_that_drains_gives_its_stream_away_and_nobody_sees_it(
    tell: Tell, start_cluster: StartCluster, media: Media, tmp_path: Path
) -> None:
    cluster = start_cluster(settings=LONG)
    async with show(cluster, media, tmp_path, *cluster.edges) as shown:
        first = await asyncio.to_thread(owner, cluster, "origin")
        await asyncio.to_thread(tell, cluster, first)
        assert await ends(first, LONG_S) < LIMIT_S, "it waited for its deadline"
        await shown.go_on()
        assert await asyncio.to_thread(owner, cluster, "origin") is not first
        shown.judge()
    assert "drained: nobody reads or writes here" in first.output()


@told
async def test_an_hls_node_that_drains_hands_over_the_next_number(
    tell: Tell, start_cluster: StartCluster, media: Media, tmp_path: Path
) -> None:
    cluster = start_cluster(hls=2, origins=1, settings=LONG)
    async with show(cluster, media, tmp_path, *cluster.edges) as shown:
        first = await asyncio.to_thread(owner, cluster, "hls")
        await asyncio.to_thread(tell, cluster, first)
        assert await ends(first, LONG_S) < LIMIT_S, "it waited for its deadline"
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
            await ends(drained, LIMIT_S)
            assert time.monotonic() - began >= DRAIN_S - 0.5
            await asyncio.to_thread(wait_until, "the ends of players", lambda: all(each.ended for each in staying), LIMIT_S)
        await shown.go_on()
        shown.judge()
    assert drained.output().count("the edge drains, and its time is over") >= len(staying)


@pytest.mark.parametrize("asked", [True, False])
async def test_a_scheduler_that_is_told_to_end_hands_over_and_nobody_sees_it(
    asked: bool, start_cluster: StartCluster, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    cluster = start_cluster(schedulers=2, hls=1, settings=SETTINGS)
    first, second = cluster.schedulers
    ended, other = (first, second) if asked else (second, first)
    nodes = len(cluster.nodes) - 2
    async with show(cluster, media, tmp_path, *cluster.edges) as shown:
        await asyncio.to_thread(by_command, cluster, ended, "--wait")
        await ends(ended, LIMIT_S)

        def all_joined() -> bool:
            return sum(item["load"] is not None for item in listed(other.api_url, "nodes")) == nodes

        await asyncio.to_thread(wait_until, "nodes at the other scheduler", all_joined, LIMIT_S)
        ingest, at = cluster.edges
        stack.enter_context(Publisher(shown.clip.file, ingest.rtmp_url("live/new"), log=tmp_path / "new.log", loops=-1))
        new = recorder("new", at.flv_url("live/new"))
        async with recording(new):
            await new.more(LIMIT_S)
        await shown.go_on(2 * UNITS)
        shown.judge()


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
    late = [recorder(f"late {url}", url) for url in (drained.rtmp_url(STREAM), drained.rtsp_url(STREAM))]
    async with recording(*late):  # they follow the redirect
        await asyncio.gather(*(player.more(LIMIT_S) for player in late))
    metrics = (await asyncio.to_thread(drained.metrics)).splitlines()
    refused = [line for line in metrics if line.startswith("edge_refused_total")]
    assert 'edge_refused_total{protocol="rtmp",reason="draining"} 1.0' in refused


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
        await ends(drained, LIMIT_S)
        stack.enter_context(Publisher(shown.clip.file, kept.rtmp_url(STREAM), log=tmp_path / "again.log", loops=-1))
        await shown.go_on()
        shown.judge(joints=1)


async def test_every_node_is_restarted_and_players_of_an_edge_that_stays_see_nothing(
    start_cluster: StartCluster, media: Media, tmp_path: Path
) -> None:
    cluster = start_cluster(schedulers=2, origins=2, edges=2, hls=2, settings=SETTINGS)
    kept, other = cluster.edges
    async with show(cluster, media, tmp_path, kept, kept) as shown:
        for node in (*cluster.schedulers, *cluster.origins, *cluster.hls, other):
            node.terminate()
            await ends(node, LIMIT_S)
            await asyncio.to_thread(node.restart().wait_ready)
            await shown.go_on(UNITS // 2)
        await shown.go_on(2 * UNITS)
        shown.judge()


async def test_nodes_that_have_many_streams_drain_and_no_player_of_any_sees_it(start_cluster: StartCluster, media: Media) -> None:
    cluster = start_cluster(origins=3, hls=2, settings=LONG)
    ingest, at = cluster.edges
    pictures, sound = Clip(media("unique_av")), Clip(media("unique_sound"))
    clips = {stream: sound if number % 5 else pictures for number, stream in enumerate(MANY)}
    players = [(clip, recorder(stream, at.flv_url(stream))) for stream, clip in clips.items()]
    async with publishing({ingest.rtmp_url(stream): clip.file for stream, clip in clips.items()}):
        await asyncio.to_thread(owner, cluster, "origin", MANY)
        players += [(clips[each], recorder(f"{each} by HLS", at.http_url(f"hls/{each}.m3u8"))) for each in SEGMENTED]
        everybody = [player for _, player in players]
        async with recording(*everybody):
            await asyncio.gather(*(player.more(LIMIT_S, units=UNITS) for player in everybody))
            for role, streams in (("origin", MANY), ("hls", SEGMENTED)):
                busiest = await asyncio.to_thread(owner, cluster, role, streams)
                await asyncio.to_thread(by_command, cluster, busiest)
                assert await ends(busiest, LONG_S) < LIMIT_S, f"{busiest.name} waited for its deadline"
                await asyncio.gather(*(player.more(LIMIT_S, units=UNITS) for player in everybody))
            faults = [fault for clip, player in players for fault in player.judge(clip).faults]
    assert not faults, "\n".join(faults)
