"""Nodes of a cluster that are told to end, and a stream whose players are not to notice."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from lalmesh.client import Counts, push
from support import program
from support.clip import Clip
from support.cluster import Cluster, Node
from support.ffmpeg import Publisher
from support.process import wait_until
from support.recorder import Recorder, recorder, recording

STREAM = "live/cam"
DRAIN_S = 8.0
LONG_S = 60.0  #: so that what ends within `LIMIT_S` has not waited for it
LIMIT_S = 30.0
UNITS = 150  #: two seconds of pictures and sound
SETTINGS = {
    "all": {"cluster.drain_s": DRAIN_S},
    "hls": {"hls.segment_ms": 1000, "hls.list_num": 20},
}
LONG = SETTINGS | {"all": {"cluster.drain_s": LONG_S}}


def drain(cluster: Cluster, node: Node, *options: str) -> subprocess.CompletedProcess[str]:
    """The command, asking the first scheduler."""
    return program.run("drain", node.name, "--api", cluster.api_url, *options, limit_s=LIMIT_S)


def by_command(cluster: Cluster, node: Node, *options: str) -> None:
    """Told by the command."""
    done = drain(cluster, node, *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{node.name} drains\n"


def by_signal(cluster: Cluster, node: Node) -> None:
    """Told by SIGTERM."""
    node.terminate()


def listed(scheduler: str, what: str) -> list[dict[str, Any]]:
    """``nodes`` or ``streams``, as the API of a scheduler has them."""
    with urllib.request.urlopen(f"{scheduler}/v1/{what}", timeout=30) as answer:
        items: list[dict[str, Any]] = json.load(answer)["items"]
    return items


def owner(cluster: Cluster, role: str, streams: Iterable[str] = (STREAM,)) -> Node:
    """The node of that role (``origin``, ``hls``) that has the stream, or the most of several."""
    wanted = set(streams)
    names: list[str] = []

    def all_named() -> bool:
        names[:] = [item[role] for item in listed(cluster.api_url, "streams") if item["stream"] in wanted and item[role]]
        return len(names) == len(wanted)

    wait_until(f"an {role}", all_named, LIMIT_S)
    ((name, _),) = Counter(names).most_common(1)
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
async def show(cluster: Cluster, media: Callable[[str], Path], log: Path, ingest: Node, at: Node) -> AsyncIterator[Show]:
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


@asynccontextmanager
async def publishing(files: Mapping[str, Path]) -> AsyncIterator[None]:
    """Publish to many URLs out of this process, over and over; none of them may end."""
    tasks = [asyncio.create_task(push(file, url, Counts(), loops=0)) for url, file in files.items()]
    try:
        yield
        assert not any(task.done() for task in tasks), "a publisher was closed"
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
