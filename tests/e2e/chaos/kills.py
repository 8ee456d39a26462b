"""The origin that owns a stream is killed, again and again."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from e2e.chaos.cluster import ChaosCluster
from e2e.chaos.stage import Report, Stage
from support.cluster import Node
from support.recorder import Recorder

AFTER_S = 2.0  #: what is played after a kill before the next thing happens: more than the longest gap that is allowed
TOLD_S = 0.5  #: for who writes and who reads to hear of an heir that the registry has just been given
KEY_S = 0.05  #: a kill "right after a keyframe" comes within this of its arrival at a player


@asynccontextmanager
async def schedulers_stopped(cluster: ChaosCluster) -> AsyncIterator[None]:
    """Nobody can be asked inside the block."""
    schedulers = cluster.of("scheduler")
    await asyncio.gather(*(asyncio.to_thread(node.pause) for node in schedulers))
    try:
        yield
    finally:
        for node in schedulers:
            node.resume()


async def origins_killed(stage: Stage, times: int, *, alone: int = 0, seed: int = 1) -> Report:
    """SIGKILL of the owner of a stream, of each stream in turn, two times at any moment, two times right after a keyframe.

    Args:
        stage: where.
        times: how many kills.
        alone: so many of them, the first ones, come after all schedulers have been stopped: the heir serves. The schedulers have
            to name one that lives by themselves, after each kill and at the end.
        seed: of the moments.
    """
    cluster, chance = stage.cluster, random.Random(seed)
    before = f", every scheduler stopped before{'' if alone == times else f' {alone} of them'}" if alone else ""
    report = Report(f"Origin killed{before}", times)
    async with stage.show(cluster.edge(1), [cluster.edge(2), cluster.edge(3), cluster.edge(1)]) as players:
        for number in range(times):
            stream, after_key = stage.streams[number % 2], number // 2 % 2 == 1
            await cluster.steady(*stage.streams)
            if number < alone:
                await cluster.steady(*stage.streams, heir=True)
                await asyncio.sleep(TOLD_S)
            owner = await cluster.owner(stream)
            hit, calm = await stage.by_owner(players, owner)
            if number < alone:
                async with schedulers_stopped(cluster):
                    killed_s = await _kill(owner, players[stream][0], chance, after_key=after_key)
            else:
                killed_s = await _kill(owner, players[stream][0], chance, after_key=after_key)
            await report.take_gaps(hit, killed_s, calm=calm)
            await cluster.restart(owner)
        await cluster.steady(*stage.streams, heir=True)
        await stage.judge(report, players)
    return report


async def _kill(owner: Node, watching: Recorder, chance: random.Random, *, after_key: bool) -> float:
    """Kill at the moment that is wanted, and look on for `AFTER_S`; when it was done (monotonic)."""
    if after_key:
        await watching.next_key()
        await asyncio.sleep(chance.uniform(0, KEY_S / 2))
    else:
        await asyncio.sleep(chance.uniform(0, 1.0))
    killed_s = time.monotonic()
    owner.kill()
    await asyncio.sleep(AFTER_S)
    return killed_s
