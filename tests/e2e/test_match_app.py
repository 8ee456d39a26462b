"""`cluster.match_app`: whether the application is a part of a stream's name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from support import frames, wire
from support.cluster import Cluster, Node
from support.ffmpeg import Publisher
from support.operator_api import live
from support.process import wait_until

from lalmesh.container.flv import Tag
from lalmesh.protocol.rtmp import StatusFailed

Media = Callable[[str], Path]
StartCluster = Callable[..., Cluster]

LIMIT_S = 30.0
SOON = {"edge.play.wait_publisher_s": 0.5}  #: to refuse what is not there


def pushed(cluster: Cluster, file: Path, stack: ExitStack, folder: Path) -> Node:
    """`live/cam` is published at the first edge; the edge for its players."""
    url = cluster.edges[0].rtmp_url("live/cam")
    publisher = stack.enter_context(Publisher(file, url, log=folder / "push.log", loops=-1))
    wait_until("the stream", lambda: bool(live(cluster.api_url)), LIMIT_S, child=publisher)
    return cluster.edges[1]


def two_seconds_of_pictures(tags: list[Tag]) -> bool:
    return len(wire.pictures(tags)) >= 50


async def status_of(node: Node, path: str) -> int:
    answer = await wire.head_of(node.ports["http"], f"/hls/{path}", limit_s=LIMIT_S)
    if answer.status == 302:  # to a session of its own
        answer = await wire.head_of(node.ports["http"], answer.headers["location"], limit_s=LIMIT_S)
    return answer.status


async def played(url: str) -> list[Tag]:
    async with wire.player(url) as player:
        return await wire.collect(player, two_seconds_of_pictures, LIMIT_S)


async def test_without_it_a_stream_is_found_in_every_application_and_in_none(
    start_cluster: StartCluster, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    file = media("h264_aac")
    node = pushed(start_cluster(origins=1, settings={"edge": {"cluster.match_app": False}}), file, stack, tmp_path)
    source = frames.of_file(file, loops=1)
    urls = [url(stream) for url in (node.rtmp_url, node.flv_url, node.ws_url) for stream in ("live/cam", "other/deeper/cam")]
    urls += [node.flv_url("cam"), node.ws_url("cam")]
    for url, tags in zip(urls, await asyncio.gather(*map(played, urls)), strict=True):
        assert two_seconds_of_pictures(tags), url
        frames.assert_same_from_join(source, wire.recording(tags))


async def test_without_it_hls_finds_a_stream_in_every_application_and_in_none(
    start_cluster: StartCluster, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    everywhere = {"cluster.match_app": False}
    cluster = start_cluster(origins=1, hls=1, settings={"edge": everywhere, "hls": everywhere | {"hls.segment_ms": 1000}})
    node = pushed(cluster, media("h264_aac"), stack, tmp_path)
    async with asyncio.timeout(LIMIT_S):
        while await status_of(node, "live/cam.m3u8") != 200:  # noqa: ASYNC110 -- until the edge hears of both
            await asyncio.sleep(0.1)
    for path in ("other/deeper/cam.m3u8", "cam.m3u8", "tv/cam/index.m3u8"):
        assert await status_of(node, path) == 200, path


async def test_with_it_a_stream_of_another_application_is_another(
    start_cluster: StartCluster, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    node = pushed(start_cluster(origins=1, settings={"edge": SOON}), media("h264_aac"), stack, tmp_path)
    async with wire.player(node.flv_url("live/cam")) as player:
        assert await player.tags()
    for target, status in (("/other/cam.flv", 404), ("/live/deeper/cam.flv", 404), ("/cam.flv", 400)):
        assert (await wire.head_of(node.ports["http"], target)).status == status, target
    async with wire.rtmp(node.rtmp_url("other/cam"), "play") as refused:
        seen = await refused.first(StatusFailed)
        assert [event.code for event in seen if isinstance(event, StatusFailed)] == ["NetStream.Play.StreamNotFound"]
        assert await refused.events() is None
