"""The hls node that segments a stream is killed: a browser that plays through an edge plays on."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from support.browser import Pages, Watch
from support.cluster import Cluster, Node
from support.ffmpeg import Publisher
from support.media import media
from support.process import wait_until

STREAM = "live/cam"
SEGMENTS = 4  #: in the playlist when players come: three from where they begin, and one that may be old
START_S = 40.0
WATCHED_S = 12.0  #: from the kill on: twice what is in a buffer
#: Key frames are 2 s apart, so segments last 2 s too; players stay three of them behind live.
HLS = {"hls.start": "always", "hls.segment_ms": 2000, "hls.part_ms": 500}
MOST_HALT_S = 1.0  #: what a busy machine may cost; a player that has run dry waits for a segment at least
PLAYLISTS = {"ts": f"/hls/{STREAM}.m3u8", "fmp4": f"/hls/{STREAM}/index.m3u8"}


def segments(url: str) -> int:
    """How many segments the playlist has."""
    try:
        with urllib.request.urlopen(url, timeout=START_S) as answer:
            return int(answer.read().count(b"#EXTINF:"))
    except urllib.error.HTTPError:
        return 0


def owner(cluster: Cluster) -> Node:
    """The hls node that segments the stream, as the scheduler has logged it."""
    name = re.findall(rf"hls of {STREAM} at ([^ :]+):", cluster.schedulers[0].output())[-1]
    return next(node for node in cluster.hls if node.name == name)


def test_a_killed_worker_stops_no_player_with_a_buffer(pages: Pages, start_cluster: Callable[..., Cluster], tmp_path: Path) -> None:
    settings = {"edge": {"edge.http.cors_origins": [pages.origin]}, "hls": HLS}
    cluster = start_cluster(origins=1, edges=1, hls=2, settings=settings)
    edge = cluster.edges[0]
    url = edge.flv_url("").removesuffix("/.flv")

    with Publisher(media("bench"), edge.rtmp_url(STREAM), log=tmp_path / "push.log", loops=-1, limit_s=90) as publisher:
        wait_until("segments", lambda: segments(url + PLAYLISTS["ts"]) >= SEGMENTS, START_S, child=publisher, every_s=0.2)
        watches = {name: Watch("hls.js", url + path) for name, path in PLAYLISTS.items()}
        reports = pages.watch(watches, WATCHED_S, once_playing=lambda: owner(cluster).kill())
    for name, report in reports.items():
        assert report.fatal is None, f"{name}: {report}"
        assert report.longest_halt_s < MOST_HALT_S, f"{name}: {report}"
    assert len([node for node in cluster.hls if node.running]) == 1
