"""A server that does not run for a while, as its machine is moved or out of processor: what it missed was nobody else's silence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.clip import Clip
from support.cluster import Node, Settings, Standalone
from support.ffmpeg import Publisher
from support.recorder import recorder, recording

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
