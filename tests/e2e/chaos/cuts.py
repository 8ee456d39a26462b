"""Ways are cut, not processes killed: the origin's, the one between origin and publishing edge, the publishing edge's."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import Callable
from functools import partial

from e2e.chaos.cluster import others, until
from e2e.chaos.stage import Report, Stage
from support.cluster import Node
from support.process import Child
from support.recorder import Recorder

LINK_DEAD_S = 2.0  #: `cluster.link.dead_s`
BOUND_S = LINK_DEAD_S + 1.0
CUT_S = 6.0  #: longer than a lease
QUIET_S = 4.0  #: after healing, in which nothing may move


async def origin_cut(stage: Stage, times: int) -> Report:
    """The wire of the owner is unplugged, then plugged in again."""
    cluster = stage.cluster
    report = Report("Origin's network cut", times, bound_s=BOUND_S)
    async with stage.show(cluster.edge(1), [cluster.edge(2), cluster.edge(3), cluster.edge(1)]) as players:
        for number in range(times):
            await cluster.steady(*stage.streams)
            stream = stage.streams[number % 2]
            place = cluster.places[(await cluster.owner(stream)).name]
            cut_s = time.monotonic()
            place.unplug()
            await asyncio.sleep(CUT_S)
            report.take_gaps(players[stream], cut_s, time.monotonic())
            await _no_flap(stage, report, place.plug)
        stage.judge(report, players)
    report.check_gaps()
    return report


async def origin_cut_from_edge(stage: Stage, times: int) -> Report:
    """Only the way between the owner and the publishing edge is cut; both reach everyone else."""
    cluster = stage.cluster
    report = Report("Way between origin and publishing edge cut", times, bound_s=BOUND_S)
    async with stage.show(cluster.edge(1), [cluster.edge(2), cluster.edge(3)]) as players:
        for number in range(times):
            await cluster.steady(*stage.streams)
            stream = stage.streams[number % 2]
            ends = cluster.places[(await cluster.owner(stream)).name], cluster.places["edge-1"]
            cut_s = time.monotonic()
            cluster.network.cut(*ends)
            await asyncio.sleep(CUT_S)
            report.take_gaps(players[stream], cut_s, time.monotonic())
            await _no_flap(stage, report, partial(cluster.network.heal, *ends))
        stage.judge(report, players)
    report.check_gaps()
    return report


async def _no_flap(stage: Stage, report: Report, heal: Callable[[], object]) -> None:
    """Heal, and see that no stream that has settled elsewhere moves back."""
    await stage.cluster.steady(*stage.streams)
    before = await _ownership(stage)
    heal()
    await asyncio.sleep(QUIET_S)
    after = await _ownership(stage)
    if after != before:
        report.faults.append(f"moved by healing: {before}, then {after}")


async def _ownership(stage: Stage) -> dict[str, tuple[str, str]]:
    cluster = stage.cluster
    claims, groups = await cluster.registry("claims/"), await cluster.registry("groups/")
    return {stream: (claims[stream]["edge"]["name"], groups[stream]["origin"]["name"]) for stream in stage.streams}


async def edge_cut_and_taken_over(stage: Stage, times: int) -> Report:
    """The publishing edge is cut off from the cluster, its encoder and a player stay with it; another encoder takes over elsewhere.

    Nobody who has got a unit of the new publication gets one of the old one after it. Healed, the loser is closed with its reason.
    """
    cluster = stage.cluster
    report = Report("Publishing edge cut off, another publisher takes over", times, bound_s=0.0)
    edges = itertools.cycle([(cluster.edge(1), cluster.edge(2)), (cluster.edge(2), cluster.edge(1))])
    for (loser, winner), _ in zip(edges, range(times), strict=False):
        await _take_over(stage, report, loser, winner)
    return report


async def _take_over(stage: Stage, report: Report, loser: Node, winner: Node) -> None:
    cluster = stage.cluster
    stage.begin()
    old = await stage.publish(stage.av, loser)
    others_at = [winner, cluster.edge(3)]
    far, near = stage.players(stage.av, others_at), stage.joined(stage.av, loser)
    async with stage.playing(*far, *near):
        await cluster.steady(stage.av)
        epoch = (await cluster.streams())[stage.av]["epoch"]
        seen = len(loser.output())
        ends = [cluster.places[loser.name], *(cluster.places[node.name] for node in others([*cluster.nodes.values()], loser))]
        cluster.network.cut(*ends)
        cut_s = time.monotonic()
        new = await stage.publish(stage.av, winner, clip=stage.rival_clip)
        report.notes.append(f"the other was let in {time.monotonic() - cut_s:.1f} s after the cut")
        await asyncio.gather(*(player.more(10.0, units=60) for player in far if not _is_hls(player)))
        cluster.network.heal(*ends)
        await until("closing of the loser", partial(_has_ended, old), 20.0)
        await asyncio.gather(*(player.more(10.0, units=60) for player in (*near, *far)))
        _look(stage, report, [*far, *near])
        report.notes.append(f"the loser was told: {_reason(loser.output()[seen:])}")
        raised = (await cluster.streams())[stage.av]["epoch"]
        if (raised["term"], raised["revision"]) <= (epoch["term"], epoch["revision"]) or not new.running:
            report.faults.append(f"epoch {epoch}, then {raised}; the winner {'runs' if new.running else 'has ended'}")
    await asyncio.to_thread(new.stop)


def _look(stage: Stage, report: Report, players: list[Recorder]) -> None:
    """Units of the old publication come before all of the new one, each without a hole, times rising."""
    for player in players:
        verdict = player.judge(stage.av_clip, stage.rival_clip, joints=1)
        report.faults += verdict.faults
        report.units += verdict.units
        report.players += 1
        for kind_order in _by_kind(verdict.orders):
            if kind_order != [0, 1]:
                report.faults.append(f"{player.name}: clips {kind_order}, not the old one and then the new one")


def _by_kind(orders: list[tuple[int, float]]) -> list[list[int]]:
    """The order of each kind begins with the first clip that it had."""
    found: list[list[int]] = []
    for clip, _ in orders:
        if clip == 0 or not found:
            found.append([])
        found[-1].append(clip)
    return found


def _is_hls(player: Recorder) -> bool:
    return player.url.endswith(".m3u8")


async def _has_ended(publisher: Child) -> bool:
    return not publisher.running


def _reason(log: str) -> str:
    found = re.findall(r'"event": "publisher closed: ([^"]*)"', log)
    return found[-1] if found else "nothing"
