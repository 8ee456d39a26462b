"""A server that does not run for a while, as its machine is moved or out of processor: what it missed was nobody else's silence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from e2e.test_frames import RUN_S, Run
from e2e.test_rtsp import Case, ffmpeg_push
from support.clip import Clip
from support.cluster import Cluster, Node, Settings, Standalone
from support.ffmpeg import Publisher
from support.ports import connections
from support.process import wait_until
from support.recorder import recorder, recording
from support.shown_times import HELD_BACK, check_times, of_file

LIMIT_S = 30.0
UNITS = 75
QUICK: Settings = {
    "cluster.lease_s": 3,
    "cluster.report_interval_ms": 500,
    "cluster.silence_s": 1.5,
    "edge.limits.idle_timeout_s": 3,
}
PAUSES_S = {"longer than what makes a node away": 2.5, "longer than a lease": 5.0}


@pytest.mark.parametrize("pause_s", PAUSES_S.values(), ids=PAUSES_S)
async def test_publishers_and_players_go_on_and_others_begin(
    pause_s: float, start_standalone: Callable[..., Standalone], media: Callable[[str], Path], stack: ExitStack, tmp_path: Path
) -> None:
    clip = Clip(media("unique_av"))
    server = start_standalone(QUICK)
    stack.enter_context(Publisher(clip.file, server.rtmp_url("live/before"), log=tmp_path / "before.log", loops=10))
    players = [recorder(url, url) for url in (server.flv_url("live/before"), server.rtmp_url("live/before"))]
    newcomer = recorder("newcomer", server.flv_url("live/after"))
    async with recording(*players):
        await asyncio.gather(*(player.more(LIMIT_S, units=UNITS) for player in players))
        await asyncio.to_thread(suspend, server, pause_s)
        stack.enter_context(Publisher(clip.file, server.rtmp_url("live/after"), log=tmp_path / "after.log", loops=10))
        async with recording(newcomer):
            await asyncio.gather(*(player.more(LIMIT_S, units=2 * UNITS) for player in (*players, newcomer)))
    for player in (*players, newcomer):
        assert player.judge(clip).faults == []


def suspend(server: Node, pause_s: float) -> None:
    """Keep it from running for a while."""
    server.pause()
    time.sleep(pause_s)
    server.resume()


SHORT_GRACE: Settings = {"origin.grace_s": 1}  #: players are told of the end soon after it
SENT = 0.25  #: of 8 s, when it stops
#: What stands still, and for how long: until the publishers have sent all and gone, or longer than what is kept for another origin.
STOPPED = {
    "the edge of the publishers, past their end": (("edge-1",), 7.0),
    "both edges": (("edge-1", "edge-2"), 4.0),
    "every origin": (("origin-1", "origin-2"), 5.0),
    "all of it": (("scheduler-1", "edge-1", "edge-2", "origin-1", "origin-2"), 6.0),
}


@pytest.mark.parametrize(("names", "pause_s"), STOPPED.values(), ids=STOPPED)
def test_players_in_a_cluster_get_all_that_publishers_by_tcp_send(
    names: tuple[str, ...],
    pause_s: float,
    start_cluster: Callable[..., Cluster],
    media: Callable[[str], Path],
    stack: ExitStack,
    tmp_path: Path,
) -> None:
    cluster = start_cluster(settings={"all": SHORT_GRACE, "edge": {"edge.play.wait_publisher_s": 60}})
    ingest, egress = cluster.edges
    run, file, cases = Run(tmp_path, stack), media("h264_aac"), {"rtmp": "rtmp", "rtsp": "tcp"}
    rows = {stream: tmp_path / f"{stream}.flv" for stream in cases}
    run.record_all("http", {rows[stream]: egress.flv_url(f"live/{stream}") for stream in cases})
    wait_until("players", lambda: connections(egress.ports["http"]) >= len(cases), RUN_S)
    run.push("rtmp", file, ingest.rtmp_url("live/rtmp"))
    by_rtsp = ffmpeg_push(Case(media="h264_aac", transport="tcp", program="ffmpeg"), file, ingest.rtsp_url("live/rtsp"))
    run.publish("rtsp", file, run.command("push.rtsp", *by_rtsp))
    enough_bytes = file.stat().st_size * SENT
    wait_until("media", lambda: all(row.exists() and row.stat().st_size >= enough_bytes for row in rows.values()), RUN_S)
    stopped = [node for node in cluster.nodes if node.name in names]
    for node in stopped:
        node.pause()
    time.sleep(pause_s)
    for node in stopped:
        node.resume()
    run.finish()
    for row in rows.values():
        check_times(of_file(file), of_file(row), HELD_BACK)
