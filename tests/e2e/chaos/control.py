"""Who decides is killed, cut off or away altogether, while publishers and players come and stay."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from e2e.chaos.cluster import LEASE_S, ChaosCluster, until
from e2e.chaos.stage import Report, Stage, flat
from support import wire
from support.child_server import ChildServer
from support.cluster import Node

from lalmesh.protocol.rtmp import PublishStarted

KNOCK_S = 0.5  #: between two tries of a rival encoder
KNOCK_LIMIT_S = 8.0  #: for one answer to it
TRUTH_S = 5.0  #: after settling, for the registry to equal the truth
TRY_S = 10.0  #: for one publish or play
LOAD_S = 6.0  #: of publishes and plays around each fault
RATE_PART = 0.9  #: of the rate asked for that has to be reached; what is late is caught up with
NODE_ROLES = ("origin", "edge", "hls")


@dataclass
class Knocking:
    """A rival encoder that tries all the time."""

    tries: int = 0
    won: int = 0


@asynccontextmanager
async def knocking(edge: Node, stream: str) -> AsyncIterator[Knocking]:
    """Try to publish `stream` at `edge` until the block is left; raises what stopped the rival before that, if anything did."""
    seen = Knocking()
    task = asyncio.create_task(_knock(seen, edge, stream))
    try:
        yield seen
    finally:
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
    if isinstance(ended, Exception):
        raise ended


async def _knock(seen: Knocking, edge: Node, stream: str) -> None:
    while True:
        seen.tries += 1
        seen.won += await _publishes(edge, stream)
        await asyncio.sleep(KNOCK_S)


async def _publishes(edge: Node, stream: str) -> bool:
    """Whether an encoder is let in; it leaves at once."""
    try:
        async with asyncio.timeout(KNOCK_LIMIT_S), wire.rtmp(edge.rtmp_url(stream), "publish") as peer:
            events = await peer.first(PublishStarted, KNOCK_LIMIT_S)
            return any(isinstance(event, PublishStarted) for event in events)
    except (OSError, TimeoutError):
        return False


async def _plays(edge: Node, stream: str) -> bool:
    """Whether a player is let in and gets something."""
    try:
        async with asyncio.timeout(TRY_S), wire.flv(edge.flv_url(stream), limit_s=TRY_S) as peer:
            return peer.answer.status == 200 and bool(await peer.tags(TRY_S))
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False


async def scheduler_lost(stage: Stage, times: int, *, per_s: int) -> Report:
    """One replica is killed, then one is cut from its nodes but not from etcd, while `per_s` publishes and plays a second go on."""
    cluster = stage.cluster
    report = Report(f"Scheduler replica killed, and cut from its nodes, under {per_s} publishes and plays a second", times)
    async with stage.show(cluster.edge(1), [cluster.edge(2), cluster.edge(3), cluster.edge(1)]) as players:
        await cluster.steady(*stage.streams)
        before = await cluster.pointed()
        for number in range(times):
            replica = cluster.of("scheduler")[number % 2]
            begun_s = time.monotonic()
            async with load(stage, report, per_s):
                await asyncio.sleep(1.0)
                replica.kill()
                await asyncio.sleep(LOAD_S)
            await cluster.restart(replica)
            nodes = [cluster.places[node.name] for role in NODE_ROLES for node in cluster.of(role)]
            async with load(stage, report, per_s):
                cluster.network.cut(cluster.places[replica.name], *nodes)
                await asyncio.sleep(LOAD_S)
                cluster.network.heal(cluster.places[replica.name], *nodes)
                await asyncio.sleep(1.0)
            await report.take_gaps(flat(players), begun_s)
        after = await cluster.pointed()
        for stream in stage.streams:
            if after.get(stream) != before[stream]:
                report.faults.append(f"{stream} moved: place {before[stream]}, then {after.get(stream)}")
        await stage.judge(report, players)
    return report


@asynccontextmanager
async def load(stage: Stage, report: Report, per_s: int) -> AsyncIterator[None]:
    """So many publishes of new streams, and plays of one, a second; what fails twice is a fault, and so is a lower rate."""
    tries: list[asyncio.Task[tuple[bool, bool]]] = []
    stop = asyncio.Event()
    begun_s = time.monotonic()

    async def go() -> None:
        while not stop.is_set():
            number = len(tries)
            edge = stage.cluster.edge(number % 3 + 1)
            new = f"load/{time.monotonic_ns()}"
            work = partial(_plays, edge, stage.av) if number % 2 else partial(_publishes, edge, new)
            tries.append(asyncio.create_task(_twice(work)))
            await asyncio.sleep(max(0.0, begun_s + len(tries) / per_s - time.monotonic()))

    going = asyncio.create_task(go())
    try:
        yield
    finally:
        stop.set()
        rate = len(tries) / (time.monotonic() - begun_s)
        await going
        results = await asyncio.gather(*tries)
    first, second = sum(first for first, _ in results), sum(second for _, second in results)
    report.notes.append(f"{len(results)} tries at {rate:.0f} a second, {len(results) - first} had to be repeated")
    if rate < per_s * RATE_PART:
        report.faults.append(f"only {rate:.1f} publishes and plays a second, {per_s} were asked for")
    if second < len(results):
        report.faults.append(f"{len(results) - second} of {len(results)} publishes and plays failed twice")


async def _twice(work: Callable[[], Awaitable[bool]]) -> tuple[bool, bool]:
    """Whether the first try did, and whether one of two did."""
    first = await work()
    return first, first or await work()


async def all_away(stage: Stage, outage_s: float, *, frozen: bool) -> Report:
    """All schedulers, etcd and Redis are stopped: `frozen` keeps their connections, else they are killed, and etcd has its data.

    Nobody drops, players join streams that their edge carries, a rival knocks all the time; the registry is right soon after.
    """
    cluster = stage.cluster
    how = "frozen" if frozen else "killed"
    report = Report(f"Schedulers, etcd and Redis {how} for {outage_s:.0f} s", 1)
    async with stage.show(cluster.edge(1), [cluster.edge(2), cluster.edge(3), cluster.edge(1)]) as players:
        await cluster.steady(*stage.streams)
        claims = await cluster.registry("claims/")
        epochs = {stream: (await cluster.streams())[stream]["epoch"] for stream in stage.streams}
        async with knocking(cluster.edge(2), stage.av) as rival:
            begun_s = time.monotonic()
            await _stop_all(cluster, frozen=frozen)
            await asyncio.sleep(outage_s / 2)
            late = {stream: stage.joined(stream, cluster.edge(3)) for stream in stage.streams}
            async with stage.playing(*flat(late)):
                await asyncio.sleep(max(0.0, outage_s / 2 - (time.monotonic() - begun_s - outage_s / 2)))
                await _start_all(cluster, frozen=frozen)
                back_s = time.monotonic()
                await until("a registry that equals the truth", partial(is_true, cluster, claims, epochs), LEASE_S + 20.0)
                took_s = time.monotonic() - back_s
                await report.take_gaps(flat(players), begun_s)
                await report.take_gaps(flat(late), back_s)
                await stage.judge(report, late)
        report.notes.append(f"the registry was right {took_s:.1f} s after return (settling takes {LEASE_S} s)")
        report.notes.append(f"a rival knocked {rival.tries} times and won {rival.won}")
        if took_s > LEASE_S + TRUTH_S:
            report.faults.append(f"the registry was right after {took_s:.1f} s, bound {LEASE_S + TRUTH_S} s")
        if rival.won:
            report.faults.append(f"the rival won {rival.won} times")
        await stage.judge(report, players)
    return report


async def _stop_all(cluster: ChaosCluster, *, frozen: bool) -> None:
    servers: list[ChildServer] = [cluster.etcd, cluster.redis]
    for node in cluster.of("scheduler"):
        await asyncio.to_thread(node.pause if frozen else node.kill)
    for server in servers:
        await asyncio.to_thread(server.freeze if frozen else server.kill)


async def _start_all(cluster: ChaosCluster, *, frozen: bool) -> None:
    if frozen:
        cluster.etcd.thaw()
        cluster.redis.thaw()
        for node in cluster.of("scheduler"):
            node.resume()
        return
    await asyncio.gather(asyncio.to_thread(cluster.etcd.start), asyncio.to_thread(cluster.redis.start))
    await cluster.restart(*cluster.of("scheduler"))


def _epoch(shown: Any) -> tuple[int, int]:
    return shown["term"], shown["revision"]


async def is_true(cluster: ChaosCluster, claims: dict[str, dict[str, object]], epochs: dict[str, object]) -> bool:
    """Whether the registry shows each stream as it is carried on: edge, publication, and an origin that is a member.

    The epoch may be a higher one, where every lease has run out and the publication was claimed again; never a lower one.
    """
    shown = await cluster.streams()
    now = await cluster.registry("claims/")
    for stream in epochs:
        item = shown.get(stream)
        if item is None or item["epoch"] is None or item["state"] != "live" or stream not in now:
            return False
        if _epoch(item["epoch"]) < _epoch(epochs[stream]):
            return False
        if any(now[stream][fact] != claims[stream][fact] for fact in ("edge", "publication")):
            return False
        if not await cluster.is_steady(stream):
            return False
    return True
