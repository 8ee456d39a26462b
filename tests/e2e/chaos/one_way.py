"""What one machine sends to another is lost, and what the other sends arrives: from an origin to a reader, from a node to all
schedulers. What the publishing edge sends to the origin is in `cuts.py`, beside the same cut both ways.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial

from e2e.chaos.cluster import LEASE_S, until
from e2e.chaos.control import is_true
from e2e.chaos.cuts import BOUND_S, LINK_DEAD_S, check_quiet, ownership
from e2e.chaos.stage import Players, Report, Stage, flat
from support.cluster import Node
from support.recorder import HlsRecorder, Recorder

ALONE_S = 10.0  #: a reader says that it is alone after two failed ways of `LINK_DEAD_S`; less than the grace of its players
BACK_S = 2 * LINK_DEAD_S + 1.0  #: a way that was tried before healing fails first, and the next one comes a second after that
UNHEARD_S = 2.0 + LEASE_S + 2.0  #: silence that makes a node away, its lease from then on at the latest, and a while without it
TRUTH_S = 15.0  #: for a node to be heard again, and for the registry to show what it has


async def reader_cut_off(stage: Stage, times: int) -> Report:
    """A reading edge gets nothing from the owner any more: it says so and keeps its players; nobody else notices, nothing moves.

    What its players miss meanwhile may be gone: each may have one hole for each time.
    """
    cluster = stage.cluster
    report = Report("What the origin sends to a reading edge is lost", times)
    reader = cluster.edge(3)
    async with stage.show(cluster.edge(1), [cluster.edge(2)]) as far:
        near = {stream: _of_the_edge(stage, stream, reader) for stream in stage.streams}
        async with stage.playing(*flat(near)):
            for number in range(times):
                await cluster.steady(*stage.streams)
                owner = await cluster.owner(stage.streams[number % 2])
                await _cut_reader_off(stage, report, owner, reader, near, far)
            await stage.judge(report, far)
            await stage.judge(report, near, joints=times)
    return report


def _of_the_edge(stage: Stage, stream: str, edge: Node) -> list[Recorder]:
    """Players of what the edge reads itself: what it gives by HLS it has from an hls node."""
    return [player for player in stage.players(stream, [edge]) if not isinstance(player, HlsRecorder)]


async def _cut_reader_off(stage: Stage, report: Report, owner: Node, reader: Node, near: Players, far: Players) -> None:
    cluster = stage.cluster
    hit, calm = await stage.by_owner(near, owner)
    before, told_before = await ownership(stage), await cluster.unreachable(owner)
    cut_s = time.monotonic()
    cluster.places[owner.name].lose(cluster.places[reader.name])
    await asyncio.sleep(ALONE_S)
    told = await cluster.unreachable(owner)
    cluster.places[owner.name].find(cluster.places[reader.name])
    healed_s = time.monotonic()
    await report.check_playing(hit, BACK_S)
    report.notes.append(f"{told - told_before:g} reports of it, players went on {time.monotonic() - healed_s:.1f} s after healing")
    await report.take_gaps([], cut_s, calm=[*flat(far), *calm])
    if told <= told_before:
        report.faults.append(f"{reader.name} has not said that it cannot reach {owner.name}")
    if (after := await ownership(stage)) != before:
        report.faults.append(f"moved for one reader: {before}, then {after}")


async def node_unheard(stage: Stage, times: int) -> Report:
    """No scheduler hears the owner, or the publishing edge, for longer than its lease: its keys go, its streams go on.

    The origin's streams move to another that is heard. The edge keeps its own: it claims them again when it is heard.
    """
    cluster = stage.cluster
    report = Report("What a node sends to the schedulers is lost", times, bound_s=BOUND_S)
    async with stage.show(cluster.edge(1), [cluster.edge(2), cluster.edge(3)]) as players:
        for number in range(times):
            await cluster.steady(*stage.streams)
            owner = await cluster.owner(stage.streams[number // 2 % 2])
            await _keep_unheard(stage, report, cluster.edge(1) if number % 2 else owner, players)
        await stage.judge(report, players)
    return report


async def _keep_unheard(stage: Stage, report: Report, node: Node, players: Players) -> None:
    cluster = stage.cluster
    schedulers = [cluster.places[scheduler.name] for scheduler in cluster.of("scheduler")]
    hit, calm = await stage.by_owner(players, node)
    claims, shown = await cluster.registry("claims/"), await cluster.streams()
    epochs = {stream: shown[stream]["epoch"] for stream in stage.streams}
    cut_s = time.monotonic()
    cluster.places[node.name].lose(*schedulers)
    await asyncio.sleep(UNHEARD_S)
    if node.name in await cluster.registry("nodes/"):
        report.faults.append(f"{node.name} is a member though nobody has heard it for {UNHEARD_S:g} s")
    cluster.places[node.name].find(*schedulers)
    healed_s = time.monotonic()
    await until("a registry that equals the truth", partial(is_true, cluster, claims, epochs), TRUTH_S)
    report.notes.append(f"{node.role}: the registry was right {time.monotonic() - healed_s:.1f} s after healing")
    await check_quiet(stage, report, await ownership(stage))
    await report.take_gaps(hit, cut_s, calm=calm)
