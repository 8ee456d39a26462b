"""An origin that owns a stream is killed: publisher and player stay connected, and the stream goes on."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

from support import frames, wire
from support.cluster import Cluster, Node
from support.ffmpeg import Publisher
from support.process import wait_until

from lalmesh.container.flv import Tag

Media = Callable[[str], Path]
StartCluster = Callable[..., Cluster]

PICTURES = 75  #: three seconds, before the loss and after it: more than players had on their way when it came
LIMIT_S = 40.0


def origin_of(cluster: Cluster, stream: str) -> Node:
    """The origin that the scheduler says owns the stream."""

    def named() -> str | None:
        with urllib.request.urlopen(f"{cluster.api_url}/v1/streams", timeout=5) as answer:
            items = {item["stream"]: item for item in json.load(answer)["items"]}
        origin = items.get(stream, {}).get("origin")
        return str(origin) if origin else None

    wait_until("an origin", lambda: named() is not None, LIMIT_S)
    name = named()
    return next(node for node in cluster.origins if node.name == name)


def more_pictures(tags: list[Tag]) -> bool:
    return len(wire.pictures(tags)) >= PICTURES


async def test_publisher_and_players_outlive_their_origin_and_miss_no_frame(
    start_cluster: StartCluster, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    cluster = start_cluster()
    ingest, egress = cluster.edges
    file = media("h264_b3_aac_60s")
    publisher = stack.enter_context(Publisher(file, ingest.rtmp_url("live/cam"), log=tmp_path / "push.log", limit_s=90))
    urls = (egress.flv_url("live/cam"), egress.ws_url("live/cam"), egress.rtmp_url("live/cam"), ingest.flv_url("live/cam"))
    async with AsyncExitStack() as crowd:
        players = [await crowd.enter_async_context(wire.player(url)) for url in urls]
        played = await asyncio.gather(*(wire.collect(player, more_pictures, LIMIT_S) for player in players))
        lost = origin_of(cluster, "live/cam")
        lost.kill()
        after = await asyncio.gather(*(wire.collect(player, more_pictures, LIMIT_S) for player in players))
    assert publisher.running, publisher.describe()
    source = frames.of_file(file)
    for url, before, rest in zip(urls, played, after, strict=True):
        assert more_pictures(rest), f"{url} was closed"
        frames.assert_same_from_join(source, wire.recording([*before, *rest]))
    wait_until("another owner", lambda: origin_of(cluster, "live/cam") is not lost, LIMIT_S)
