"""An origin that owns a stream is lost: publisher and players stay connected, and miss nothing, whoever else is away."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import statistics
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import pytest
from support import frames, wire
from support.cluster import Cluster, Node
from support.ffmpeg import Publisher
from support.process import wait_until

from lalmesh.container.flv import Tag

Media = Callable[[str], Path]
StartCluster = Callable[..., Cluster]

PICTURES = 75  #: three seconds, before a loss and after it: more than players had on their way when it came
LIMIT_S = 40.0
GAP_S = 1.0  #: that a player may have to wait for the next picture when the process of an origin dies
LINK_DEAD_S = 2.0  #: of the configuration
LINGER_S = 3.0  #: the same
KILLS = 4
LOOPS = 1  #: of a minute, after the first: longer than a test on a slow machine


class Watched:
    """A player, what it got, and when."""

    def __init__(self, url: str, peer: wire.Peer) -> None:
        self.url = url
        self.tags: list[Tag] = []
        self.came: list[float] = []  #: of each picture
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._watch(peer))

    async def _watch(self, peer: wire.Peer) -> None:
        while (tags := await peer.tags(LIMIT_S)) is not None:
            self.tags += tags
            self.came += [time.monotonic()] * len(wire.pictures(tags))
            self._news.set()
        self._news.set()

    async def more(self, pictures: int = PICTURES) -> None:
        """Wait for so many more."""
        enough = len(self.came) + pictures
        async with asyncio.timeout(LIMIT_S):
            while len(self.came) < enough and not self._task.done():
                self._news.clear()
                await self._news.wait()
        assert not self._task.done(), f"{self.url} was closed"

    def longest_gap_s(self, since: float) -> float:
        """Between two pictures, of which the later one came after `since`."""
        return max(after - before for before, after in itertools.pairwise(self.came) if after >= since)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@contextlib.asynccontextmanager
async def watched(*urls: str) -> AsyncIterator[list[Watched]]:
    async with AsyncExitStack() as crowd:
        players = [Watched(url, await crowd.enter_async_context(wire.player(url))) for url in urls]
        for player in players:
            crowd.push_async_callback(player.close)
        await asyncio.gather(*(player.more() for player in players))
        yield players


def origin_of(cluster: Cluster, stream: str) -> Node:
    """The origin that the scheduler says owns the stream."""

    def named() -> str | None:
        with urllib.request.urlopen(f"{cluster.api_url}/v1/streams", timeout=LIMIT_S) as answer:
            items = {item["stream"]: item for item in json.load(answer)["items"]}
        origin = items.get(stream, {}).get("origin")
        return str(origin) if origin else None

    wait_until("an origin", lambda: named() is not None, LIMIT_S)
    name = named()
    return next(node for node in cluster.origins if node.name == name)


def urls_of(cluster: Cluster) -> tuple[str, ...]:
    ingest, egress = cluster.edges
    return (egress.flv_url("live/cam"), egress.ws_url("live/cam"), egress.rtmp_url("live/cam"), ingest.flv_url("live/cam"))


def check_all(source: frames.Recording, players: list[Watched]) -> None:
    """Every player has every frame from its join on, once and in order."""
    for player in players:
        frames.assert_same_from_join(source, wire.recording(player.tags))


def told(gaps: list[float], what: str) -> None:
    print(f"{what}: gap at the player p50 {statistics.median(gaps):.3f} s, worst {max(gaps):.3f} s, of {len(gaps)}")


async def test_publisher_and_players_outlive_their_origins_and_miss_no_frame(
    start_cluster: StartCluster, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    cluster, file, gaps = start_cluster(origins=3), media("h264_b3_aac_60s"), list[float]()
    publisher = stack.enter_context(Publisher(file, cluster.edges[0].rtmp_url("live/cam"), log=tmp_path / "push.log", loops=LOOPS))
    async with watched(*urls_of(cluster)) as players:
        for _ in range(KILLS):
            lost = origin_of(cluster, "live/cam")
            killed_at = time.monotonic()
            lost.kill()
            await asyncio.gather(*(player.more() for player in players))
            gaps += [player.longest_gap_s(killed_at) for player in players]
            assert await asyncio.to_thread(origin_of, cluster, "live/cam") is not lost
            lost.wait()
            await asyncio.to_thread(lost.restart().wait_ready)
    assert publisher.running, publisher.describe()
    check_all(frames.of_file(file, loops=LOOPS), players)
    told(gaps, "origin killed")
    assert max(gaps) < GAP_S


async def test_with_no_scheduler_to_ask_the_heir_serves(
    start_cluster: StartCluster, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    cluster, file = start_cluster(origins=3), media("h264_b3_aac_60s")
    publisher = stack.enter_context(Publisher(file, cluster.edges[0].rtmp_url("live/cam"), log=tmp_path / "push.log", loops=LOOPS))
    async with watched(*urls_of(cluster)) as players:
        lost = origin_of(cluster, "live/cam")
        cluster.schedulers[0].pause()
        await asyncio.gather(*(player.more() for player in players))
        killed_at = time.monotonic()
        lost.kill()
        await asyncio.gather(*(player.more(2 * PICTURES) for player in players))
        gaps = [player.longest_gap_s(killed_at) for player in players]
        cluster.schedulers[0].resume()
        await asyncio.gather(*(player.more() for player in players))
        await asyncio.to_thread(
            wait_until, "the heir to be written down", lambda: origin_of(cluster, "live/cam") is not lost, LIMIT_S
        )
        await asyncio.gather(*(player.more() for player in players))
    assert publisher.running, publisher.describe()
    check_all(frames.of_file(file, loops=LOOPS), players)
    told(gaps, "origin killed, no scheduler")
    assert max(gaps) < GAP_S


async def test_with_no_scheduler_to_ask_a_stream_is_played_that_its_edge_publishes_or_has_played(
    start_cluster: StartCluster, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    cluster, file = start_cluster(origins=3), media("h264_b3_aac_60s")
    ingest, egress = cluster.edges
    publisher = stack.enter_context(Publisher(file, ingest.rtmp_url("live/cam"), log=tmp_path / "push.log", loops=LOOPS))
    async with watched(egress.flv_url("live/cam")):
        for scheduler in cluster.schedulers:
            scheduler.kill()
    await asyncio.sleep(LINGER_S + 1.0)  # no edge reads the stream any more, and one has never read it
    async with watched(egress.flv_url("live/cam"), egress.rtmp_url("live/cam"), ingest.flv_url("live/cam")) as players:
        await asyncio.gather(*(player.more() for player in players))
    assert publisher.running, publisher.describe()
    check_all(frames.of_file(file, loops=LOOPS), players)


async def test_an_origin_that_falls_silent_is_left_and_not_gone_back_to(
    start_cluster: StartCluster, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    cluster, file = start_cluster(origins=3), media("h264_b3_aac_60s")
    publisher = stack.enter_context(Publisher(file, cluster.edges[0].rtmp_url("live/cam"), log=tmp_path / "push.log", loops=LOOPS))
    async with watched(*urls_of(cluster)) as players:
        lost = origin_of(cluster, "live/cam")
        paused_at = time.monotonic()
        lost.pause()
        await asyncio.gather(*(player.more() for player in players))
        gaps = [player.longest_gap_s(paused_at) for player in players]
        taken_over = await asyncio.to_thread(origin_of, cluster, "live/cam")
        lost.resume()
        await asyncio.gather(*(player.more(2 * PICTURES) for player in players))
        assert await asyncio.to_thread(origin_of, cluster, "live/cam") is taken_over is not lost
    assert publisher.running, publisher.describe()
    check_all(frames.of_file(file, loops=LOOPS), players)
    told(gaps, "origin silent")
    assert max(gaps) < LINK_DEAD_S + GAP_S


@pytest.mark.parametrize("which", ["edge", "edge and origin"])
async def test_players_stay_when_the_publishing_edge_dies_and_the_encoder_comes_back_elsewhere(
    which: str, start_cluster: StartCluster, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    cluster, file = start_cluster(origins=3, edges=3), media("h264_b3_aac_60s")
    first, second, egress = cluster.edges

    def publish(name: str, node: Node) -> Publisher:
        return stack.enter_context(Publisher(file, node.rtmp_url("live/cam"), log=tmp_path / f"push.{name}.log", loops=LOOPS))

    publish("first", first)
    async with watched(egress.flv_url("live/cam"), egress.rtmp_url("live/cam"), second.flv_url("live/cam")) as players:
        lost = origin_of(cluster, "live/cam")
        first.kill()
        if which == "edge and origin":
            lost.kill()
        await asyncio.sleep(2.0)
        again = publish("again", second)
        await asyncio.gather(*(player.more(2 * PICTURES) for player in players))
        assert again.running, again.describe()
    for player in players:
        for type_id in (8, 9):
            times = [tag.timestamp_ms for tag in player.tags if tag.type_id == type_id and not wire.is_header(tag)]
            assert all(before < after for before, after in itertools.pairwise(times)), f"{player.url}: time falls"
