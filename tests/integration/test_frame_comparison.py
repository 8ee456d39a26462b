"""The comparison of packets holds for servers that are known to pass them on untouched: it is the tests' own yardstick."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support import frames
from support.ffmpeg import Player, Publisher
from support.frames import Recording
from support.media import media
from support.process import wait_until

from bench.peers import Nginx, NodeMediaServer, Server

STREAM = "live/yardstick"
LIMIT_S = 30.0


def start_nginx(folder: Path) -> Server:
    if not Nginx.available():
        pytest.skip("nginx with its RTMP module is not installed")
    return Nginx(folder, wait_key=True)


def start_node_media_server(folder: Path) -> Server:
    if not NodeMediaServer.available():
        pytest.skip("node and npm are not installed")
    NodeMediaServer.install()
    return NodeMediaServer(folder)


def missing(source: Recording, player: Player) -> int:
    """How many packets of the source come after the last that the player has written."""
    got = frames.read(player.rows)
    return sum(frame.dts > max(row.dts for row in got.frames) for frame in source.frames)


@pytest.mark.parametrize(
    ("start", "protocol"),
    [(start_nginx, "rtmp"), (start_node_media_server, "rtmp"), (start_node_media_server, "http")],
    ids=["nginx-rtmp", "node-media-server-rtmp", "node-media-server-flv"],
)
def test_a_stream_through_another_server_is_the_same_from_the_join_to_the_end(
    start: Callable[[Path], Server], protocol: str, tmp_path: Path
) -> None:
    file = media("h264_b3_aac")
    source = frames.of_file(file)
    with start(tmp_path) as server:
        url = server.rtmp_url(STREAM) if protocol == "rtmp" else server.flv_url(STREAM)
        with Publisher(file, server.rtmp_url(STREAM), log=tmp_path / "publisher.log") as publisher:
            player = Player(url, tmp_path / "rows", log=tmp_path / "player.log")
            with player:
                wait_until("packets", lambda: player.row_count() > 100, LIMIT_S, child=player)
                publisher.wait(LIMIT_S)
                wait_until("all but the last packets", lambda: missing(source, player) <= 2, LIMIT_S, child=player)
                server.child.kill()  # the end that makes the player write its last packet
                player.wait(LIMIT_S)
    join = frames.assert_same_from_join(source, frames.read(player.rows), to_end=True)
    assert join.counts["video"] > 100
