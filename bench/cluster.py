"""The control plane: claims and questions a second, how long the loss of an origin stops its streams, what clusters cost at rest.

Schedulers, origins and etcd are real processes, all calls and links are real gRPC; edges are light (`_nodes.py`), without players.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias, TypeVar

from bench import _deciding, _failover, _load, _nodes, _report, _rounds
from bench._plots import Curve, Plot
from bench._report import Judged

STREAMS = (10, 100, 1000)  #: on the origin that is lost
NODES = (25, 50, 100)  #: of clusters in which nothing happens
EACH = 100  #: streams of these, for each node
RATES, REPORTS = "rates", "reports"  #: how they are chosen with --only
CONNECTIONS = 1000  #: descriptors that the light nodes need at most
RESULTS = _load.BUILT / "cluster.json"
TITLE = "Cluster: what is asked of a scheduler, and the loss of an origin"
LIMITS = (
    "What limits it: a scheduler is one core of Python. A claim is a transaction of etcd of its own, however many come in one "
    "call, and the scheduler checks, writes and hears of each; a question or a page is answered from memory, so one alone costs "
    "its call, and one of many hardly anything. When an origin is lost nobody asks first: publications and readers open at the "
    "heir at once, so it is what these, and replaying, take of the processors of edges and heirs; right after it comes a "
    "transaction a stream, for which nobody waits. At rest it is the reports: each second every node names the streams that it "
    "has, and the scheduler reads each and compares it with what is written down; etcd is only told that nodes live, and of loads "
    "that have changed by a twentieth. What would move it: more replicas of the scheduler, which share nodes and questions, though "
    "each hears of every claim; and more origins, so that fewer streams are lost at once."
)

Sample: TypeAlias = "Rates | _failover.Sample | _deciding.Idle"  #: of a part, in one round
S = TypeVar("S", bound="Sample")

RATE_HEAD = ["question", "a second", "lowest-highest", "us each", "% of a core"]
REPORT_HEAD = [
    "nodes",
    "streams",
    "streams reported a second",
    "scheduler, % of a core",
    "lowest-highest",
    "MB",
    "etcd, % of a core",
    "all nodes, % of a core",
]


def rate_row(name: str, samples: Sequence[_deciding.Rate]) -> list[str]:
    """The line of one kind of question: medians over the rounds."""
    rates = [each.per_s for each in samples]
    return [
        name,
        f"{statistics.median(rates):.0f}",
        f"{min(rates):.0f}-{max(rates):.0f}",
        f"{statistics.median(each.us_an_item for each in samples):.0f}",
        f"{statistics.median(each.percent for each in samples):.0f}",
    ]


def report_row(samples: Sequence[_deciding.Idle]) -> list[str]:
    """The line of one number of nodes: medians over the rounds."""
    first, percents = samples[0], [each.percent for each in samples]
    return [
        str(first.nodes),
        str(first.streams),
        str(first.held_per_s),
        f"{statistics.median(percents):.0f}",
        f"{min(percents):.0f}-{max(percents):.0f}",
        f"{max(each.rss_mb for each in samples):.0f}",
        f"{statistics.median(each.etcd_percent for each in samples):.1f}",
        f"{statistics.median(each.nodes_percent for each in samples):.0f}",
    ]


@dataclass(slots=True, frozen=True)
class Rates:
    """What was answered of each kind of question, in one round."""

    rates: dict[str, _deciding.Rate]

    @property
    def problem(self) -> str:
        """What makes it worthless, if anything."""
        return ", ".join(f"{name}: {rate.problem}" for name, rate in self.rates.items() if rate.problem)

    @property
    def shown(self) -> str:
        """In a few words."""
        return ", ".join(f"{name} {rate.per_s:.0f}/s" for name, rate in self.rates.items())


def subjects(plan: argparse.Namespace) -> list[_rounds.Subject[Sample]]:
    """The parts."""

    def rates(folder: Path, stack: ExitStack) -> Sample:
        return Rates(_deciding.measure_rates(plan.seconds, folder, apart=plan.pin))

    def failover(streams: int, folder: Path, stack: ExitStack) -> Sample:
        return _failover.measure(streams, folder)

    def reports(nodes: int, folder: Path, stack: ExitStack) -> Sample:
        return _deciding.measure_idle(nodes, nodes * plan.each, plan.seconds, folder, apart=plan.pin)

    missing = _rounds.needs_of_a_cluster()
    losses = [_rounds.Subject(failover_of(streams), partial(failover, streams), missing) for streams in plan.streams]
    idle = [_rounds.Subject(reports_of(nodes), partial(reports, nodes), missing) for nodes in plan.nodes]
    return [_rounds.Subject(RATES, rates, missing), *losses, *idle]


def failover_of(streams: int) -> str:
    """How the loss of an origin of so many streams is chosen with --only."""
    return f"failover-{streams}"


def reports_of(nodes: int) -> str:
    """How a cluster of so many nodes in which nothing happens is chosen with --only."""
    return f"{REPORTS}-{nodes}"


def judge(plan: argparse.Namespace, found: _rounds.Found[Sample]) -> list[Judged]:
    """Nothing is lost with an origin."""
    judged = []
    for streams in plan.streams:
        if failover_of(streams) in found.samples:
            mine = _of(found, failover_of(streams), _failover.Sample)
            missing = sum(each.missing for each in mine) if mine else None
            judged.append(Judged(what=f"loss of an origin of {streams} streams: units missing", found=missing, bar=0))
    return judged


def _of(found: _rounds.Found[Sample], label: str, kind: type[S]) -> list[S]:
    return [sample for sample in found.of(label) if isinstance(sample, kind)]


def sections(plan: argparse.Namespace, found: _rounds.Found[Sample]) -> list[str]:
    """The tables, each under what it shows."""
    shape = f"{plan.rounds} rounds of {plan.seconds:g} s each, median."
    parts = []
    if rounds := [each.rates for each in _of(found, RATES, Rates)]:
        rows = [rate_row(name, [rates[name] for rates in rounds]) for name in rounds[0]]
        parts += [_about_rates(shape), _report.table(RATE_HEAD, rows)]
    losses = [_of(found, failover_of(streams), _failover.Sample) for streams in plan.streams]
    if rows := [_failover.row(samples) for samples in losses if samples]:
        parts += [_about_failovers(plan.rounds), _report.table(_failover.HEAD, rows)]
    if rows := [report_row(mine) for mine in _idle(plan, found).values()]:
        parts += [_about_reports(shape), _report.table(REPORT_HEAD, rows)]
    return parts


def _idle(plan: argparse.Namespace, found: _rounds.Found[Sample]) -> dict[int, list[_deciding.Idle]]:
    """What there is of clusters in which nothing happens, by their nodes."""
    return {nodes: mine for nodes in plan.nodes if (mine := _of(found, reports_of(nodes), _deciding.Idle))}


def plots(plan: argparse.Namespace, found: _rounds.Found[Sample]) -> list[Plot]:
    """Processor time against the nodes of a cluster in which nothing happens."""
    of: dict[str, Callable[[_deciding.Idle], float]] = {
        "scheduler": lambda each: each.percent,
        "etcd": lambda each: each.etcd_percent,
    }
    idle = sorted(_idle(plan, found).items())
    curves = [
        Curve(label=name, points=[(float(nodes), statistics.median(map(value, mine))) for nodes, mine in idle])
        for name, value in of.items()
    ]
    x, y = f"nodes, {plan.each} streams each", "% of a core"
    return [Plot(name="cluster", title="A cluster in which nothing happens", x=x, y=y, curves=curves)]


def _about_rates(shape: str) -> str:
    return (
        f"One scheduler with a core to itself, a single etcd, {_deciding.ORIGINS} origins; {shape} Where one call asks for one "
        f"stream, {_deciding.AT_ONCE} calls are under way at a time ({_deciding.CONSOLES} over HTTP). `us each` is processor time "
        "of the scheduler for one stream; where its core is not busy, etcd or the asking process is what holds it up. Routes "
        "are measured by `make bench-routing`."
    )


def _about_failovers(rounds: int) -> str:
    return (
        f"SIGKILL of an origin that owns all the streams, each of {_nodes.UNIT_HZ} units a second, read by {_failover.READERS} "
        f"edges that share them; the heirs are {_failover.HEIRS} other origins. A stream stands still until its reader has a unit "
        f"that was made after the kill; the wait for one is {500 // _nodes.UNIT_HZ} ms of that on average. All processes share the "
        f"cores of the machine, and all {_failover.READERS + 1} edges one process: what each took while streams stood still "
        f"says what held them up. {rounds} rounds, median, and the worst of all. `registry right` is when the scheduler has "
        "written down where each stream is now, and its publication knows that."
    )


def _about_reports(shape: str) -> str:
    return (
        f"Clusters in which nothing happens: of {_deciding.SHARE} nodes one is an origin, one an hls node, and eight are edges. "
        "Every stream is published at one edge, owned by an origin and played at another edge, so three nodes report it each "
        f"second. All nodes together are one process. {shape}"
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = _rounds.parser("cluster", __doc__, RESULTS, rounds=3, seconds=5, warm_up=0)
    parser.add_argument("--streams", type=int, nargs="*", default=STREAMS, help="numbers of streams on the lost origin")
    parser.add_argument("--nodes", type=int, nargs="*", default=NODES, help="of clusters in which nothing happens (25 50 100)")
    parser.add_argument("--each", type=int, default=EACH, help="streams of these, for each node (%(default)s)")
    return parser.parse_args()


def main() -> None:
    """Measure, print, keep; exit with 1 if a sample was worthless or a bar is missed."""
    plan = arguments()
    logging.basicConfig(level=logging.ERROR)  # lost links are what is measured
    _load.raise_file_limit(CONNECTIONS)
    found = _rounds.run(_rounds.choose(subjects(plan), plan.only), plan.rounds)
    paragraphs, judged, drawn = [*sections(plan, found), LIMITS], judge(plan, found), plots(plan, found)
    sys.exit(_rounds.conclude("cluster", TITLE, paragraphs, plan, found, judged=judged, plots=drawn))


if __name__ == "__main__":
    main()
