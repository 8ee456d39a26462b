"""Routing: one scheduler asked for routes at a steady rate while edges join, drain, leave and vanish; and what routes cost it.

Scheduler and etcd are real processes; the edges are members over gRPC that count who is sent to them (`_routing.py`). What routes
cost is measured at one rate after the other, and with as many as the scheduler answers, while no edge comes or goes.
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
from bench._plots import Curve, Plot
from bench._report import Judged

EDGES = 24
FULL = (2, 100)  #: few, and nine of ten: as where an autoscaler has begun to add edges
PER_S = 2000
RATES = (500.0, 1000.0, 2000.0)  #: routes a second of the curve, which ends with as many as are answered
STEADY_FULL = 2  #: full edges there
MOST_SPREAD_PERCENT = 10.0  #: that an edge may be from its share
RESULTS = _load.BUILT / "routing.json"
TITLE = "Routing: where players and publishers are sent"
CONNECTIONS = 2000  #: descriptors that edges and whoever asks need at most
LIMITS = (
    "What limits it: a route is a request over HTTP that one core of Python reads, checks, thinks about and answers. Thinking is a "
    "small part, and does not grow with the edges: two are drawn and compared; only where most are full, those with room are "
    "looked for anew a few times a second. The same core hears of every edge each second, full ones too, and whoever asks "
    "meanwhile waits: that is the tail of the delays, longest where many report together, as the full ones do here, which joined "
    "right after each other. All edges are in the process that asks, so some of that tail is its own. How evenly edges fill is "
    "limited by what is known of them: reports are up to a second old, and what was sent since is reckoned. What would move it: "
    "replicas of the scheduler, each of which answers all questions."
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
STEADY_HEAD = [
    "asked for",
    "answered a second",
    "not answered",
    "p50 ms",
    "p99 ms",
    "worst ms",
    "scheduler, % of a core",
    "lowest-highest",
    "us each",
    "who asks, % of a core",
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


def steady_row(per_s: float | None, samples: Sequence[_routing.Steady]) -> list[str]:
    """The line of so many routes a second, or of as many as were answered: medians, and the worst of what must not be."""
    median, percents = _rounds.medians(samples), [each.percent for each in samples]
    return [
        f"{per_s:g} a second" if per_s is not None else f"{_routing.CONNECTIONS} at a time",
        median(lambda each: each.answered_per_s, ".0f"),
        str(sum(each.unanswered for each in samples)),
        median(lambda each: each.p50_ms),
        median(lambda each: each.p99_ms),
        f"{max(each.worst_ms for each in samples):.0f}",
        median(lambda each: each.percent, ".0f"),
        f"{min(percents):.0f}-{max(percents):.0f}",
        median(lambda each: each.us_each, ".0f"),
        median(lambda each: each.asking_percent, ".0f"),
    ]


def plots(rates: _rounds.Found[_routing.Steady]) -> list[Plot]:
    """Processor time against routes a second."""
    measured = [mine for name in rates.samples if (mine := rates.of(name))]
    points = sorted(
        (statistics.median(each.answered_per_s for each in mine), statistics.median(each.percent for each in mine))
        for mine in measured
    )
    curves = [Curve(label="scheduler", points=points)]
    title, x, y = "What routes cost the scheduler", "routes a second", "% of a core"
    return [Plot(name="routing", title=title, x=x, y=y, curves=curves, limit=100, limit_label="one core")]


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


def steady_introduction(plan: argparse.Namespace) -> str:
    """What the second table shows."""
    return (
        f"What routes cost: the same edges, beside {STEADY_FULL} full ones, while none comes or goes, asked for {plan.steady_s:g} "
        f"s at one rate after {_routing.WARM_UP_S:g} s of it, {plan.rounds} rounds, median and the worst of all. The last line is "
        f"as many as the scheduler answers: each of {_routing.CONNECTIONS} connections asks again as soon as it has an answer, so "
        "a delay is that of waiting for all others there. `us each` is all that the scheduler took, shared out."
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


def label_of_rate(per_s: float | None) -> str:
    """The same of so many routes a second, or of as many as are answered."""
    return "rate-most" if per_s is None else f"rate-{per_s:g}"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = _rounds.parser("routing", __doc__, RESULTS, rounds=2, seconds=40, warm_up=0)
    parser.add_argument("--calm-s", type=float, default=40, help="seconds after it, in which no edge comes or goes (%(default)s)")
    parser.add_argument("--edges", type=int, default=EDGES, help="that there are at a time (%(default)s)")
    parser.add_argument(
        "--full", type=int, nargs="+", default=FULL, help="... and others that are full all the time, a line each (%(default)s)"
    )
    parser.add_argument("--per-s", type=float, default=PER_S, help="routes a second while they do (%(default)s)")
    parser.add_argument("--rates", type=float, nargs="*", default=RATES, help="routes a second of the curve (500 1000 2000)")
    parser.add_argument("--steady-s", type=float, default=20, help="seconds of each (%(default)s)")
    return parser.parse_args()


def measure(plan: argparse.Namespace, full: int, folder: Path, stack: ExitStack) -> _routing.Found:
    """With so many full edges, once."""
    whole = _routing.Plan(edges=plan.edges, full=full, per_s=plan.per_s, change_s=plan.seconds, calm_s=plan.calm_s, pin=plan.pin)
    return _routing.measure(whole, folder)


def measure_steady(plan: argparse.Namespace, per_s: float | None, folder: Path, stack: ExitStack) -> _routing.Steady:
    """So many routes a second, or as many as are answered, once."""
    whole = _routing.SteadyPlan(edges=plan.edges, full=STEADY_FULL, per_s=per_s, seconds=plan.steady_s, pin=plan.pin)
    return _routing.measure_steady(whole, folder)


def sections(plan: argparse.Namespace, found: _rounds.Found[_routing.Found], rates: _rounds.Found[_routing.Steady]) -> list[str]:
    """The tables, each under what it shows."""
    parts = []
    if measured := {full: mine for full in plan.full if (mine := found.of(label(full)))}:
        every = [each for mine in measured.values() for each in mine]
        parts += [introduction(plan, every), _report.table(HEAD, [row(full, mine) for full, mine in measured.items()])]
    asked = {per_s: rates.of(label_of_rate(per_s)) for per_s in (*plan.rates, None)}
    if rows := [steady_row(per_s, mine) for per_s, mine in asked.items() if mine]:
        parts += [steady_introduction(plan), _report.table(STEADY_HEAD, rows)]
    return parts


def main() -> None:
    """Measure, print, keep; exit with 1 if a sample was worthless or a bar is missed."""
    plan = arguments()
    logging.basicConfig(level=logging.ERROR)  # edges that vanish are what is measured
    _load.raise_file_limit(CONNECTIONS)
    gc.disable()  # it keeps every answer: looking through them for garbage would make half a second of late ones
    missing = _rounds.needs_of_a_cluster()
    subjects = [_rounds.Subject(label(full), partial(measure, plan, full), missing) for full in plan.full]
    found = _rounds.run(_rounds.choose(subjects, plan.only), plan.rounds)
    steady = [_rounds.Subject(label_of_rate(per_s), partial(measure_steady, plan, per_s), missing) for per_s in (*plan.rates, None)]
    rates = _rounds.run(_rounds.choose(steady, plan.only), plan.rounds)
    paragraphs, whole = [*sections(plan, found, rates), LIMITS], _rounds.joined(found, rates)
    sys.exit(_rounds.conclude("routing", TITLE, paragraphs, plan, whole, judged=judge(plan, found), plots=plots(rates)))


if __name__ == "__main__":
    main()
