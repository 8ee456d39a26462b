"""Routing: one scheduler asked for routes at a steady rate while edges join, drain, leave and vanish.

Scheduler and etcd are real processes; the edges are members over gRPC that count who is sent to them (`_routing.py`).
"""

from __future__ import annotations

import argparse
import gc
import logging
import statistics
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench import _load, _report, _rounds, _routing
from bench._report import Judged

EDGES = 24
FULL = (2, 100)  #: few, and nine of ten: as where an autoscaler has begun to add edges
PER_S = 2000
MOST_SPREAD_PERCENT = 10.0  #: that an edge may be from its share
RESULTS = _load.BUILT / "routing.json"
TITLE = "Routing: where players and publishers are sent"
CONNECTIONS = 2000  #: descriptors that edges and whoever asks need at most
LIMITS = (
    "What limits it: a route is a request over HTTP that one core of Python reads, thinks about and answers. Thinking is little, "
    "and does not grow with the edges: two are drawn and compared; only where most are full, those with room are looked for anew a "
    "few times a second. The same core hears of every edge each second, full ones too, and whoever asks meanwhile waits, which is "
    "the tail of the delays. How evenly edges fill is limited by what is known of them: reports are up to a second old, and what "
    "was sent since is reckoned. What would move it: replicas of the scheduler, each of which answers all questions; clients that "
    "keep an answer for its `ttl_s`."
)

HEAD = [
    "full edges",
    "routes a second",
    "answered",
    "not answered",
    "p50 ms",
    "p99 ms",
    "worst ms",
    "scheduler, % of a core",
    "sent wrong",
    "spread, edges coming and going",
    "spread at the end",
]


def row(full: int, samples: Sequence[_routing.Found]) -> list[str]:
    """The line of the table for so many full edges: medians over the rounds, and the worst of what must not be."""
    return [
        str(full),
        f"{statistics.median(each.asked_per_s for each in samples):.0f}",
        str(sum(each.routed for each in samples)),
        str(sum(each.unanswered for each in samples)),
        f"{statistics.median(each.p50_ms for each in samples):.1f}",
        f"{statistics.median(each.p99_ms for each in samples):.1f}",
        f"{max(each.worst_ms for each in samples):.0f}",
        f"{statistics.median(each.percent for each in samples):.0f}",
        str(sum(each.sent_wrong for each in samples)),
        f"{max(each.spread_percent for each in samples):.1f}%",
        f"{max(each.end_spread_percent for each in samples):.1f}%",
    ]


def introduction(plan: argparse.Namespace, every: Sequence[_routing.Found]) -> str:
    """What the table shows."""
    changes = sum((Counter(each.changes) for each in every), Counter[str]())
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(changes.items()))
    return (
        f"One scheduler with a core to itself is asked over HTTP by {_routing.STREAMS} streams' players, and by publishers for "
        f"{_routing.PUBLISHERS:.0%} of the questions, at a steady rate: what is late counts from when it was to be asked. "
        f"{plan.edges} edges in two zones have room for {', '.join(map(str, _routing.ROOMS))} sessions in turn, "
        f"others are full; who is sent to one comes at once and stays {_routing.STAY_S:g} s on average, which keeps "
        f"{statistics.median(each.used_percent for each in every):.0f}% of the room in use. For {plan.seconds:g} s edges come "
        f"and go ({told} in {plan.rounds} rounds of each line), then for {plan.calm_s:g} s they do not. "
        "`sent wrong` counts who was sent to an edge "
        f"that the scheduler knew to drain, had seen leave, or whose vanishing was {_routing.MISSED_S:g} s old, or to one that "
        "was full. The spread is how far the edge that is furthest from it was from its share, by capacity, of what its zone "
        f"carries: looked at each second, of edges that had {_routing.SETTLED_S:g} s to fill up; and at the end, of all."
    )


def judge(plan: argparse.Namespace, found: _rounds.Found[_routing.Found]) -> list[Judged]:
    """Everybody is sent to an edge that takes him, and edges fill alike."""
    judged: list[Judged] = []
    for full in plan.full:
        if label(full) not in found.samples:
            continue
        mine, whose = found.of(label(full)), f"{plan.per_s:g} routes a second, {full} full edges"
        unanswered = sum(each.unanswered for each in mine) if mine else None
        wrong = sum(each.sent_wrong for each in mine) if mine else None
        furthest = max((each.furthest_percent for each in mine), default=None)
        judged.append(Judged(what=f"{whose}: not answered", found=unanswered, bar=0))
        judged.append(Judged(what=f"{whose}: sent wrong", found=wrong, bar=0))
        judged.append(Judged(what=f"{whose}: furthest from its share", found=furthest, bar=MOST_SPREAD_PERCENT, unit="%"))
    return judged


def label(full: int) -> str:
    """How a subject is chosen with --only."""
    return f"full-{full}"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = _rounds.parser("routing", __doc__, RESULTS, rounds=2, seconds=40, warm_up=0)
    parser.add_argument("--calm-s", type=float, default=40, help="seconds after it, in which no edge comes or goes (%(default)s)")
    parser.add_argument("--edges", type=int, default=EDGES, help="that there are at a time (%(default)s)")
    parser.add_argument(
        "--full", type=int, nargs="+", default=FULL, help="... and others that are full all the time, a line each (%(default)s)"
    )
    parser.add_argument("--per-s", type=float, default=PER_S, help="routes a second (%(default)s)")
    return parser.parse_args()


def measure(plan: argparse.Namespace, full: int, folder: Path, stack: ExitStack) -> _routing.Found:
    """With so many full edges, once."""
    whole = _routing.Plan(edges=plan.edges, full=full, per_s=plan.per_s, change_s=plan.seconds, calm_s=plan.calm_s, pin=plan.pin)
    return _routing.measure(whole, folder)


def main() -> None:
    """Measure, print, keep; exit with 1 if a sample was worthless or a bar is missed."""
    plan = arguments()
    logging.basicConfig(level=logging.ERROR)  # edges that vanish are what is measured
    _load.raise_file_limit(CONNECTIONS)
    gc.disable()  # it keeps every answer: looking through them for garbage would make half a second of late ones
    missing = _rounds.needs_of_a_cluster()
    subjects = [_rounds.Subject(label(full), partial(measure, plan, full), missing) for full in plan.full]
    found = _rounds.run(_rounds.choose(subjects, plan.only), plan.rounds)
    measured = {full: mine for full in plan.full if (mine := found.of(label(full)))}
    paragraphs = []
    if measured:
        rows = [row(full, mine) for full, mine in measured.items()]
        paragraphs = [introduction(plan, [each for mine in measured.values() for each in mine]), _report.table(HEAD, rows)]
    sys.exit(_rounds.conclude("routing", TITLE, [*paragraphs, LIMITS], plan, found, judged=judge(plan, found)))


if __name__ == "__main__":
    main()
