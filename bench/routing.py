"""Routing: one scheduler asked for routes at a steady rate while edges join, drain, leave and vanish.

Scheduler and etcd are real processes; the edges are members over gRPC that count who is sent to them (`_routing.py`).
"""

from __future__ import annotations

import argparse
import gc
import itertools
import logging
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from bench import _load, _report, _routing

EDGES = 24
FULL = (2, 100)  #: few, and nine of ten: as where an autoscaler has begun to add edges
PER_S = 2000
CHANGE_S, CALM_S = 40.0, 40.0
RESULTS = _load.BUILT / "routing.json"
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
    "5xx",
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
        str(sum(each.no_room + each.failed for each in samples)),
        f"{statistics.median(each.p50_ms for each in samples):.1f}",
        f"{statistics.median(each.p99_ms for each in samples):.1f}",
        f"{max(each.worst_ms for each in samples):.0f}",
        f"{statistics.median(each.percent for each in samples):.0f}",
        str(sum(sum(each.wrong.values()) + each.overfull for each in samples)),
        f"{max(each.spread_percent for each in samples):.1f}%",
        f"{max(each.end_spread_percent for each in samples):.1f}%",
    ]


def text_of(plan: _routing.Plan, rounds: int, about: dict[str, str], samples: dict[int, list[_routing.Found]]) -> str:
    """The section for `docs/performance.md`; `samples` by how many edges were full."""
    every = list(itertools.chain(*samples.values()))
    changes = sum((Counter(each.changes) for each in every), Counter[str]())
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(changes.items()))
    shape = (
        f"One scheduler with a core to itself is asked over HTTP by {_routing.STREAMS} streams' players, and by publishers for "
        f"{_routing.PUBLISHERS:.0%} of the questions, at a steady rate: what is late counts from when it was to be asked. "
        f"{plan.edges} edges in two zones have room for {', '.join(map(str, _routing.ROOMS))} sessions in turn, "
        f"others are full; who is sent to one comes at once and stays {_routing.STAY_S:g} s on average, which keeps "
        f"{statistics.median(each.used_percent for each in every):.0f}% of the room in use. For {plan.change_s:g} s edges come "
        f"and go ({told} in {rounds} rounds of each line), then for {plan.calm_s:g} s they do not. "
        "`sent wrong` counts who was sent to an edge "
        f"that the scheduler knew to drain, had seen leave, or whose vanishing was {_routing.MISSED_S:g} s old, or to one that "
        "was full. The spread is how far the edge that is furthest from it was from its share, by capacity, of what its zone "
        f"carries: looked at each second, of edges that had {_routing.SETTLED_S:g} s to fill up; and at the end, of all. "
        f"It may be {_routing.MOST_SPREAD_PERCENT:g}%."
    )
    return "\n\n".join([_report.listed(about), shape, _report.table(HEAD, list(itertools.starmap(row, samples.items()))), LIMITS])


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="bench.routing", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--edges", type=int, default=EDGES, help="that there are at a time (%(default)s)")
    parser.add_argument(
        "--full", type=int, nargs="+", default=FULL, help="... and others that are full all the time, a line each (%(default)s)"
    )
    parser.add_argument("--per-s", type=float, default=PER_S, help="routes a second (%(default)s)")
    parser.add_argument("--change-s", type=float, default=CHANGE_S, help="seconds in which edges come and go (%(default)s)")
    parser.add_argument("--calm-s", type=float, default=CALM_S, help="seconds after it (%(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="how often everything is measured (%(default)s)")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="where the samples go (%(default)s)")
    parser.add_argument("--no-pin", dest="pin", action="store_false", help="let the system place the scheduler")
    parser.add_argument("--report", action="store_true", help="write the table into docs/performance.md")
    return parser.parse_args()


def main() -> None:
    """Measure, print, keep; exit with 1 if something was as it must not be."""
    given = arguments()
    logging.basicConfig(level=logging.ERROR)  # edges that vanish are what is measured
    _load.raise_file_limit(CONNECTIONS)
    gc.disable()  # it keeps every answer: looking through them for garbage would make half a second of late ones
    plan = _routing.Plan(edges=given.edges, full=0, per_s=given.per_s, change_s=given.change_s, calm_s=given.calm_s, pin=given.pin)
    samples: dict[int, list[_routing.Found]] = {full: [] for full in given.full}
    for number, full in itertools.product(range(given.rounds), samples):
        with tempfile.TemporaryDirectory() as folder:
            samples[full].append(_routing.measure(replace(plan, full=full), Path(folder)))
        print(f"round {number + 1}/{given.rounds}, {full} full: {samples[full][-1]}", file=sys.stderr, flush=True)
    about, title = _report.context(), "Routing: where players and publishers are sent"
    text = text_of(plan, given.rounds, about, samples)
    print(f"\n{title}\n\n{text}\n")
    every = list(itertools.chain(*samples.values()))
    problems = [each.problem for each in every if each.problem]
    shape = {name: value for name, value in vars(given).items() if name != "json"}
    _report.keep(given.json, about, shape, {"samples": list(map(asdict, every)), "problems": problems})
    if given.report:
        _report.publish("routing", title, text)
    for problem in problems:
        print(f"must not be: {problem}", file=sys.stderr)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
