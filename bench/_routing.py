"""A scheduler that is asked for routes (`_route_stage.py`): while edges come and go, or at one rate while they stay.

Of the first it is looked at how evenly the edges fill, and whether anybody is sent wrong; of the second what an answer takes.
"""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from support.cluster import Cluster

from bench import _load, _nodes
from bench._route_asking import CONNECTIONS, Asker, Request
from bench._route_stage import MISSED_S, PUBLISHERS, ROOMS, SETTLED_S, STAY_S, STREAMS, ZONES, Stage
from bench.publish import FULL_PERCENT

FILLED = 0.4  #: of each edge that is there at the beginning
WARM_UP_S = 2.0  #: that is asked at a rate before it is measured

T = TypeVar("T")


@dataclass(slots=True, frozen=True, kw_only=True)
class Plan:
    """What is done."""

    edges: int
    full: int  #: others that are full all the time, in turn of each zone
    per_s: float
    change_s: float  #: for so long edges come and go
    calm_s: float  #: and then for so long do not
    pin: bool


@dataclass(slots=True, frozen=True, kw_only=True)
class Found:
    """What came of it."""

    asked_per_s: float
    routed: int
    no_room: int  #: answered 503
    failed: int  #: anything else
    p50_ms: float
    p99_ms: float
    worst_ms: float
    percent: float  #: of one core, of the scheduler
    changes: dict[str, int]
    wrong: dict[str, int]  #: sent to an edge that was known to drain or to have gone, by what it did
    overfull: int  #: sent to an edge that had no room
    spread_percent: float  #: furthest that a settled edge was from its share, while edges came and went
    end_spread_percent: float  #: and at the end, of all edges
    used_percent: float  #: of the room of all edges, at the end

    @property
    def unanswered(self) -> int:
        """Whom no edge was named."""
        return self.no_room + self.failed

    @property
    def sent_wrong(self) -> int:
        """Whom an edge was named that he should not go to."""
        return sum(self.wrong.values()) + self.overfull

    @property
    def furthest_percent(self) -> float:
        """That an edge was from its share."""
        return max(self.spread_percent, self.end_spread_percent)

    @property
    def problem(self) -> str:
        """What makes it worthless, if anything."""
        return "" if self.routed else "nobody was sent anywhere"

    @property
    def shown(self) -> str:
        """In a few words."""
        return (
            f"{self.asked_per_s:.0f} routes/s, p99 {self.p99_ms:.1f} ms, scheduler {self.percent:.0f}%, "
            f"{self.unanswered} not answered, {self.sent_wrong} sent wrong, spread {self.furthest_percent:.1f}%"
        )


@dataclass(slots=True, frozen=True, kw_only=True)
class SteadyPlan:
    """What is asked while no edge comes or goes."""

    edges: int
    full: int  #: others that are full
    per_s: float | None  #: None: as many as are answered, on `CONNECTIONS` connections that ask again with each answer
    seconds: float
    pin: bool


@dataclass(slots=True, frozen=True, kw_only=True)
class Steady:
    """What came of that."""

    answered_per_s: float  #: by 200
    unanswered: int  #: whom no edge was named
    p50_ms: float
    p99_ms: float
    worst_ms: float
    percent: float  #: of one core, of the scheduler
    asking_percent: float  #: the same of the process that asks, with all edges

    @property
    def us_each(self) -> float:
        """Processor time of the scheduler for one route, all else that it does counted in."""
        return self.percent * 1e4 / self.answered_per_s

    @property
    def problem(self) -> str:
        """What makes it worthless, if anything."""
        if not self.answered_per_s:
            return "nobody was sent anywhere"
        is_limit = self.asking_percent >= FULL_PERCENT > self.percent
        return f"who asks has no more to give: {self.asking_percent:.0f}% of a core" if is_limit else ""

    @property
    def shown(self) -> str:
        """In a few words."""
        return f"{self.answered_per_s:.0f} routes/s, p99 {self.p99_ms:.1f} ms, scheduler {self.percent:.0f}%"


def measure(plan: Plan, folder: Path) -> Found:
    """While edges come and go and then while they do not, once."""
    return _on_a_cluster(folder, partial(_measure, plan), pin=plan.pin)


def measure_steady(plan: SteadyPlan, folder: Path) -> Steady:
    """At one rate, once."""
    return _on_a_cluster(folder, partial(_measure_steady, plan), pin=plan.pin)


def _on_a_cluster(folder: Path, work: Callable[[Cluster, _load.Cores], Coroutine[Any, Any, T]], *, pin: bool) -> T:
    zones = [f"{zone} {network}" for zone, network in ZONES.items()]
    settings = {"scheduler": {"scheduler.routing.zones": zones}}
    cores = _load.Cores(apart=pin)
    gc.collect()  # what was asked in the measurement before: nothing else collects it
    with Cluster(folder, schedulers=1, origins=0, edges=0, settings=settings) as cluster:
        try:
            return _nodes.runner().run(work(cluster, cores))
        finally:
            cores.give_back(os.getpid())


@asynccontextmanager
async def _asked(cluster: Cluster, cores: _load.Cores, edges: int, full: int) -> AsyncIterator[tuple[Stage, Asker]]:
    """So many edges that have room, others that are full, and who asks."""
    scheduler = cluster.schedulers[0]
    for pid in (os.getpid(), cluster.etcd.pid):
        cores.give_load(pid)
    cores.give_server(scheduler.pid)
    async with AsyncExitStack() as stack:
        stage = Stage(scheduler.grpc_address, stack)
        for _ in range(edges):
            await stage.join(FILLED)
            await asyncio.sleep(1 / edges)  # so that not all of them report in one moment
        for _ in range(full):
            await stage.join(is_full=True)
        stage.began = stage.loop.time()
        for edge in stage.edges.values():
            edge.came = stage.began
        asker = Asker("127.0.0.1", scheduler.ports["api"], stage.done)
        await asker.connect()
        yield stage, asker


async def _measure(plan: Plan, cluster: Cluster, cores: _load.Cores) -> Found:
    seconds, scheduler = plan.change_s + plan.calm_s, cluster.schedulers[0]
    async with _asked(cluster, cores, plan.edges, plan.full) as (stage, asker):
        usage = asyncio.create_task(asyncio.to_thread(_load.usage, scheduler.pid, seconds))
        watching = asyncio.create_task(stage.watch())
        changing = asyncio.create_task(stage.change(plan.change_s))
        await asker.run(stage.path, plan.per_s, seconds)
        await changing
        await _nodes.ended([watching])
        asker.close()
        return _found(plan, stage, await usage)


async def _measure_steady(plan: SteadyPlan, cluster: Cluster, cores: _load.Cores) -> Steady:
    async with _asked(cluster, cores, plan.edges, plan.full) as (stage, asker):

        async def ask(seconds: float) -> None:
            if plan.per_s is None:
                await asker.run_at_most(stage.path, seconds)
            else:
                await asker.run(stage.path, plan.per_s, seconds)

        await ask(WARM_UP_S)
        stage.requests.clear()
        own_s, begun = time.process_time(), time.monotonic()
        usage = asyncio.create_task(asyncio.to_thread(_load.usage, cluster.schedulers[0].pid, plan.seconds))
        await ask(plan.seconds)
        own_s, took_s = time.process_time() - own_s, time.monotonic() - begun
        asker.close()
        return steady(stage.requests, plan.seconds, (await usage).cpu_percent, own_s / took_s * 100)


def steady(requests: Sequence[Request], seconds: float, percent: float, asking_percent: float) -> Steady:
    """What came of so many seconds of asking, in which scheduler and asking process took so much of a core."""
    answered, delays = sum(each.status == 200 for each in requests), delays_of(requests)
    return Steady(
        answered_per_s=answered / seconds,
        unanswered=len(requests) - answered,
        p50_ms=delays.p50_ms,
        p99_ms=delays.p99_ms,
        worst_ms=delays.worst_ms,
        percent=percent,
        asking_percent=asking_percent,
    )


class Delays(NamedTuple):
    """From when something was to be asked to its answer, whatever that was."""

    p50_ms: float
    p99_ms: float
    worst_ms: float


def delays_of(requests: Sequence[Request]) -> Delays:
    """Of all that were answered; nothing but 0 where none was."""
    took_ms = sorted((each.answered - each.due) * 1000 for each in requests if each.status) or [0.0]
    return Delays(statistics.median(took_ms), took_ms[len(took_ms) * 99 // 100], took_ms[-1])


def _found(plan: Plan, stage: Stage, usage: _load.Usage) -> Found:
    delays = delays_of(stage.requests)
    statuses = Counter(each.status for each in stage.requests)
    edges = list(stage.edges.values())
    return Found(
        asked_per_s=len(stage.requests) / (plan.change_s + plan.calm_s),
        routed=statuses[200],
        no_room=statuses[503],
        failed=len(stage.requests) - statuses[200] - statuses[503],
        p50_ms=delays.p50_ms,
        p99_ms=delays.p99_ms,
        worst_ms=delays.worst_ms,
        percent=usage.cpu_percent,
        changes=dict(stage.changes),
        wrong=dict(stage.wrong),
        overfull=stage.overfull,
        spread_percent=max(stage.spreads, default=0.0),
        end_spread_percent=stage.spread(edges),
        used_percent=100 * sum(edge.sessions for edge in edges) / sum(edge.room for edge in edges),
    )


__all__ = [
    "CONNECTIONS",
    "MISSED_S",
    "PUBLISHERS",
    "ROOMS",
    "SETTLED_S",
    "STAY_S",
    "STREAMS",
    "WARM_UP_S",
    "Found",
    "Plan",
    "Steady",
    "SteadyPlan",
    "measure",
    "measure_steady",
    "steady",
]
