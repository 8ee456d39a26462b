"""What goes wrong: faults as data. What a fault meets, such as the origin that has a stream, is looked up when it begins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from lalmesh.errors import Unavailable
from simulation.cluster import Cluster
from simulation.duties import node
from simulation.etcd import NAME as ETCD
from simulation.etcd import WRITES
from simulation.network import Weather

End = Callable[[], object]  #: what ends a fault


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
    """A node is told to drain, and does so and ends; it is started again at the end, killed first where it is there still."""

    whom: str
    within_s: float = 0.0  #: that it has to give everything away; 0: until the end

    def begin(self, cluster: Cluster) -> End | None:
        victim = node(cluster, self.whom)
        scheduler = next((each for each in cluster.schedulers if each.process.set_aside is None), None)
        if victim is None or not victim.is_running or scheduler is None:
            return None
        process, work = scheduler.process, scheduler.service.drains.ask(victim.name, self.within_s or self.for_s)
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
        weather = Weather(delay_s=0.002, jitter_s=0.03, loss=self.loss, doubled=self.doubled)
        cluster.network.change_weather(weather)
        return partial(cluster.network.end_weather, weather)


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
    """etcd goes back, at the end, to what it was at the beginning, `writes` and more revisions ago."""

    writes: int = WRITES

    def begin(self, cluster: Cluster) -> End | None:
        snapshot = cluster.etcd.snapshot(self.writes)
        return lambda: cluster.etcd.become(snapshot)


@dataclass(slots=True, kw_only=True)
class Stuck(Fault):
    """The watches of a scheduler tell it nothing: it is answered by etcd, and is behind with all that it did not ask for."""

    whom: str

    def begin(self, cluster: Cluster) -> End | None:
        victim = node(cluster, self.whom)
        if victim is None:
            return None
        cluster.etcd.hold_watches(victim.name)
        return partial(cluster.etcd.release_watches, victim.name)


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
