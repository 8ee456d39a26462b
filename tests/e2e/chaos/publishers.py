"""The publisher moves to another edge, or its edge dies and it has to: players see one stream."""

from __future__ import annotations

import asyncio
import time

from e2e.chaos.logs import missing_units
from e2e.chaos.stage import Report, Stage
from support.cluster import Node

STILL_S = 1.0  #: that a player may stand still beyond the absence of its publisher, as where an origin dies
MOVE_S = 0.5  #: that an encoder which moves is absent at most: it begins elsewhere as soon as it has stopped, measured 0.25 s
RETURN_S = 2.0  #: for an encoder whose edge has been killed to be let in elsewhere
AFTER_S = 3.0


async def publisher_moved(stage: Stage, times: int) -> Report:
    """The encoder stops and begins again at another edge, within the grace."""
    cluster = stage.cluster
    report = Report("Publisher moved to another edge", times, bound_s=MOVE_S + STILL_S)
    stage.begin()
    publisher = await stage.publish(stage.av, cluster.edge(1))
    players = {stage.av: stage.players(stage.av, [cluster.edge(3)])}
    async with stage.playing(*players[stage.av]):
        for number in range(times):
            await asyncio.to_thread(publisher.stop)
            stopped_s = time.monotonic()
            publisher = await stage.publish(stage.av, cluster.edge(2 - number % 2))
            await asyncio.gather(*(player.more(10.0, units=60) for player in players[stage.av]))
            await report.take_gaps(players[stage.av], stopped_s)
        await stage.judge(report, players, joints=times)
        await _check_told(stage, report, cluster.edge(3))
    await asyncio.to_thread(publisher.stop)
    return report


async def publishing_edge_killed(stage: Stage, times: int, *, with_origin: bool = False) -> Report:
    """The edge dies, `with_origin` the owner too; the encoder comes back elsewhere and is let in within `RETURN_S`."""
    cluster = stage.cluster
    what = "Origin and publishing edge killed together" if with_origin else "Publishing edge killed"
    report = Report(what, times, bound_s=RETURN_S + STILL_S)
    stage.begin()
    await stage.publish(stage.av, cluster.edge(1))
    at, there = cluster.edge(1), cluster.edge(2)
    players = {stage.av: stage.players(stage.av, [cluster.edge(3)])}
    async with stage.playing(*players[stage.av]):
        for _ in range(times):
            await cluster.steady(stage.av)
            lost = [at, *([await cluster.owner(stage.av)] if with_origin else [])]
            killed_s = time.monotonic()
            for node in lost:
                node.kill()
            publisher = await stage.publish(stage.av, there)
            took_s = time.monotonic() - killed_s
            report.notes.append(f"let in elsewhere after {took_s:.2f} s")
            if took_s > RETURN_S:
                report.faults.append(f"let in elsewhere after {took_s:.2f} s, bound {RETURN_S} s")
            await asyncio.sleep(AFTER_S)
            await asyncio.gather(*(player.more(10.0, units=60) for player in players[stage.av]))
            await report.take_gaps(players[stage.av], killed_s)
            await cluster.restart(*lost)
            at, there = there, at
        await stage.judge(report, players, joints=times)
        await _check_told(stage, report, cluster.edge(3))
    await asyncio.to_thread(publisher.stop)
    return report


async def _check_told(stage: Stage, report: Report, edge: Node) -> None:
    """What the relay of the players never got was announced by its origin, is counted, and logged. This edge stays up."""
    metrics = await asyncio.to_thread(edge.metrics)
    counted, unannounced = (_total(metrics, f"edge_{what}_units_total") for what in ("missing", "unannounced"))
    logged = missing_units(edge.output(), stage.av)
    report.notes.append(f"{logged} units were missing and announced")
    if unannounced:
        report.faults.append(f"{unannounced} units were lost and nobody announced it")
    if logged > counted:  # the metric is of all streams
        report.faults.append(f"{logged} units missing by the log, {counted} by the metric")


def _total(metrics: str, name: str) -> int:
    return sum(int(float(line.split()[-1])) for line in metrics.splitlines() if line.startswith(f"{name} "))
