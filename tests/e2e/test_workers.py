"""Nodes of several workers: one edge, one origin to all that is outside, and no more than one process lost with one."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.clip import Clip
from support.cluster import Cluster, Node
from support.drained import DRAIN_S, LONG_S, by_command, ends, listed, publishing
from support.ffmpeg import Publisher
from support.flv_crowd import FlvPlayer, crowd, holes
from support.hls_poller import until
from support.operator_api import call, kick, sessions, sessions_until
from support.process import wait_until
from support.recorder import STALL_S, HlsRecorder, Recorder, TagRecorder, recorder, recording

from lalmesh.client import ClientOptions, open_player
from lalmesh.container.flv import BodyDemuxer

Media = Callable[[str], Path]
StartCluster = Callable[..., Cluster]

STREAM = "live/cam"
LIMIT_S = 30.0
WORKERS = 2
PLAYERS = 200
#: Of 200 that the kernel deals out by chance, fewer than these at one of two come once in 10^12 runs.
LEAST = 50
LATER_PLAYERS, LEAST_LATER = 60, 6  #: likewise
SETTINGS = {"edge": {"edge.workers": WORKERS, "edge.session.report_s": 1}, "hls": {"hls.segment_ms": 1000, "hls.list_num": 20}}


class UdpRecorder(TagRecorder):
    """RTSP by UDP."""

    async def _play(self) -> None:
        options = ClientOptions(stall_timeout_s=STALL_S, first_media_timeout_s=STALL_S, rtsp_transport="udp")
        demuxer = BodyDemuxer()
        async with open_player(self.url, options) as player:
            async for tag in player:
                self._note(demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body), demuxer)
            self.ended = player.end_reason


def workers_of(cluster: Cluster, node: Node) -> dict[str, dict[str, Any]]:
    """The workers of a node that have joined, by name."""
    found = call("GET", f"{cluster.api_url}/v1/nodes?worker_of={node.name}")[1]["items"]
    return {item["name"]: item for item in found if item["state"] == "joined" and item["load"]}


def process_of(node: Node, number: int) -> int:
    """The newest process of a worker, as the supervisor has logged it."""
    return int(re.findall(rf"worker {number} started, process (\d+)", node.output())[-1])


async def all_joined(cluster: Cluster, node: Node, but: Sequence[str] = ()) -> None:
    """Wait until every worker has joined, in other starts than those of the incarnations `but`."""

    def joined() -> bool:
        found = workers_of(cluster, node).values()
        return len(found) == WORKERS and not {item["incarnation"] for item in found} & set(but)

    await asyncio.to_thread(wait_until, f"workers of {node.name}", joined, LIMIT_S)


async def reported(cluster: Cluster, edge: Node, count: int) -> dict[str, int]:
    """Sessions by worker, once they are so many together."""
    found: dict[str, int] = {}

    def are_there() -> bool:
        found.update({name: item["load"]["sessions"] for name, item in workers_of(cluster, edge).items()})
        return sum(found.values()) == count

    await asyncio.to_thread(wait_until, f"{count} sessions", are_there, LIMIT_S)
    return found


async def playing(players: Sequence[FlvPlayer], pictures: int = 30) -> None:
    """Wait until everybody has so many more pictures."""
    wanted = [len(player.shown) + pictures for player in players]
    everybody = [*zip(players, wanted, strict=True)]
    await until("pictures of everybody", lambda: all(len(player.shown) >= count for player, count in everybody), LIMIT_S)


async def test_the_workers_of_an_edge_are_one_edge_and_one_of_them_is_lost_alone(
    start_cluster: StartCluster, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    cluster = start_cluster(origins=1, edges=1, hls=1, settings=SETTINGS)
    (edge,) = cluster.edges
    await all_joined(cluster, edge)
    clip = Clip(media("unique_av"))
    stack.enter_context(Publisher(clip.file, edge.rtmp_url(STREAM), log=tmp_path / "push.log", loops=-1, limit_s=120))
    looking = [
        recorder("rtmp", edge.rtmp_url(STREAM)),
        recorder("ts", edge.http_url(f"{STREAM}.ts")),
        recorder("rtsp", edge.rtsp_url(STREAM)),
        *(UdpRecorder(f"udp {number}", edge.rtsp_url(STREAM)) for number in range(6)),
    ]
    async with recording(*looking), crowd(edge.flv_url(STREAM), PLAYERS) as players:
        await asyncio.gather(*(player.more(LIMIT_S, units=150) for player in looking))
        await playing(players)
        count = 1 + len(looking) + PLAYERS
        split = await reported(cluster, edge, count)
        assert min(split.values()) >= LEAST, split
        assert {player.status for player in players} == {b"HTTP/1.1 200 OK"}
        assert not holes(players)
        assert not [fault for player in looking for fault in player.judge(clip).faults]
        await asyncio.to_thread(check_that_all_are_seen, cluster, edge, count)
        await check_kicks(cluster, edge, players)
        await check_hls(cluster, edge)
        await check_one_lost(cluster, edge, [player for player in players if not player.ended.is_set()])
    async with crowd(edge.flv_url(STREAM), LATER_PLAYERS) as players:
        await playing(players, pictures=1)
        split = await reported(cluster, edge, 1 + LATER_PLAYERS)
        assert min(split.values()) >= LEAST_LATER, split
    await asyncio.to_thread(by_command, cluster, edge, "--wait")
    await ends(edge, LIMIT_S)
    assert listed(cluster.api_url, "nodes?role=edge") == []


def check_that_all_are_seen(cluster: Cluster, edge: Node, count: int) -> None:
    """By sessions, lal's API, routes and metrics, whichever worker they are at."""
    found = sessions_until(cluster.api_url, lambda items: len(items) == count, LIMIT_S)
    assert Counter(item["node"] for item in found).keys() == {"edge-1-1", "edge-1-2"}
    status, lal = call("GET", f"{cluster.api_url}/api/stat/group?stream_name=cam")
    assert (status, len(lal["data"]["subs"])) == (200, count - 1)
    status, route = call("GET", f"{cluster.api_url}/v1/route/play?stream={STREAM}&protocol=http-flv")
    assert (status, route["url"], route["edge"], route["shared"]) == (200, edge.flv_url(STREAM), edge.name, False)
    shown = edge.metrics()
    joins = re.findall(r'^edge_joins_total\{worker="([12])"\} (\S+)$', shown, re.MULTILINE)
    assert sum(float(number) for _, number in joins) == count - 1
    assert re.search(r"^lalmesh_workers_up 2.0$", shown, re.MULTILINE)
    assert len(re.findall(r"^# TYPE edge_joins_total ", shown, re.MULTILINE)) == 1


async def check_kicks(cluster: Cluster, edge: Node, players: Sequence[FlvPlayer]) -> None:
    """One player at each worker is ended, and nobody else; the sessions of the edge are those of both."""
    found = await asyncio.to_thread(sessions, cluster.api_url, protocol="http-flv", node=edge.name)
    by_node = {item["node"]: item["id"] for item in found}
    assert len(by_node) == WORKERS
    for session_id in by_node.values():
        await asyncio.to_thread(kick, cluster.api_url, session_id, "a test")
    await until("the kicks", lambda: gone(players) >= WORKERS, LIMIT_S)
    assert gone(players) == WORKERS


def gone(players: Sequence[FlvPlayer]) -> int:
    """How many have been ended."""
    return sum(player.ended.is_set() for player in players)


async def check_hls(cluster: Cluster, edge: Node) -> None:
    """One player whose every request comes by a connection of its own, to either worker, is one session."""
    player = HlsRecorder("hls", edge.http_url(f"hls/{STREAM}.m3u8"), keeps_session=True)
    async with recording(player):
        await player.more(LIMIT_S, units=75)
    asked: Counter[int] = Counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as client:
        for _ in range(40):
            async with client.get(player.url) as answer:
                asked[answer.status] += 1
    assert asked == {200: 40}
    by_worker = re.findall(r'^edge_hls_requests_total\{worker="([12])",by="[^"]*"\} (\S+)$', edge.metrics(), re.MULTILINE)
    assert {worker for worker, number in by_worker if float(number)} == {"1", "2"}
    found = await asyncio.to_thread(sessions_until, cluster.api_url, lambda items: len(items) == 1, LIMIT_S, protocol="hls")
    assert found[0]["id"] in player.url


async def check_one_lost(cluster: Cluster, edge: Node, players: Sequence[FlvPlayer]) -> None:
    """The process of the worker without the publisher is killed: its players are gone, the others see nothing, and it is back."""
    found = await asyncio.to_thread(sessions, cluster.api_url)
    (publisher,) = [item["node"] for item in found if item["role"] == "publisher"]
    lost = next(name for name in workers_of(cluster, edge) if name != publisher)
    of_it = sum(item["node"] == lost and item["protocol"] == "http-flv" for item in found)
    starts = [item["incarnation"] for name, item in workers_of(cluster, edge).items() if name == lost]
    os.kill(process_of(edge, int(lost[-1])), signal.SIGKILL)
    await until("the end of those who are lost", lambda: gone(players) >= of_it, LIMIT_S)
    staying = [player for player in players if not player.ended.is_set()]
    assert len(staying) == len(players) - of_it
    await all_joined(cluster, edge, starts)
    assert await asyncio.to_thread(edge.is_ready)
    await playing(staying)
    assert not holes(staying)


async def test_a_worker_that_starts_again_while_the_schedulers_are_away_takes_nobody_from_one_that_knows_the_streams(
    start_cluster: StartCluster, media: Media, tmp_path: Path, stack: ExitStack
) -> None:
    cluster = start_cluster(origins=1, edges=2, settings=SETTINGS)
    edge = await published(cluster, media, tmp_path, stack)
    async with crowd(edge.flv_url(STREAM), LATER_PLAYERS) as players:
        await playing(players)
        split = await reported(cluster, edge, LATER_PLAYERS)
        (scheduler,) = cluster.schedulers
        scheduler.kill()
        killed = process_of(edge, 2)
        os.kill(killed, signal.SIGKILL)
        await asyncio.to_thread(wait_until, "another", lambda: "once it has joined" in edge.output(), LIMIT_S)
        assert process_of(edge, 2) != killed
        async with crowd(edge.flv_url(STREAM), LATER_PLAYERS) as later:
            await playing(later, pictures=1)
        assert "\nlalmesh_workers_up 1.0\n" in edge.metrics()
        staying = [player for player in players if not player.ended.is_set()]
        assert len(staying) == split[f"{edge.name}-1"]
        await asyncio.to_thread(scheduler.restart().wait_ready)
        await all_joined(cluster, edge)
        await asyncio.to_thread(wait_until, "both", lambda: "\nlalmesh_workers_up 2.0\n" in edge.metrics(), LIMIT_S)
        await playing(staying)
        assert not holes(staying)


async def published(cluster: Cluster, media: Media, folder: Path, stack: ExitStack) -> Node:
    """An edge whose workers have all joined, of a stream that is published at another."""
    edge, ingest = cluster.edges
    await all_joined(cluster, edge)
    clip = media("unique_av")
    stack.enter_context(Publisher(clip, ingest.rtmp_url(STREAM), log=folder / "push.log", loops=-1, limit_s=120))
    return edge


async def test_a_worker_that_drains_alone_leaves_who_comes_to_the_others(
    start_cluster: StartCluster, media: Media, tmp_path: Path, stack: ExitStack
) -> None:
    cluster = start_cluster(origins=1, edges=2, hls=1, settings={**SETTINGS, "all": {"cluster.drain_s": LONG_S}})
    edge = await published(cluster, media, tmp_path, stack)
    async with crowd(edge.flv_url(STREAM), LATER_PLAYERS) as staying:
        await playing(staying)
        split = await reported(cluster, edge, LATER_PLAYERS)
        await asyncio.to_thread(told_to_drain, cluster, f"{edge.name}-1")
        await asyncio.to_thread(wait_until, "a worker that drains", lambda: "draining: " in edge.output(), LIMIT_S)
        async with crowd(edge.flv_url(STREAM), LATER_PLAYERS) as later:
            await playing(later, pictures=1)
            found = await asyncio.to_thread(sessions_until, cluster.api_url, lambda all_: len(all_) > LATER_PLAYERS, LIMIT_S)
            assert {item["node"] for item in found if item["protocol"] == "http-flv"} == set(split)
            await reported_at(cluster, edge, f"{edge.name}-2", split[f"{edge.name}-2"] + LATER_PLAYERS)
        asked: Counter[int] = Counter()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as client:
            for _ in range(20):
                async with client.get(edge.http_url(f"hls/{STREAM}.m3u8")) as answer:
                    asked[answer.status] += 1
                    assert answer.url.port == edge.ports["http"], "it was sent elsewhere"
        assert asked == {200: 20}
        assert await asyncio.to_thread(edge.is_ready)
        await playing(staying)
        assert not holes(staying)
    over = f"worker 1, process {process_of(edge, 1)}, has ended: 0"
    await asyncio.to_thread(wait_until, "the end of one", lambda: over in edge.output(), LIMIT_S)
    assert workers_of(cluster, edge).keys() == {f"{edge.name}-2"}
    assert await asyncio.to_thread(edge.is_ready)


def told_to_drain(cluster: Cluster, name: str) -> None:
    """Over the API, which takes less than the pause in which a worker is not there; again where that one is just being noted."""
    url = f"{cluster.api_url}/v1/nodes/{name}/drain"
    wait_until("an answer", lambda: call("POST", url)[0] == 202, LIMIT_S, every_s=0.05)


async def reported_at(cluster: Cluster, edge: Node, name: str, count: int) -> None:
    """Wait until a worker has so many sessions."""

    def are_there() -> bool:
        return bool(workers_of(cluster, edge)[name]["load"]["sessions"] == count)

    await asyncio.to_thread(wait_until, f"{count} sessions at {name}", are_there, LIMIT_S)


@pytest.mark.parametrize("has_started", [False, True])
async def test_an_edge_that_drains_ends_with_a_worker_that_was_not_there_when_it_was_told(
    has_started: bool, start_cluster: StartCluster, media: Media, tmp_path: Path, stack: ExitStack
) -> None:
    cluster = start_cluster(origins=1, edges=2, settings={**SETTINGS, "all": {"cluster.drain_s": DRAIN_S}})
    edge = await published(cluster, media, tmp_path, stack)
    async with crowd(edge.flv_url(STREAM), LATER_PLAYERS) as players:
        await playing(players)
        killed = process_of(edge, 1)
        os.kill(killed, signal.SIGKILL)
        await asyncio.to_thread(wait_until, "its end", lambda: f"process {killed}, has ended: -9" in edge.output(), LIMIT_S)
        if has_started:
            await asyncio.to_thread(wait_until, "another", lambda: process_of(edge, 1) != killed, LIMIT_S)
        await asyncio.to_thread(told_to_drain, cluster, edge.name)
        await asyncio.to_thread(wait_until, "unreadiness", lambda: not edge.is_ready(), LIMIT_S)
        # a worker that has been started hears of it when it is up, however long that takes on a busy machine
        assert await ends(edge, LIMIT_S) > DRAIN_S / 2, "it did not wait for its players"
    assert (process_of(edge, 1) != killed) is has_started
    assert workers_of(cluster, edge) == {}


async def test_the_workers_of_an_origin_share_its_streams_and_none_is_the_heir_of_another(
    start_cluster: StartCluster, media: Media, tmp_path: Path
) -> None:
    cluster = start_cluster(
        origins=1, edges=2, settings={"origin": {"origin.workers": WORKERS}, "all": {"cluster.drain_s": LONG_S}}
    )
    (first,) = cluster.origins
    await all_joined(cluster, first)
    second = cluster.add("origin", {"origin.workers": 1}).wait_ready()
    ingest, at = cluster.edges
    sound = Clip(media("unique_sound"))
    streams = [f"live/cam{number}" for number in range(12)]
    async with publishing({ingest.rtmp_url(stream): sound.file for stream in streams}):
        players = [recorder(stream, at.flv_url(stream)) for stream in streams]
        async with recording(*players):
            await asyncio.gather(*(player.more(LIMIT_S, units=50) for player in players))
            placed = await asyncio.to_thread(places, cluster, len(streams))
            assert Counter(origin for origin, _ in placed.values()).keys() == {"origin-1-1", "origin-1-2", second.name}
            assert all(machine_of(origin) != machine_of(heir) for origin, heir in placed.values()), placed
            starts = [item["incarnation"] for name, item in workers_of(cluster, first).items() if name == "origin-1-1"]
            os.kill(process_of(first, 1), signal.SIGKILL)
            await all_joined(cluster, first, starts)
            await more(players)
            moved = await asyncio.to_thread(places, cluster, len(streams))
            gone = {stream for stream, (origin, _) in placed.items() if origin == "origin-1-1"}
            assert all(moved[stream][0] == second.name for stream in gone), moved
            first.terminate()
            assert await ends(first, LONG_S) < LIMIT_S, "it waited for its deadline"
            await more(players)
            faults = [fault for player in players for fault in player.judge(sound).faults]
    assert not faults, "\n".join(faults)


async def test_a_standalone_server_of_several_processes_is_one_server_and_outlives_each_of_them(
    start_standalone: Callable[..., Node], media: Media, tmp_path: Path, stack: ExitStack
) -> None:
    server = start_standalone({"edge.workers": WORKERS, "edge.session.report_s": 1})
    sound = Clip(media("unique_sound"))
    stack.enter_context(Publisher(sound.file, server.rtmp_url(STREAM), log=tmp_path / "push.log", loops=-1))
    players = [recorder(f"flv {number}", server.flv_url(STREAM)) for number in range(12)]
    hls = HlsRecorder("hls", server.http_url(f"hls/{STREAM}.m3u8"), keeps_session=True)
    async with recording(*players, hls):
        await more([*players, hls])
        count = len(players) + 2
        found = await asyncio.to_thread(sessions_until, server.api_url, lambda items: len(items) == count, LIMIT_S)
        assert {item["node"] for item in found if item["protocol"] != "hls"} <= {f"{edge_name()}-{number}" for number in (1, 2)}
        assert {item["name"]: item["worker_of"] for item in listed(server.api_url, "nodes?role=edge")} == {
            f"{name}-{number}": name for name in (edge_name(),) for number in (1, 2)
        }
        core = process_of(server, 0)
        os.kill(core, signal.SIGKILL)
        await asyncio.to_thread(wait_until, "another core", lambda: process_of(server, 0) != core, LIMIT_S)
        await asyncio.to_thread(wait_until, "readiness", server.is_ready, LIMIT_S, every_s=0.1)
        await more(players)
        assert server.stop(LIMIT_S) == 0


async def test_a_worker_that_stands_still_is_replaced_and_the_players_of_the_other_lose_nothing(
    start_standalone: Callable[..., Node], media: Media, tmp_path: Path, stack: ExitStack
) -> None:
    server = start_standalone({"edge.workers": WORKERS, "edge.session.report_s": 1})
    stack.enter_context(Publisher(media("unique_av"), server.rtmp_url(STREAM), log=tmp_path / "push.log", loops=-1, limit_s=120))
    async with crowd(server.flv_url(STREAM), LATER_PLAYERS) as players:
        await playing(players)
        count = 1 + LATER_PLAYERS
        found = await asyncio.to_thread(sessions_until, server.api_url, lambda items: len(items) == count, LIMIT_S)
        (publisher,) = [item["node"] for item in found if item["role"] == "publisher"]
        of_it = sum(item["node"] != publisher for item in found)
        other = int(publisher[-1])
        still = WORKERS + 1 - other
        stopped, going_on = process_of(server, still), process_of(server, other)
        os.kill(stopped, signal.SIGSTOP)
        await asyncio.to_thread(wait_until, "another process", lambda: process_of(server, still) != stopped, LIMIT_S)
        await until("the end of those who are lost", lambda: gone(players) >= of_it, LIMIT_S)
        staying = [player for player in players if not player.ended.is_set()]
        assert len(staying) == LATER_PLAYERS - of_it
        await playing(staying)
        assert not holes(staying)
        assert f"worker {still} stands still: killed" in server.output()
        assert process_of(server, other) == going_on
        await asyncio.to_thread(wait_until, "readiness", server.is_ready, LIMIT_S, every_s=0.1)


def edge_name() -> str:
    return f"{socket.gethostname()}-edge"


async def more(players: Sequence[Recorder]) -> None:
    await asyncio.gather(*(player.more(LIMIT_S, units=50) for player in players))


def places(cluster: Cluster, count: int) -> dict[str, tuple[str, str]]:
    """Origin and heir of so many streams, once all have both."""
    found: dict[str, tuple[str, str]] = {}

    def all_placed() -> bool:
        with urllib.request.urlopen(f"{cluster.api_url}/v1/streams", timeout=LIMIT_S) as answer:
            items = json.load(answer)["items"]
        found.update({item["stream"]: (item["origin"], item["heir"]) for item in items})
        return len(found) == count and all(origin and heir for origin, heir in found.values())

    wait_until("an origin and an heir of every stream", all_placed, LIMIT_S)
    return found


def machine_of(origin: str) -> str:
    """The node that a worker is of; each is on a machine of its own here."""
    return re.sub(r"^(origin-\d+)-\d+$", r"\1", origin)
