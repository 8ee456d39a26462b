"""Faults as they are drawn from a seed: whom they meet, when, and for how long."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from simulation.duties import DUTIES
from simulation.etcd import NAME as ETCD
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
