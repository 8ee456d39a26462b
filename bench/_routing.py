"""A scheduler that is asked for routes while edges come and go (`_route_stage.py`).

What is looked at is how evenly the edges fill, and whether anybody is sent wrong.
"""

from __future__ import annotations

import asyncio
import os
import statistics
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from support.cluster import Cluster

from bench import _load, _nodes
from bench._route_asking import Asker
from bench._route_stage import MISSED_S, PUBLISHERS, ROOMS, SETTLED_S, STAY_S, STREAMS, ZONES, Stage

FILLED = 0.4  #: of each edge that is there at the beginning


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


def measure(plan: Plan, folder: Path) -> Found:
    """All of it, once."""
    zones = [f"{zone} {network}" for zone, network in ZONES.items()]
    settings = {"scheduler": {"scheduler.routing.zones": zones}}
    cores = _load.Cores(apart=plan.pin)
    with Cluster(folder, schedulers=1, origins=0, edges=0, settings=settings) as cluster:
        try:
            return _nodes.runner().run(_measure(plan, cluster, cores))
        finally:
            cores.give_back(os.getpid())


async def _measure(plan: Plan, cluster: Cluster, cores: _load.Cores) -> Found:
    scheduler = cluster.schedulers[0]
    for pid in (os.getpid(), cluster.etcd.pid):
        cores.give_load(pid)
    cores.give_server(scheduler.pid)
    async with AsyncExitStack() as stack:
        stage = Stage(scheduler.grpc_address, stack)
        for _ in range(plan.edges):
            await stage.join(FILLED)
            await asyncio.sleep(1 / plan.edges)  # so that not all of them report in one moment
        for _ in range(plan.full):
            await stage.join(is_full=True)
        stage.began = stage.loop.time()
        for edge in stage.edges.values():
            edge.came = stage.began
        asker = Asker("127.0.0.1", scheduler.ports["api"], stage.done)
        await asker.connect()
        seconds = plan.change_s + plan.calm_s
        usage = asyncio.create_task(asyncio.to_thread(_load.usage, scheduler.pid, seconds))
        watching = asyncio.create_task(stage.watch())
        changing = asyncio.create_task(stage.change(plan.change_s))
        await asker.run(stage.path, plan.per_s, seconds)
        await changing
        await _nodes.ended([watching])
        asker.close()
        return _found(plan, stage, await usage)


def _found(plan: Plan, stage: Stage, usage: _load.Usage) -> Found:
    took_ms = sorted((each.answered - each.due) * 1000 for each in stage.requests if each.status)
    statuses = Counter(each.status for each in stage.requests)
    edges = list(stage.edges.values())
    return Found(
        asked_per_s=len(stage.requests) / (plan.change_s + plan.calm_s),
        routed=statuses[200],
        no_room=statuses[503],
        failed=len(stage.requests) - statuses[200] - statuses[503],
        p50_ms=statistics.median(took_ms),
        p99_ms=took_ms[len(took_ms) * 99 // 100],
        worst_ms=took_ms[-1],
        percent=usage.cpu_percent,
        changes=dict(stage.changes),
        wrong=dict(stage.wrong),
        overfull=stage.overfull,
        spread_percent=max(stage.spreads, default=0.0),
        end_spread_percent=stage.spread(edges),
        used_percent=100 * sum(edge.sessions for edge in edges) / sum(edge.room for edge in edges),
    )


__all__ = ["MISSED_S", "PUBLISHERS", "ROOMS", "SETTLED_S", "STAY_S", "STREAMS", "Found", "Plan", "measure"]
