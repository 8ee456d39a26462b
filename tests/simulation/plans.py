"""Schedules: the cluster, and what goes wrong in it, drawn from a seed.

A plan comes from its seed alone, so it stays the same whatever the code under test does.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from simulation.draws import EDGES, HEALED_S, ORIGINS, SCHEDULERS, SEGMENTERS, Draw
from simulation.duties import DUTIES
from simulation.etcd import NAME as ETCD
from simulation.faults import Cut, Drained, Fault, Killed


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
    undisturbed: bool = False  #: nothing that goes wrong may disturb a publisher or a player, but those of an edge that drains
    whole: bool = False  #: nothing that goes wrong may cost the segmenters of a stream a unit, nor keep them for long

    def __str__(self) -> str:
        settings = [
            f"{name}={getattr(self, name)}"
            for name in ("streams", "take_over", "rivals", "hls", "skew", "wall_skew_s")
            if getattr(self, name)
        ]
        lines = [f"seed {self.seed}, {self.kind}: {', '.join(settings)}"]
        return "\n".join(lines + [f"  {fault}" for fault in self.faults])


def plan_of(seed: int) -> Plan:
    """The schedule of a seed."""
    rng = random.Random(f"plan {seed}")
    kind = KINDS[seed % len(KINDS)]
    plan = Plan(seed=seed, kind=kind, faults=[], streams=rng.choice((1, 2)), skew=rng.choice((0.0, 0.0, 0.01)))
    plan.hls = rng.random() < 0.4
    _FILLED[kind](plan, Draw(rng))
    if plan.lossless and any(isinstance(fault, Cut) for fault in plan.faults):
        plan.streams = 1  # a reader that alone is cut from the origin of another stream waits, and is promised no more
    plan.faults.sort(key=lambda fault: fault.at_s)
    return plan


def _origin_lost(plan: Plan, draw: Draw) -> None:
    at_s = round(draw.rng.uniform(4.0, HEALED_S - 4.0), 3)
    plan.faults = [draw.loss(at_s)]
    plan.lossless = True


def _nobody_to_ask(plan: Plan, draw: Draw) -> None:
    at_s = round(draw.rng.uniform(4.0, HEALED_S - 5.0), 3)
    plan.faults = [Killed(at_s=at_s, for_s=5.0, whom=name) for name in SCHEDULERS]
    plan.faults.append(draw.loss(round(at_s + draw.rng.uniform(0.1, 3.0), 3)))
    plan.lossless = True


def _origin_drained(plan: Plan, draw: Draw) -> None:
    at_s = round(draw.rng.uniform(4.0, HEALED_S - 6.0), 3)
    plan.faults = [Drained(at_s=at_s, for_s=draw.rng.uniform(2.0, 6.0), whom="origin")]
    plan.lossless = True


def _one_after_the_other(plan: Plan, draw: Draw) -> None:
    plan.faults = [draw.loss(round(at_s + draw.rng.uniform(0.0, 0.5), 3)) for at_s in (3.5, 10.0)]
    plan.lossless = True


def _control_plane_away(plan: Plan, draw: Draw) -> None:
    sorts = (lambda: draw.death(*SCHEDULERS), draw.plane_cut, lambda: draw.store(harmless=True))
    plan.faults = draw.some(lambda: draw.rng.choice(sorts)(), 5)
    plan.undisturbed = True
    # A rival may win against an edge that no scheduler hears for longer than a lease, or none that could write it down: one that
    # cannot sends its nodes on, unless it is gone before, and unseen for `silence_s` more. (Here leases are that short.)
    cuts = [fault for fault in plan.faults if isinstance(fault, Cut)]
    are_heard = all(cut.target == (ETCD,) for cut in cuts)
    are_written = not cuts or not any(isinstance(fault, Killed) and fault.silently for fault in plan.faults)
    plan.rivals = draw.rng.random() < 0.5 and are_heard and are_written


def _all_asleep(plan: Plan, draw: Draw) -> None:
    plan.faults = [fault for _ in range(draw.rng.randint(1, 3)) for fault in draw.sleep()]
    plan.undisturbed = True


def _data_of_etcd_lost(plan: Plan, draw: Draw) -> None:
    plan.faults = draw.some(lambda: draw.store(harmless=False), 3)
    plan.rivals = draw.rng.random() < 0.5
    plan.undisturbed = draw.rng.random() < 0.5
    if not plan.undisturbed:
        plan.faults += draw.some(draw.pause, 2)
    plan.wall_skew_s = draw.rng.choice((0.0, 5.0, 3600.0))


def _cuts(plan: Plan, draw: Draw) -> None:
    plan.faults = draw.some(draw.cut, 4)
    plan.rivals = draw.rng.random() < 0.5


def _publisher_cut_off(plan: Plan, draw: Draw) -> None:
    plan.faults = draw.cut_off() + draw.some(draw.cut, 2, least=0)
    plan.rivals = True


def _deaths(plan: Plan, draw: Draw) -> None:
    plan.faults = draw.some(lambda: draw.death(*DUTIES, *ORIGINS, *EDGES), 5)
    plan.rivals = draw.rng.random() < 0.5


def _segmenters_lost(plan: Plan, draw: Draw) -> None:
    plan.faults = draw.some(lambda: draw.death("segmenter", "segmenter", *SEGMENTERS, "origin", *SCHEDULERS), 3)
    plan.hls = True


def _segmenter_hands_over(plan: Plan, draw: Draw) -> None:
    plan.faults = [draw.handover(round(at_s + draw.rng.uniform(0.0, 1.0), 3)) for at_s in (4.0, 11.0)]
    plan.hls = plan.whole = plan.undisturbed = True


def _edge_drained(plan: Plan, draw: Draw) -> None:
    plan.faults = draw.some(lambda: draw.drain("publisher", "publisher", "reader", *EDGES), 2)
    plan.rivals = draw.rng.random() < 0.5
    plan.undisturbed = True


def _etcd_goes_back_unseen(plan: Plan, draw: Draw) -> None:
    plan.faults = draw.back_in_time()
    plan.rivals = plan.undisturbed = True


def _grace_over_while_settling(plan: Plan, draw: Draw) -> None:
    plan.faults = draw.grace_over()
    plan.streams = 1  # another may well have lost its origin
    plan.undisturbed = True


def _edge_hops(plan: Plan, draw: Draw) -> None:
    plan.faults = draw.hop()
    plan.rivals = plan.undisturbed = True


def _publishers_come_and_go(plan: Plan, draw: Draw) -> None:
    plan.faults = draw.some(draw.pause, 2) + draw.some(lambda: draw.death("publisher", "origin"), 1)
    plan.take_over, plan.rivals = draw.rng.random() < 0.5, draw.rng.random() < 0.7


def _anything(plan: Plan, draw: Draw) -> None:
    sorts: tuple[Callable[[], Fault], ...] = (
        draw.cut,
        draw.slowness,
        draw.weather,
        draw.clock,
        draw.pause,
        lambda: draw.drain("origin", *ORIGINS, "publisher", "reader", *EDGES, "segmenter", *SEGMENTERS),
        draw.stuck,
        lambda: draw.store(harmless=False),
        lambda: draw.death(*SCHEDULERS, *ORIGINS, *EDGES, *DUTIES),
    )
    plan.faults = draw.some(lambda: draw.rng.choice(sorts)(), 7, least=2)
    plan.take_over, plan.rivals = draw.rng.random() < 0.2, draw.rng.random() < 0.5
    plan.wall_skew_s = draw.rng.choice((0.0, 0.0, 5.0, 3600.0))


_FILLED: dict[str, Callable[[Plan, Draw], None]] = {
    "origin lost": _origin_lost,
    "anything": _anything,
    "control plane away": _control_plane_away,
    "data of etcd lost": _data_of_etcd_lost,
    "cuts": _cuts,
    "publisher cut off": _publisher_cut_off,
    "deaths": _deaths,
    "origin drained": _origin_drained,
    "origins lost, one after the other": _one_after_the_other,
    "segmenters lost": _segmenters_lost,
    "segmenter hands over": _segmenter_hands_over,
    "edge drained": _edge_drained,
    "etcd goes back unseen": _etcd_goes_back_unseen,
    "grace over while settling": _grace_over_while_settling,
    "edge hops": _edge_hops,
    "publishers come and go": _publishers_come_and_go,
    "origin lost, nobody to ask": _nobody_to_ask,
    "all asleep": _all_asleep,
}

KINDS = (*_FILLED, "anything", "anything")  #: of a seed, by its remainder
