"""Ways are cut, not processes killed: the origin's, the one between origin and publishing edge, the publishing edge's."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

from e2e.chaos.cluster import others, until
from e2e.chaos.logs import closings, missing_units, wrong_ends, wrong_epochs
from e2e.chaos.stage import Players, Report, Stage
from support.cluster import Node
from support.netns import Namespace, Network
from support.process import Child
from support.recorder import Recorder

LINK_DEAD_S = 2.0  #: `cluster.link.dead_s`
BOUND_S = LINK_DEAD_S + 1.0
CUT_S = 6.0  #: longer than a lease
QUIET_S = 4.0  #: after healing, in which nothing may move

OnPlace: TypeAlias = Callable[[Namespace], object]  #: what is done to the machine of an origin
Ownership: TypeAlias = dict[str, tuple[object, ...]]  #: by stream


async def origin_cut(stage: Stage, times: int) -> Report:
    """The wire of the owner is unplugged, then plugged in again."""
    cluster = stage.cluster
    report = Report("Origin's network cut", times, bound_s=BOUND_S)
    async with stage.show(cluster.edge(1), [cluster.edge(2), cluster.edge(3), cluster.edge(1)]) as players:
        for number in range(times):
            await _cut_owner(stage, report, players, stage.streams[number % 2], Namespace.unplug, Namespace.plug)
        await stage.judge(report, players)
    return report


async def origin_cut_from_edge(stage: Stage, times: int, *, one_way: bool = False) -> Report:
    """Only the way between owner and publishing edge is cut, `one_way` only what the edge sends; both reach everyone else."""
    cluster = stage.cluster
    title = "What the publishing edge sends to the origin is lost" if one_way else "Way between origin and publishing edge cut"
    report = Report(title, times, bound_s=BOUND_S)
    edge = cluster.places["edge-1"]
    ways: tuple[OnPlace, OnPlace] = (edge.lose, edge.find) if one_way else (partial(Network.cut, edge), partial(Network.heal, edge))
    async with stage.show(cluster.edge(1), [cluster.edge(2), cluster.edge(3)]) as players:
        for number in range(times):
            await _cut_owner(stage, report, players, stage.streams[number % 2], *ways)
        await stage.judge(report, players)
    return report


async def _cut_owner(stage: Stage, report: Report, players: Players, stream: str, cut: OnPlace, heal: OnPlace) -> None:
    """Cut off the owner of `stream`; players of what it owns play on within the bound, and healing moves nothing."""
    cluster = stage.cluster
    await cluster.steady(*stage.streams)
    owner = await cluster.owner(stream)
    hit, calm = await stage.by_owner(players, owner)
    cut_s = time.monotonic()
    cut(cluster.places[owner.name])
    await asyncio.sleep(CUT_S)
    await report.take_gaps(hit, cut_s, calm=calm)
    await cluster.steady(*stage.streams)
    before = await ownership(stage)
    heal(cluster.places[owner.name])
    await check_quiet(stage, report, before)


async def check_quiet(stage: Stage, report: Report, before: Ownership) -> None:
    """See that no stream moves back to where it was before it settled elsewhere, or anywhere."""
    await asyncio.sleep(QUIET_S)
    after = await ownership(stage)
    if after != before:
        report.faults.append(f"moved by healing: {before}, then {after}")


async def ownership(stage: Stage) -> Ownership:
    """Who writes each stream under which publication, and to which place it was pointed."""
    claims, pointed = await stage.cluster.registry("claims/"), await stage.cluster.pointed()
    owned = Ownership()
    for stream in stage.streams:
        claim = claims.get(stream, {"edge": None, "publication": None})
        owned[stream] = claim["edge"], claim["publication"], pointed.get(stream)
    return owned


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
    far, near = stage.players(stage.av, [winner, cluster.edge(3)]), stage.joined(stage.av, loser)
    async with stage.playing(*far, *near):
        await cluster.steady(stage.av)
        before = (await cluster.streams())[stage.av]["epoch"]
        everyone_else = [cluster.places[node.name] for node in others([*cluster.nodes.values()], loser)]
        cluster.network.cut(cluster.places[loser.name], *everyone_else)
        cut_s = time.monotonic()
        new = await stage.publish(stage.av, winner, clip=stage.rival_clip)
        report.notes.append(f"the other was let in {time.monotonic() - cut_s:.1f} s after the cut")
        await asyncio.gather(*(player.more(10.0, units=60) for player in far if not _is_hls(player)))
        await cluster.steady(stage.av)
        owned = await ownership(stage)
        cluster.network.heal(cluster.places[loser.name], *everyone_else)
        await until("closing of the loser", partial(_has_ended, old), 20.0)
        await check_quiet(stage, report, owned)
        await asyncio.gather(*(player.more(10.0, units=60) for player in (*near, *far)))
        _look(stage, report, far)
        # Healed, the loser may get a unit through to an heir before it hears: its own players have a hole then, which is announced.
        _look(stage, report, near, holes=1 if missing_units(loser.output(), stage.av) else 0)
        raised = (await cluster.streams())[stage.av]["epoch"]
        if _pair(raised) <= _pair(before) or not new.running:
            report.faults.append(f"epoch {before}, then {raised}; the winner {'runs' if new.running else 'has ended'}")
        report.notes.append(f"the loser was told: {', '.join(closings(loser.output(), stage.av)) or 'nothing'}")
        logs = {origin.name: origin.output() for origin in cluster.of("origin")}
        report.faults += wrong_ends(stage.av, loser.output(), winner.output())
        report.faults += wrong_epochs(stage.av, logs, {loser.name: _pair(before), winner.name: _pair(raised)})
    await asyncio.to_thread(new.stop)


def _pair(epoch: Mapping[str, int]) -> tuple[int, int]:
    return epoch["term"], epoch["revision"]


def _look(stage: Stage, report: Report, players: list[Recorder], *, holes: int = 0) -> None:
    """Units of the old publication come before all of the new one, each without a hole but those `holes`, times rising."""
    for player in players:
        verdict = player.judge(stage.av_clip, stage.rival_clip, joints=1 + holes)
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
