"""What goes wrong, and when: faults as data, drawn from a seed.

A schedule is drawn from its seed alone, so it stays the same whatever the code under test does; what a fault meets (the origin
that has a stream, the edge that publishes it) is looked up when it begins.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from lalmesh.errors import Unavailable
from services.origin.events import GroupState
from simulation.cluster import Cluster
from simulation.etcd import NAME as ETCD
from simulation.network import Weather
from simulation.nodes import EdgeNode, Node, OriginNode

FIRST_S, HEALED_S, END_S = 3.0, 17.0, 30.0  #: faults begin, all faults are over, the schedule is over


End = Callable[[], object]

# whom a fault meets


def node(cluster: Cluster, whom: str) -> Node | None:
    """A node by its name, or one of `DUTIES`: by what it does for the first stream now."""
    match whom:
        case "origin":
            return origin_of(cluster)
        case "heir":
            return heir_of(cluster)
        case "publisher":
            return publisher_of(cluster)
        case "segmenter":
            return next((each for each in cluster.segmenters if each.is_running and len(each.app.workers)), None)
        case "reader":
            publishing = publisher_of(cluster)
            return next((edge for edge in cluster.edges if edge.players and edge is not publishing), None)
        case _:
            return next((each for each in cluster.nodes if each.name == whom), None)


def origin_of(cluster: Cluster) -> OriginNode | None:
    """The origin that takes the first stream in."""
    stream = cluster.streams[0]
    for origin in cluster.origins:
        if origin.is_running and any(group.stream == stream and group.state is GroupState.LIVE for group in origin.app.groups):
            return origin
    return None


def heir_of(cluster: Cluster) -> Node | None:
    publishing = next((encoder.publishing for encoder in cluster.encoders if encoder.is_live), None)
    grant = publishing.grant if publishing is not None else None
    return None if grant is None or grant.heir is None else node(cluster, grant.heir.node.name)


def publisher_of(cluster: Cluster) -> EdgeNode | None:
    """The edge that the first stream is published at."""
    return next((encoder.edge for encoder in cluster.encoders if encoder.is_live and encoder.stream == cluster.streams[0]), None)


# faults


@dataclass(slots=True, kw_only=True)
class Fault:
    """Something that goes wrong at `at_s`, and ends by `for_s` later."""

    at_s: float
    for_s: float

    def begin(self, cluster: Cluster) -> End | None:
        """Make it happen; gives what ends it."""
        raise NotImplementedError


@dataclass(slots=True, kw_only=True)
class Killed(Fault):
    """A process dies, and starts again at the end; `silently`: its machine vanishes with it."""

    whom: str
    silently: bool = False

    def begin(self, cluster: Cluster) -> End | None:
        victim = node(cluster, self.whom)
        if victim is None or not victim.is_running:
            return None
        victim.kill(silently=self.silently)
        return lambda: None if victim.is_running else victim.start()


@dataclass(slots=True, kw_only=True)
class Drained(Fault):
    """A node is told to drain, and is restarted at the end."""

    whom: str

    def begin(self, cluster: Cluster) -> End | None:
        victim = node(cluster, self.whom)
        scheduler = next((each for each in cluster.schedulers if each.process.set_aside is None), None)
        if victim is None or not victim.is_running or scheduler is None:
            return None
        process, work = scheduler.process, scheduler.service.drains.ask(victim.name, self.for_s)
        process.call_soon(lambda: process.create_task(_unless_unavailable(work)))

        def restart() -> None:
            victim.kill()
            victim.start()

        return restart


async def _unless_unavailable(work: Awaitable[object]) -> None:
    with suppress(Unavailable):
        await work


@dataclass(slots=True, kw_only=True)
class Halted(Fault):
    """A process does nothing for a while, and then goes on as if no time had passed."""

    whom: str

    def begin(self, cluster: Cluster) -> End | None:
        victim = node(cluster, self.whom)
        if victim is None or not victim.is_running:
            return None
        victim.halt()
        return victim.resume


@dataclass(slots=True, kw_only=True)
class Slow(Fault):
    """Everything to and from a node takes up to `more_s` longer."""

    whom: str
    more_s: float

    def begin(self, cluster: Cluster) -> End | None:
        victim = node(cluster, self.whom)
        if victim is None:
            return None
        cluster.network.slow[victim.name] = self.more_s
        return partial(cluster.network.slow.pop, victim.name, None)


@dataclass(slots=True, kw_only=True)
class Cut(Fault):
    """Nothing comes from any of `source` to any of `target`, nor back where it goes `both_ways`. ``*`` is every other node."""

    source: tuple[str, ...]
    target: tuple[str, ...]
    both_ways: bool = True

    def begin(self, cluster: Cluster) -> End | None:
        sources, targets = _names(cluster, self.source), _names(cluster, self.target)
        ways = [(source, target) for source in sources for target in targets if source != target]
        if self.both_ways:
            ways += [(target, source) for source, target in ways]
        for way in ways:
            cluster.network.cut(*way)

        def heal() -> None:
            for way in ways:
                cluster.network.heal(*way)

        return heal


def _names(cluster: Cluster, whom: tuple[str, ...]) -> list[str]:
    if whom == ("*",):
        return [*(each.name for each in cluster.nodes), ETCD]
    found = {ETCD for each in whom if each == ETCD}
    return sorted(found.union(victim.name for each in whom if each != ETCD and (victim := node(cluster, each)) is not None))


@dataclass(slots=True, kw_only=True)
class Rough(Fault):
    """Messages are lost and come late, calls are carried out twice."""

    loss: float
    doubled: float

    def begin(self, cluster: Cluster) -> End | None:
        before = cluster.network.weather
        cluster.network.weather = Weather(delay_s=0.002, jitter_s=0.03, loss=self.loss, doubled=self.doubled)

        def calm() -> None:
            cluster.network.weather = before

        return calm


@dataclass(slots=True, kw_only=True)
class Leaderless(Fault):
    """etcd has no leader, then another one."""

    def begin(self, cluster: Cluster) -> End | None:
        cluster.etcd.lose_leader()
        return cluster.etcd.elect


@dataclass(slots=True, kw_only=True)
class Compacted(Fault):
    """etcd forgets what was."""

    def begin(self, cluster: Cluster) -> End | None:
        cluster.etcd.compact()
        return None


@dataclass(slots=True, kw_only=True)
class Wiped(Fault):
    """etcd's data is gone."""

    def begin(self, cluster: Cluster) -> End | None:
        cluster.etcd.wipe()
        return None


@dataclass(slots=True, kw_only=True)
class Restored(Fault):
    """etcd goes back, at the end, to what it was at the beginning."""

    def begin(self, cluster: Cluster) -> End | None:
        snapshot = cluster.etcd.snapshot()
        return lambda: cluster.etcd.become(snapshot)


@dataclass(slots=True, kw_only=True)
class Paused(Fault):
    """An encoder stops, and comes back at the end, at whatever edge."""

    which: int
    moves: bool

    def begin(self, cluster: Cluster) -> End | None:
        encoder = cluster.encoders[self.which % len(cluster.encoders)]
        encoder.stop()

        def resume() -> None:
            if self.moves:
                encoder.edge = next(edge for edge in [*cluster.edges, *cluster.edges] if edge is not encoder.edge)
            encoder.resume()

        return resume


@dataclass(slots=True, kw_only=True)
class Stepped(Fault):
    """The wall clock of a node is set, and set back at the end."""

    whom: str
    ahead_s: float

    def begin(self, cluster: Cluster) -> End | None:
        victim = node(cluster, self.whom)
        if victim is None:
            return None
        process = victim.process
        process.wall_ahead_s += self.ahead_s

        def back() -> None:
            process.wall_ahead_s -= self.ahead_s

        return back


# schedules


@dataclass(slots=True, kw_only=True)
class Plan:
    """One schedule: the cluster, and what goes wrong in it."""

    seed: int
    kind: str
    faults: list[Fault]
    streams: int = 1
    take_over: bool = False
    rivals: bool = False
    hls: bool = False
    skew: float = 0.0  #: how much faster or slower than time monotonic clocks may run
    wall_skew_s: float = 0.0  #: how far wall clocks may be off
    lossless: bool = False  #: nothing that goes wrong may cost a unit, nor disturb a player
    undisturbed: bool = False  #: nothing that goes wrong may disturb a publisher or a player

    def __str__(self) -> str:
        settings = [
            f"{name}={getattr(self, name)}"
            for name in ("streams", "take_over", "rivals", "hls", "skew", "wall_skew_s")
            if getattr(self, name)
        ]
        lines = [f"seed {self.seed}, {self.kind}: {', '.join(settings)}"]
        return "\n".join(lines + [f"  {fault}" for fault in self.faults])


SCHEDULERS = ("scheduler-1", "scheduler-2")
ORIGINS = ("origin-1", "origin-2", "origin-3")
EDGES = ("edge-1", "edge-2", "edge-3")
SEGMENTERS = ("hls-1", "hls-2")
DUTIES = ("origin", "heir", "publisher", "reader", "segmenter")


@dataclass(slots=True)
class _Draw:
    """Draws from one seed."""

    rng: random.Random
    faults: list[Fault] = field(default_factory=list)

    def time(self) -> tuple[float, float]:
        """When a fault begins and how long it lasts: some are over before anybody notices, some outlast leases."""
        at_s = self.rng.uniform(FIRST_S, HEALED_S - 3.0)
        for_s = self.rng.choice((0.3, 1.0, 2.0, 2.5, 4.0, 6.0, 8.0)) * self.rng.uniform(0.7, 1.4)
        return round(at_s, 3), round(min(for_s, HEALED_S - at_s), 3)

    def anybody(self) -> str:
        return self.rng.choice((*SCHEDULERS, *ORIGINS, *EDGES, *SEGMENTERS, *DUTIES, *DUTIES))

    def death(self, *whom: str) -> Fault:
        at_s, for_s = self.time()
        return Killed(at_s=at_s, for_s=for_s, whom=self.rng.choice(whom), silently=self.rng.random() < 0.3)

    def drain(self) -> Fault:
        at_s, for_s = self.time()
        return Drained(at_s=at_s, for_s=for_s, whom=self.rng.choice(("origin", *ORIGINS)))

    def cut(self) -> Fault:
        at_s, for_s = self.time()
        both_ways = self.rng.random() < 0.6
        one, other = self.rng.choice(
            (
                (("origin",), ("publisher",)),
                (("reader",), ("origin",)),
                (("origin",), ("*",)),
                (("publisher",), ("*",)),
                (("publisher", "origin"), ("*",)),
                (("publisher", "origin"), SCHEDULERS),
                (("publisher",), SCHEDULERS),
                (("origin",), SCHEDULERS),
                (("publisher", "scheduler-1"), ("*",)),
                (("origin", "heir"), ("publisher",)),
                ((self.rng.choice(SCHEDULERS),), (ETCD,)),
                (SCHEDULERS, (ETCD,)),
                (SCHEDULERS, (*ORIGINS, *EDGES)),
                ((self.rng.choice(SCHEDULERS),), (*ORIGINS, *EDGES)),
                (("segmenter",), ("*",)),
                ((self.anybody(),), (self.anybody(),)),
                ((self.anybody(), self.anybody()), ("*",)),
            )
        )
        return Cut(at_s=at_s, for_s=for_s, source=one, target=other, both_ways=both_ways)

    def plane_cut(self) -> Fault:
        """Schedulers reach neither etcd nor nodes, or one of them does not."""
        at_s, for_s = self.time()
        one, other = self.rng.choice(
            (
                (SCHEDULERS, (ETCD,)),
                ((self.rng.choice(SCHEDULERS),), (ETCD,)),
                (SCHEDULERS, (*ORIGINS, *EDGES, *SEGMENTERS)),
                ((self.rng.choice(SCHEDULERS),), (*ORIGINS, *EDGES, *SEGMENTERS)),
                (SCHEDULERS, (self.anybody(),)),
            )
        )
        return Cut(at_s=at_s, for_s=for_s, source=one, target=other, both_ways=self.rng.random() < 0.6)

    def cut_off(self) -> list[Fault]:
        """The publishing edge reaches no scheduler until another publishes, and finds its origin again before or after that."""
        at_s, for_s = round(self.rng.uniform(4.0, 8.0), 3), round(self.rng.uniform(5.0, 8.0), 3)
        whom = self.rng.choice((("publisher",), ("publisher",), ("publisher", "origin")))
        faults: list[Fault] = [Cut(at_s=at_s, for_s=for_s, source=whom, target=SCHEDULERS, both_ways=self.rng.random() < 0.7)]
        if self.rng.random() < 0.8:
            target = self.rng.choice((("origin",), ("origin", "heir"), ORIGINS))
            lost_s = round(for_s - self.rng.uniform(-0.5, 2.0), 3)
            faults.append(Cut(at_s=at_s, for_s=lost_s, source=("publisher",), target=target, both_ways=self.rng.random() < 0.7))
        return faults

    def slowness(self) -> Fault:
        at_s, for_s = self.time()
        if self.rng.random() < 0.5:
            return Halted(at_s=at_s, for_s=for_s, whom=self.anybody())
        return Slow(at_s=at_s, for_s=for_s, whom=self.anybody(), more_s=self.rng.choice((0.1, 0.5, 1.5)))

    def weather(self) -> Fault:
        at_s, for_s = self.time()
        return Rough(at_s=at_s, for_s=for_s, loss=self.rng.choice((0.02, 0.1, 0.3)), doubled=self.rng.choice((0.0, 0.1, 0.3)))

    def store(self, *, harmless: bool) -> Fault:
        at_s, for_s = self.time()
        kinds: tuple[type[Fault], ...] = (Leaderless, Compacted) if harmless else (Leaderless, Compacted, Wiped, Restored)
        return self.rng.choice(kinds)(at_s=at_s, for_s=for_s)

    def clock(self) -> Fault:
        at_s, for_s = self.time()
        return Stepped(at_s=at_s, for_s=for_s, whom=self.anybody(), ahead_s=self.rng.choice((-3600.0, -2.0, 2.0, 3600.0)))

    def pause(self) -> Fault:
        at_s, for_s = self.time()
        return Paused(at_s=at_s, for_s=for_s, which=self.rng.randrange(4), moves=self.rng.random() < 0.6)

    def some(self, draw: Callable[[], Fault], most: int, least: int = 1) -> list[Fault]:
        return [draw() for _ in range(self.rng.randint(least, most))]

    def loss(self, at_s: float) -> Fault:
        """The origin is lost, in one of the ways that must cost nothing."""
        for_s = self.rng.choice((0.3, 1.0, 3.0))
        match self.rng.randrange(6):
            case 0:
                return Killed(at_s=at_s, for_s=for_s, whom="origin", silently=True)
            case 1:
                return Cut(at_s=at_s, for_s=4.0, source=("origin",), target=("*",))
            case 2:
                return Cut(at_s=at_s, for_s=4.0, source=("origin",), target=("publisher",), both_ways=self.rng.random() < 0.5)
            case _:
                return Killed(at_s=at_s, for_s=for_s, whom="origin")


def plan_of(seed: int) -> Plan:
    """The schedule of a seed."""
    rng = random.Random(f"plan {seed}")
    draw = _Draw(rng)
    kind = KINDS[seed % len(KINDS)]
    plan = Plan(seed=seed, kind=kind, faults=[], streams=rng.choice((1, 2)), skew=rng.choice((0.0, 0.0, 0.01)))
    plan.hls = rng.random() < 0.4
    match kind:
        case "origin lost":
            at_s = round(rng.uniform(4.0, HEALED_S - 4.0), 3)
            plan.faults = [draw.loss(at_s)]
            plan.lossless = True
        case "origin lost, nobody to ask":
            at_s = round(rng.uniform(4.0, HEALED_S - 5.0), 3)
            plan.faults = [Killed(at_s=at_s, for_s=5.0, whom=name) for name in SCHEDULERS]
            plan.faults.append(draw.loss(round(at_s + rng.uniform(0.1, 3.0), 3)))
            plan.lossless = True
        case "origin drained":
            at_s = round(rng.uniform(4.0, HEALED_S - 6.0), 3)
            plan.faults = [Drained(at_s=at_s, for_s=rng.uniform(2.0, 6.0), whom="origin")]
            plan.lossless = True
        case "origins lost, one after the other":
            plan.faults = [draw.loss(round(at_s + rng.uniform(0.0, 0.5), 3)) for at_s in (3.5, 10.0)]
            plan.lossless = True
        case "control plane away":
            sorts = (lambda: draw.death(*SCHEDULERS), draw.plane_cut, lambda: draw.store(harmless=True))
            plan.faults = draw.some(lambda: rng.choice(sorts)(), 5)
            plan.undisturbed = True  # a rival may win against an edge that no scheduler hears for longer than a lease
            plan.rivals = rng.random() < 0.5 and not any(
                isinstance(fault, Cut) and fault.target != (ETCD,) for fault in plan.faults
            )
        case "data of etcd lost":
            plan.faults = draw.some(lambda: draw.store(harmless=False), 3)
            plan.rivals = rng.random() < 0.5
            plan.undisturbed = rng.random() < 0.5
            if not plan.undisturbed:
                plan.faults += draw.some(draw.pause, 2)
            plan.wall_skew_s = rng.choice((0.0, 5.0, 3600.0))
        case "cuts":
            plan.faults = draw.some(draw.cut, 4)
            plan.rivals = rng.random() < 0.5
        case "publisher cut off":
            plan.faults = draw.cut_off() + draw.some(draw.cut, 2, least=0)
            plan.rivals = True
        case "deaths":
            plan.faults = draw.some(lambda: draw.death(*DUTIES, *ORIGINS, *EDGES), 5)
            plan.rivals = rng.random() < 0.5
        case "segmenters lost":
            plan.faults = draw.some(lambda: draw.death("segmenter", "segmenter", *SEGMENTERS, "origin", *SCHEDULERS), 3)
            plan.hls = True
        case "publishers come and go":
            plan.faults = draw.some(draw.pause, 2) + draw.some(lambda: draw.death("publisher", "origin"), 1)
            plan.take_over, plan.rivals = rng.random() < 0.5, rng.random() < 0.7
        case _:
            sorts = (
                draw.cut, draw.slowness, draw.weather, draw.clock, draw.pause,
                draw.drain, lambda: draw.store(harmless=False), lambda: draw.death(*SCHEDULERS, *ORIGINS, *EDGES, *DUTIES),
            )  # fmt: skip
            plan.faults = draw.some(lambda: rng.choice(sorts)(), 7, least=2)
            plan.take_over, plan.rivals = rng.random() < 0.2, rng.random() < 0.5
            plan.wall_skew_s = rng.choice((0.0, 0.0, 5.0, 3600.0))
    if plan.lossless and any(isinstance(fault, Cut) for fault in plan.faults):
        plan.streams = 1  # a reader that alone is cut from the origin of another stream waits, and is promised no more
    plan.faults.sort(key=lambda fault: fault.at_s)
    return plan


KINDS = (
    "origin lost",
    "anything",
    "control plane away",
    "data of etcd lost",
    "cuts",
    "anything",
    "publisher cut off",
    "deaths",
    "origin drained",
    "origins lost, one after the other",
    "segmenters lost",
    "publishers come and go",
    "origin lost, nobody to ask",
    "anything",
)
