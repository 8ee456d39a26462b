"""Schedules that have found something, kept as what their seeds stood for then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simulation.draws import EDGES, ORIGINS, SCHEDULERS
from simulation.faults import Cut, Drained, Fault, Halted, Killed, Paused, Restored, Rough, Stepped, Stuck, Wiped
from simulation.plans import Plan
from simulation.schedule import run_plan

CHANCES = range(8)  #: seeds of chance that each is run with

NOBODY_TO_ASK = [Killed(at_s=4.221, for_s=5.0, whom=name) for name in SCHEDULERS]

#: Nobody publishes for a while, so that a snapshot of then has no claim.
GONE_FOR_A_MOMENT: list[Fault] = [Paused(at_s=3.0, for_s=1.2, which=which, moves=False) for which in (0, 1)]
#: The publishing edge reaches them last.
STARTED_AGAIN: list[Fault] = [
    *(Killed(at_s=8.8, for_s=0.7, whom=name) for name in SCHEDULERS),
    Cut(at_s=8.8, for_s=3.0, source=("publisher",), target=SCHEDULERS),
]

FOUND: dict[str, Plan] = {
    # Subscribed before the publication, it took the time until the first unit for a loss that was never over.
    "a reader that waited for its stream loses the origin much later": Plan(
        seed=0, kind="kept", streams=2, lossless=True, faults=[Killed(at_s=12.2, for_s=3.0, whom="origin")]
    ),
    "the heir serves while there is no scheduler": Plan(
        seed=0, kind="kept", lossless=True, faults=[*NOBODY_TO_ASK, Killed(at_s=6.465, for_s=2.0, whom="origin")]
    ),
    "claims and groups come back after the data of etcd is gone": Plan(
        seed=0, kind="kept", streams=2, hls=True, undisturbed=True, faults=[Wiped(at_s=13.6, for_s=0.0)]
    ),
    # The lease of the publishing edge had run out, that of the origin had not.
    "a claim is gone and its group is not": Plan(
        seed=0, kind="kept", faults=[Cut(at_s=7.688, for_s=6.509, source=("publisher",), target=("*",))]
    ),
    "every lease runs out while the schedulers do not reach etcd": Plan(
        seed=0, kind="kept", streams=2, undisturbed=True, faults=[Cut(at_s=8.0, for_s=6.0, source=SCHEDULERS, target=("etcd",))]
    ),
    # It blocked its stream for as long as its edge lived.
    "a claim that was given back is in the snapshot that etcd is restored from": Plan(
        seed=0,
        kind="kept",
        hls=True,
        wall_skew_s=5.0,
        faults=[
            Restored(at_s=5.024, for_s=2.984),
            Paused(at_s=7.993, for_s=0.23, which=0, moves=True),
            Rough(at_s=8.82, for_s=4.779, loss=0.3, doubled=0.3),
            Halted(at_s=11.24, for_s=0.503, whom="heir"),
        ],
    ),
    # Each edge was asked for its claims once, before its node was written down again, and asked for nothing more.
    "a rival knocks while the data of etcd is gone": Plan(
        seed=0,
        kind="kept",
        streams=2,
        rivals=True,
        undisturbed=True,
        faults=[Wiped(at_s=4.835, for_s=0.0), Wiped(at_s=11.403, for_s=0.0)],
    ),
    # A membership stream that arrived late made another replica note the node as away, and nobody noted that it was not.
    "membership streams arrive that were opened long ago": Plan(
        seed=0,
        kind="kept",
        streams=2,
        skew=0.01,
        faults=[
            Cut(at_s=4.227, for_s=6.777, source=("publisher",), target=SCHEDULERS),
            Cut(at_s=8.094, for_s=1.708, source=("scheduler-1",), target=(*ORIGINS, *EDGES)),
            Cut(at_s=13.615, for_s=3.385, source=("origin",), target=SCHEDULERS, both_ways=False),
        ],
    ),
    # The keys that the dead schedulers had left in the snapshot were taken for schedulers that stand: nobody settled.
    "etcd goes back by a moment while both schedulers start again": Plan(
        seed=0,
        kind="kept",
        rivals=True,
        undisturbed=True,
        faults=[*GONE_FOR_A_MOMENT, Restored(at_s=3.6, for_s=5.4, writes=0), *STARTED_AGAIN],
    ),
    # That neither claim nor group was there was taken for the end of the stream, though its publisher had yet to say what it has.
    "the grace of a group is over when the data of etcd is gone": Plan(
        seed=0,
        kind="kept",
        undisturbed=True,
        faults=[
            *(Killed(at_s=3.0, for_s=14.0, whom=whom) for whom in ("heir", "spare")),
            Cut(at_s=4.0, for_s=8.3, source=("publisher",), target=("origin",)),
            Wiped(at_s=11.0, for_s=0.0),
        ],
    ),
    # Whoever took its claim over compared the claim, and not whether its edge was gone.
    "an edge goes to another replica and the one that it was at does not hear of it": Plan(
        seed=0,
        kind="kept",
        rivals=True,
        undisturbed=True,
        faults=[
            Stuck(at_s=5.0, for_s=6.0, whom="host"),
            Cut(at_s=5.0, for_s=5.0, source=("publisher",), target=("host",)),
        ],
    ),
    "nobody reaches a scheduler for longer than a lease": Plan(
        seed=0,
        kind="kept",
        rivals=True,
        faults=[
            Cut(at_s=3.833, for_s=6.461, source=SCHEDULERS, target=(*ORIGINS, *EDGES)),
            Cut(at_s=13.26, for_s=3.74, source=("origin",), target=("*",), both_ways=False),
        ],
    ),
    # The heir took it in, having seen nothing of the other, and the registry gave it the epoch that it had; nobody played that.
    "a publication that was cut off is back, and another has come and gone": Plan(
        seed=0,
        kind="kept",
        rivals=True,
        faults=[
            Cut(at_s=4.0, for_s=9.8, source=("publisher",), target=("*",)),
            Paused(at_s=7.0, for_s=10.0, which=0, moves=False),
        ],
    ),
    # The heir's place outdated the origin, to which the publication had gone back before its opening at the heir came there.
    "the heir is opened by a publication that has given it up": Plan(
        seed=0,
        kind="kept",
        faults=[
            Killed(at_s=8.9, for_s=8.06, whom="scheduler-1", silently=True),
            Stuck(at_s=11.73, for_s=5.27, whom="scheduler-2"),
            Cut(at_s=12.231, for_s=4.769, source=("publisher", "heir"), target=("*",)),
        ],
    ),
    # Cut off, it was outdated by a rival; then every lease ran out, it came first, and got an epoch above the rival's.
    "of two whose claims are both missing the earlier one comes first": Plan(
        seed=5325,
        kind="kept",
        rivals=True,
        skew=0.01,
        faults=[
            Cut(at_s=7.419, for_s=0.23, source=("origin", "heir"), target=("publisher",)),
            Cut(at_s=7.665, for_s=6.551, source=("publisher",), target=SCHEDULERS),
            Cut(at_s=7.665, for_s=6.076, source=("publisher",), target=("origin",), both_ways=False),
            Cut(at_s=12.216, for_s=4.784, source=SCHEDULERS, target=("etcd",), both_ways=False),
        ],
    ),
    # The same before any replica had found that the cluster has to settle.
    "of two whose claims are both missing the earlier one comes before anybody settles": Plan(
        seed=5211,
        kind="kept",
        streams=2,
        rivals=True,
        hls=True,
        skew=0.01,
        faults=[
            Cut(at_s=7.801, for_s=5.266, source=("publisher",), target=SCHEDULERS, both_ways=False),
            Cut(at_s=7.801, for_s=4.211, source=("publisher",), target=ORIGINS),
            Cut(at_s=11.7, for_s=5.039, source=SCHEDULERS, target=("etcd",)),
        ],
    ),
    # Its edge tried the one that was silent, paused, and tried it again, until the cluster had settled without it.
    "an edge looks for a scheduler, and one of two swallows packets": Plan(
        seed=6576,
        kind="kept",
        rivals=True,
        undisturbed=True,
        faults=[
            Killed(at_s=6.036, for_s=3.434, whom="scheduler-1"),
            Cut(at_s=9.928, for_s=2.294, source=SCHEDULERS, target=("etcd",), both_ways=False),
            Killed(at_s=11.432, for_s=3.675, whom="scheduler-1"),
            Killed(at_s=11.769, for_s=5.231, whom="scheduler-2", silently=True),
        ],
    ),
    # It waited there without end: the publication, which had given the heir up, had gone back.
    "a reader hears of the heir from its origin, and the heir gives nothing": Plan(
        seed=3763,
        kind="kept",
        take_over=True,
        hls=True,
        faults=[
            Stepped(at_s=6.028, for_s=1.016, whom="segmenter", ahead_s=-3600.0),
            Cut(at_s=6.201, for_s=1.876, source=("origin",), target=("publisher",), both_ways=False),
            Halted(at_s=6.854, for_s=4.508, whom="origin-2"),
            Cut(at_s=9.057, for_s=3.338, source=("publisher",), target=("*",), both_ways=False),
            Halted(at_s=10.48, for_s=2.636, whom="reader"),
        ],
    ),
    # Its claims compared what it had written the first time: it stood, and granted nothing ever again.
    "what a replica stands by is written twice": Plan(
        seed=19036,
        kind="kept",
        streams=2,
        hls=True,
        skew=0.01,
        wall_skew_s=5.0,
        faults=[
            Wiped(at_s=7.727, for_s=1.687),
            Paused(at_s=11.3, for_s=1.372, which=0, moves=True),
            Rough(at_s=11.765, for_s=5.235, loss=0.1, doubled=0.3),
            Wiped(at_s=12.257, for_s=1.64),
            Cut(at_s=13.87, for_s=0.302, source=("origin", "heir"), target=("publisher",)),
        ],
    ),
    # Its origin had vanished with its lease. It was to be placed elsewhere once all had settled, and kept it settling itself.
    "a claim that is written again lacks its group": Plan(
        seed=7821,
        kind="kept",
        streams=2,
        rivals=True,
        wall_skew_s=3600.0,
        faults=[
            Drained(at_s=6.909, for_s=2.777, whom="origin-3", within_s=2.222),
            Stuck(at_s=7.011, for_s=5.359, whom="scheduler-2"),
            Cut(at_s=8.057, for_s=2.832, source=SCHEDULERS, target=("etcd",)),
            Killed(at_s=8.647, for_s=7.923, whom="origin", silently=True),
            Rough(at_s=9.277, for_s=1.926, loss=0.3, doubled=0.0),
        ],
    ),
    # A replica that had stood still noted them as away when the store was back at what it had written of them itself.
    "nodes that have gone to another replica are noted as away after a restore": Plan(
        seed=8539,
        kind="kept",
        streams=2,
        rivals=True,
        skew=0.01,
        wall_skew_s=3600.0,
        faults=[
            Restored(at_s=8.28, for_s=3.328, writes=1000),
            Halted(at_s=8.484, for_s=3.474, whom="scheduler-2"),
            Stuck(at_s=10.678, for_s=1.389, whom="scheduler-2"),
            Stuck(at_s=12.9, for_s=4.1, whom="scheduler-2"),
            Killed(at_s=13.413, for_s=3.587, whom="origin-3"),
        ],
    ),
    # Its owner lived, and had handed over since: nobody segmented the stream ever again, unless a player asked for it.
    "a store is restored in which an owner has what it has handed over": Plan(
        seed=10138,
        kind="kept",
        streams=2,
        hls=True,
        skew=0.01,
        wall_skew_s=5.0,
        faults=[
            Stuck(at_s=6.073, for_s=2.926, whom="host"),
            Paused(at_s=7.126, for_s=7.991, which=2, moves=False),
            Cut(at_s=8.28, for_s=1.113, source=("publisher", "origin"), target=SCHEDULERS, both_ways=False),
            Drained(at_s=8.578, for_s=3.373, whom="hls-2", within_s=6.746),
            Restored(at_s=9.526, for_s=7.204, writes=1000),
            Stepped(at_s=12.478, for_s=2.547, whom="reader", ahead_s=3600.0),
            Killed(at_s=13.025, for_s=0.356, whom="publisher", silently=True),
        ],
    ),
    # It claims its stream again, under an epoch above that of the one which had taken it over and lost it as well.
    "a publication comes back after another": Plan(
        seed=15869,
        kind="kept",
        streams=2,
        rivals=True,
        hls=True,
        faults=[
            Cut(at_s=4.757, for_s=7.573, source=("publisher", "origin"), target=SCHEDULERS),
            Cut(at_s=8.851, for_s=5.424, source=SCHEDULERS, target=(*ORIGINS, *EDGES)),
            Cut(at_s=10.642, for_s=3.417, source=("origin",), target=SCHEDULERS),
        ],
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_is_mended(name: str) -> None:
    plan = FOUND[name]
    outcomes = [run_plan(replace(plan, seed=plan.seed + chance)) for chance in CHANCES]
    assert [str(outcome) for outcome in outcomes if outcome.problems] == []
