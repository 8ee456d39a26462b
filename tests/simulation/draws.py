"""Faults as they are drawn from a seed: whom they meet, when, and for how long."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from simulation.duties import DUTIES
from simulation.etcd import NAME as ETCD
from simulation.etcd import WRITES
from simulation.faults import (
    Compacted,
    Cut,
    Drained,
    Fault,
    Halted,
    Killed,
    Leaderless,
    Paused,
    Restored,
    Rough,
    Slow,
    Stepped,
    Stuck,
    Wiped,
)

FIRST_S, HEALED_S = 3.0, 17.0  #: faults begin; all are over
SCHEDULERS = ("scheduler-1", "scheduler-2")
ORIGINS = ("origin-1", "origin-2", "origin-3")
EDGES = ("edge-1", "edge-2", "edge-3")
SEGMENTERS = ("hls-1", "hls-2")


@dataclass(slots=True)
class Draw:
    """Draws from one seed."""

    rng: random.Random

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

    def drain(self, *whom: str) -> Fault:
        """Some have time enough for it, some are closed when it is over, some are killed in the middle."""
        at_s, for_s = self.time()
        within_s = round(for_s * self.rng.choice((0.4, 0.8, 2.0)), 3)
        return Drained(at_s=at_s, for_s=for_s, within_s=within_s, whom=self.rng.choice(whom))

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
        """The publishing edge reaches no scheduler until another publishes, and finds its origin again before or after that.

        By then the other's origin may be lost to readers or schedulers, who turn to what they knew before.
        """
        at_s, for_s = round(self.rng.uniform(4.0, 8.0), 3), round(self.rng.uniform(5.0, 8.0), 3)
        whom = self.rng.choice((("publisher",), ("publisher",), ("publisher", "origin")))
        faults: list[Fault] = [Cut(at_s=at_s, for_s=for_s, source=whom, target=SCHEDULERS, both_ways=self.rng.random() < 0.7)]
        if self.rng.random() < 0.8:
            target = self.rng.choice((("origin",), ("origin", "heir"), ORIGINS))
            lost_s = round(for_s - self.rng.uniform(-0.5, 2.0), 3)
            faults.append(Cut(at_s=at_s, for_s=lost_s, source=("publisher",), target=target, both_ways=self.rng.random() < 0.7))
        if self.rng.random() < 0.5:
            target = self.rng.choice((("reader",), ("*",), SCHEDULERS))
            later_s = round(at_s + self.rng.uniform(4.0, 4.8), 3)
            faults.append(Cut(at_s=later_s, for_s=5.0, source=("origin",), target=target, both_ways=self.rng.random() < 0.7))
        return faults

    def back_in_time(self) -> list[Fault]:
        """etcd goes back to before the present publication while both schedulers are away, whose keys are in it; a rival knocks.

        The publishing edge comes back last, so that somebody has to wait for it.
        """
        uniform = self.rng.uniform
        gone_s, back_s = uniform(3.0, 3.5), uniform(4.3, 5.0)
        killed_s = uniform(7.0, 9.0)
        restored_s = killed_s + uniform(0.1, 0.4)
        faults: list[Fault] = [
            Paused(at_s=round(gone_s, 3), for_s=round(back_s - gone_s, 3), which=which, moves=self.rng.random() < 0.5)
            for which in (0, 1)
        ]
        taken_s, writes = uniform(gone_s + 0.3, back_s - 0.1), self.rng.choice((0, 0, 3, 10, WRITES))
        faults.append(Restored(at_s=round(taken_s, 3), for_s=round(restored_s - taken_s, 3), writes=writes))
        at_s = round(killed_s, 3)
        faults += [Killed(at_s=at_s, for_s=round(restored_s - killed_s + uniform(0.1, 1.0), 3), whom=name) for name in SCHEDULERS]
        return [*faults, Cut(at_s=at_s, for_s=round(uniform(1.0, 3.0), 3), source=("publisher",), target=SCHEDULERS)]

    def grace_over(self) -> list[Fault]:
        """The only origin that is left loses the publisher for as long as it waits, and etcd its data just before that."""
        cut_s = round(self.rng.uniform(3.5, 4.5), 3)
        faults: list[Fault] = [Killed(at_s=3.0, for_s=14.0, whom=whom) for whom in ("heir", "spare")]
        faults.append(Cut(at_s=cut_s, for_s=8.3, source=("publisher",), target=("origin",)))
        lost_s = round(cut_s + self.rng.uniform(6.8, 7.5), 3)
        faults.append(self.rng.choice((Wiped(at_s=lost_s, for_s=0.0), Restored(at_s=2.9, for_s=round(lost_s - 2.9, 3)))))
        return faults

    def hop(self) -> list[Fault]:
        """The publishing edge goes to another replica, and the one that it was at does not hear of it."""
        at_s = round(self.rng.uniform(4.0, 8.0), 3)
        stuck_s, cut_s = round(self.rng.uniform(5.0, 8.0), 3), round(self.rng.uniform(2.5, 8.0), 3)
        both_ways = self.rng.random() < 0.5
        return [
            Stuck(at_s=at_s, for_s=stuck_s, whom="host"),
            Cut(at_s=at_s, for_s=cut_s, source=("publisher",), target=("host",), both_ways=both_ways),
        ]

    def handover(self, at_s: float) -> Fault:
        """The segmenter goes, in one of the ways that must cost no unit."""
        if self.rng.random() < 0.5:
            return Drained(at_s=at_s, for_s=5.5, whom="segmenter")
        return Killed(at_s=at_s, for_s=self.rng.choice((0.3, 1.0, 3.0)), whom="segmenter")

    def slowness(self) -> Fault:
        at_s, for_s = self.time()
        if self.rng.random() < 0.5:
            return Halted(at_s=at_s, for_s=for_s, whom=self.anybody())
        return Slow(at_s=at_s, for_s=for_s, whom=self.anybody(), more_s=self.rng.choice((0.1, 0.5, 1.5)))

    def sleep(self) -> list[Fault]:
        """The machine that all nodes are on does nothing for a while."""
        at_s, for_s = self.time()
        return [Halted(at_s=at_s, for_s=for_s, whom=name) for name in (*SCHEDULERS, *ORIGINS, *EDGES, *SEGMENTERS)]

    def stuck(self) -> Fault:
        at_s, for_s = self.time()
        return Stuck(at_s=at_s, for_s=for_s, whom=self.rng.choice(("host", *SCHEDULERS)))

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
