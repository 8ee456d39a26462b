"""HLS while storage fails, and over restarts of the server: live goes on from memory, numbers never go back.

A disk that is full is in `test_hls_full_disk`.
"""

from __future__ import annotations

import asyncio
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.cluster import Cluster, Node, Standalone
from support.ffmpeg import Publisher
from support.hls_poller import HlsPoller, Replicas, polling, until
from support.media import media
from support.ports import LOOPBACK
from support.s3 import S3Server

StartStandalone = Callable[..., Standalone]
StartCluster = Callable[..., Cluster]

STREAM = "live/cam"
TS, LOW_LATENCY = f"/hls/{STREAM}.m3u8", f"/hls/{STREAM}/live.m3u8"
QUICK = {"hls.segment_ms": 1000, "hls.part_ms": 250, "hls.list_num": 4, "hls.delete_threshold_num": 2, "origin.grace_s": 0}
LIMIT_S = 40.0
AWAY_S = 30.0  #: that storage fails
BACK_S = 60.0  #: for all to be stored that waited: pauses between two tries grow to 10 s


def server(node: Node) -> str:
    return f"http://{LOOPBACK}:{node.ports['hls']}"


def push(name: str, node: Node, stack: ExitStack, folder: Path) -> Publisher:
    return stack.enter_context(Publisher(media(name), node.rtmp_url(STREAM), log=folder / f"push.{name}.log", loops=-1))


def metric(nodes: list[Node], name: str) -> float:
    """The sum over all nodes."""
    found = [re.search(rf"^{name} (\S+)$", node.metrics(), re.MULTILINE) for node in nodes]
    return sum(float(value[1]) for value in found if value is not None)


def check_live(poller: HlsPoller) -> None:
    """Players noticed nothing."""
    assert poller.violations() == []
    assert poller.refusals == []
    assert poller.missed == []
    numbers = sorted(poller.listed)
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert [segment.number for segment in poller.listed.values() if segment.gap] == []
    assert poller.least_buffer_s() > 0


@pytest.mark.parametrize(("hangs", "away_s"), [(False, AWAY_S), (True, 8.0)], ids=["gone", "hanging"])
async def test_every_replica_plays_live_from_memory_while_the_store_is_away(
    hangs: bool, away_s: float, start_cluster: StartCluster, stack: ExitStack, tmp_path: Path
) -> None:
    store = await asyncio.to_thread(stack.enter_context, S3Server(tmp_path))
    (tmp_path / "secret").write_text("secret")
    at = {"url": store.url, "endpoint": store.endpoint, "region": "us-east-1", "access_key_id": "key"}
    at["secret_access_key_file"] = str(tmp_path / "secret")
    settings = {**QUICK, **{f"hls.storage.{key}": value for key, value in at.items()}, "hls.storage.deadline_s": 3}
    cluster = start_cluster(origins=1, edges=1, hls=2, settings={"hls": settings})
    push("h264_b3_aac_60s", cluster.edges[0], stack, tmp_path)
    async with polling(Replicas([server(node) for node in cluster.hls]), TS, LOW_LATENCY) as (ts, low_latency):
        await until("segments", lambda: min(len(ts.arrived), len(low_latency.arrived)) >= 3, LIMIT_S)
        (store.freeze if hangs else store.stop)()
        away = ts.next_number
        await asyncio.sleep(away_s)
        assert ts.next_number >= away + away_s - 3
        assert metric(cluster.hls, "hls_storage_failures_total") > 0
        assert metric(cluster.hls, "hls_unstored_segments") >= away_s - 3
        stored = metric(cluster.hls, "hls_stored_segments_total")
        await asyncio.to_thread(store.thaw if hangs else store.start)
        await until("nothing waits", lambda: metric(cluster.hls, "hls_unstored_segments") <= 1, BACK_S)
        assert metric(cluster.hls, "hls_stored_segments_total") > stored + away_s - 3
    assert metric(cluster.hls, "hls_lost_segments_total") == 0
    for poller in (ts, low_latency):
        check_live(poller)
    assert all(node.running for node in cluster.hls)


@pytest.mark.parametrize("ends", ["killed", "stopped"])
@pytest.mark.parametrize("storage", ["folder", "memory"])
async def test_numbers_go_on_over_a_restart_of_the_server(
    storage: str, ends: str, start_standalone: StartStandalone, stack: ExitStack, tmp_path: Path
) -> None:
    node = start_standalone({**QUICK, **({"hls.storage.url": "memory:"} if storage == "memory" else {})})
    push("h264_aac", node, stack, tmp_path)
    async with polling(Replicas([server(node)]), LOW_LATENCY) as (before,):
        await until("segments", lambda: len(before.arrived) >= 3, LIMIT_S)
        number = before.next_number
        await until("all stored", lambda: before.next_number > number and before.open_parts >= 2, LIMIT_S)
    if ends == "killed":
        node.kill()
    else:
        assert await asyncio.to_thread(node.stop, LIMIT_S) == 0
    await asyncio.to_thread(node.restart().wait_ready)
    push("h264_large_aac", node, stack, tmp_path)
    await until("the stream again", lambda: is_live(node), LIMIT_S)
    async with polling(Replicas([server(node)]), LOW_LATENCY) as (after,):
        await until("segments", lambda: len(set(after.arrived) - set(before.listed)) >= 3, LIMIT_S)
    known = set(before.listed) & set(after.listed)
    assert {number: after.listed[number].uri for number in known} == {number: before.listed[number].uri for number in known}
    assert min(set(after.listed) - known) >= before.next_number
    assert min(after.listed) >= min(before.listed)
    assert after.violations() == []
    if storage == "folder" and ends == "killed":  # the playlist goes on, with the other publication behind a discontinuity
        assert known
        assert sum(found.discontinuity for found in after.listed.values()) == 1


def is_live(node: Node) -> bool:
    """Whether there is a playlist that has not ended: that of the time before may be shown until somebody publishes."""
    try:
        with urllib.request.urlopen(f"{server(node)}{LOW_LATENCY}", timeout=30) as answer:
            return b"#EXT-X-ENDLIST" not in answer.read()
    except urllib.error.HTTPError as error:
        error.close()
        return False
