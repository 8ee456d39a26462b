"""An origin that owns a stream is killed: publisher and player stay connected, and the stream goes on."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from support import frames, wire
from support.cluster import Cluster, Node
from support.ffmpeg import Publisher
from support.process import wait_until

from lalmesh.container.flv import TAG_AUDIO, TAG_VIDEO

Media = Callable[[str], Path]
StartCluster = Callable[..., Cluster]

PICTURES = 50  #: two seconds, before and after
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


async def test_players_and_publisher_outlive_their_origin(
    start_cluster: StartCluster, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    cluster = start_cluster()
    ingest, egress = cluster.edges
    file = media("h264_b3_aac_60s")
    publisher = stack.enter_context(Publisher(file, ingest.rtmp_url("live/cam"), log=tmp_path / "push.log", limit_s=90))
    async with wire.flv(egress.flv_url("live/cam")) as http, wire.rtmp(egress.rtmp_url("live/cam"), "play") as rtmp:
        for player in (http, rtmp):
            tags = await wire.collect(player, lambda got: len(wire.pictures(got)) >= PICTURES, LIMIT_S)
            if player is http:
                before = tags
        origin_of(cluster, "live/cam").kill()
        after = await wire.collect(http, lambda got: len(wire.pictures(got)) >= 2 * PICTURES, LIMIT_S)
        other = await wire.collect(rtmp, lambda got: len(wire.pictures(got)) >= PICTURES, LIMIT_S)
    assert len(wire.pictures(after)) >= 2 * PICTURES, "the HTTP player was closed"
    assert len(wire.pictures(other)) >= PICTURES, "the RTMP player was closed"
    assert publisher.running, publisher.describe()
    everything = [*before, *after]
    for type_id in (TAG_VIDEO, TAG_AUDIO):
        times = [tag.timestamp_ms for tag in everything if tag.type_id == type_id and not wire.is_header(tag)]
        assert times == sorted(set(times)), "time falls or stands still"
    sent = {(frame.dts, frame.md5) for frame in frames.of_file(file).track("video")}
    got = {(frame.dts, frame.md5) for frame in wire.recording(everything).track("video")}
    assert got <= sent, "a picture has another time than it was sent with"
    wait_until("another owner", lambda: origin_of(cluster, "live/cam").running, LIMIT_S)
