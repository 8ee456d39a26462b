"""The origin that owns a stream is killed, again and again."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from e2e.chaos.cluster import ChaosCluster
from e2e.chaos.stage import Report, Stage, flat
from support.cluster import Node
from support.recorder import Recorder

AFTER_S = 2.0  #: what is played after a kill before the next thing happens: more than the longest gap that is allowed
RENEWALS = 4  #: moves for a group to get an heir that lives
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
        alone: so many of them, the first ones, come after all schedulers have been stopped: the heir serves.
        seed: of the moments.
    """
    cluster, chance = stage.cluster, random.Random(seed)
    before = f", every scheduler stopped before{'' if alone == times else f' {alone} of them'}" if alone else ""
    report = Report(f"Origin killed{before}", times)
    async with stage.show(cluster.edge(1), [cluster.edge(2), cluster.edge(3), cluster.edge(1)]) as players:
        for number in range(times):
            stream, after_key = stage.streams[number % 2], number // 2 % 2 == 1
            await cluster.steady(*stage.streams)
            if number < alone and not await cluster.is_steady(stream, heir=True):
                await _renew_heir(cluster, stream, stage.streams)
            owner = await cluster.owner(stream)
            if number < alone:
                async with schedulers_stopped(cluster):
                    await _kill(report, owner, players, stream, chance, after_key=after_key)
            else:
                await _kill(report, owner, players, stream, chance, after_key=after_key)
            await cluster.restart(owner)
        await cluster.steady(*stage.streams)
        await asyncio.gather(*(player.more(10.0, units=30) for player in flat(players)))
        stage.judge(report, players)
    report.check_gaps()
    return report


async def _renew_heir(cluster: ChaosCluster, stream: str, streams: tuple[str, ...]) -> None:
    """The heir died with another stream's origin, or was away at the last move, and a group gets a new one only when it moves."""
    for _ in range(RENEWALS):
        owner = await cluster.owner(stream)
        owner.kill()
        await asyncio.sleep(AFTER_S)
        await cluster.restart(owner)
        await cluster.steady(*streams)
        if await cluster.is_steady(stream, heir=True):
            return
    raise AssertionError(f"{stream} got no heir in {RENEWALS} moves")


async def _kill(
    report: Report, owner: Node, players: dict[str, list[Recorder]], stream: str, chance: random.Random, *, after_key: bool
) -> None:
    watching = players[stream][0]
    if after_key:
        await watching.next_key()
        await asyncio.sleep(chance.uniform(0, KEY_S / 2))
    else:
        await asyncio.sleep(chance.uniform(0, 1.0))
    killed_s = time.monotonic()
    owner.kill()
    await asyncio.sleep(AFTER_S)
    report.take_gaps(players[stream], killed_s, killed_s + AFTER_S)
