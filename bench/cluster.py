"""The control plane: claims and questions a second, how long the loss of an origin stops its streams, what a large cluster costs.

Schedulers, origins and etcd are real processes, all calls and links are real gRPC; edges are light (`_nodes.py`), without players.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench import _deciding, _failover, _load, _nodes, _report

STREAMS = (10, 100, 1000)  #: on the origin that is lost
NODES, HELD = 100, 10_000  #: nodes and streams of the large cluster
PARTS = ("rates", "failover", "reports")
CONNECTIONS = 1000  #: descriptors that the light nodes need at most
RESULTS = _load.BUILT / "cluster.json"
LIMITS = (
    "What limits it: a scheduler is one core of Python. A claim is a transaction of etcd of its own, however many come in one "
    "call, and the scheduler checks, writes and hears of each; a question or a page is answered from memory, so one alone costs "
    "its call, and one of many hardly anything. When an origin is lost nobody asks first: publications and readers open at the "
    "heir at once, so it is what these, and replaying, take of the processors of edges and heirs; right after it comes a "
    "transaction a stream, for which nobody waits. At rest it is the reports: each second every node names the streams that it "
    "has, and each is looked at. What would move it: more replicas of the scheduler, which share nodes and questions, and more "
    "origins, so that fewer streams are lost at once."
)

RATE_HEAD = ["question", "a second", "lowest-highest", "us each", "% of a core"]
REPORT_HEAD = [
    "nodes",
    "streams",
    "streams reported a second",
    "scheduler, % of a core",
    "lowest-highest",
    "MB",
    "etcd, % of a core",
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
    """The line of the large cluster: medians over the rounds."""
    first, percents = samples[0], [each.percent for each in samples]
    return [
        str(first.nodes),
        str(first.streams),
        str(first.held_per_s),
        f"{statistics.median(percents):.0f}",
        f"{min(percents):.0f}-{max(percents):.0f}",
        f"{max(each.rss_mb for each in samples):.0f}",
        f"{statistics.median(each.etcd_percent for each in samples):.1f}",
    ]


class Found:
    """What the rounds so far have shown."""

    def __init__(self, plan: argparse.Namespace) -> None:
        self.plan = plan
        self.rates: dict[str, list[_deciding.Rate]] = {}
        self.failovers: dict[int, list[_failover.Sample]] = {}
        self.reports: list[_deciding.Idle] = []
        self.problems: dict[str, str] = {}

    def measure(self, folder: Path) -> None:
        """One round."""
        plan, parts = self.plan, self.plan.only.split(",") if self.plan.only else PARTS
        for streams in plan.streams if "failover" in parts else ():
            sample = _failover.measure(streams, folder / f"failover-{streams}")
            self.failovers.setdefault(streams, []).append(sample)
            self._note(f"failover of {streams} streams", sample)
        if "rates" in parts:
            for name, rate in _deciding.measure_rates(plan.seconds, folder / "rates", apart=plan.pin).items():
                self.rates.setdefault(name, []).append(rate)
                self._note(name, rate)
        if "reports" in parts:
            self.reports.append(_deciding.measure_idle(plan.nodes, plan.held, plan.seconds, folder / "reports", apart=plan.pin))
            self._note("reports", self.reports[-1])

    def samples(self) -> dict[str, object]:
        """All of it, for JSON."""
        return {
            "rates": {name: [asdict(each) for each in samples] for name, samples in self.rates.items()},
            "failover": [asdict(each) for samples in self.failovers.values() for each in samples],
            "reports": [asdict(each) for each in self.reports],
        }

    def _note(self, name: str, sample: _deciding.Rate | _deciding.Idle | _failover.Sample) -> None:
        print(f"  {name}: {sample}", file=sys.stderr, flush=True)
        if sample.problem:
            self.problems[name] = sample.problem


def sections(plan: argparse.Namespace, found: Found) -> list[str]:
    """The tables, each under what it shows."""
    shape = f"{plan.rounds} rounds of {plan.seconds:g} s each, median."
    parts = []
    if found.rates:
        rows = [rate_row(name, samples) for name, samples in found.rates.items()]
        parts += [_about_rates(shape), _report.table(RATE_HEAD, rows)]
    if found.failovers:
        rows = [_failover.row(samples) for samples in found.failovers.values()]
        parts += [_about_failovers(plan.rounds), _report.table(_failover.HEAD, rows)]
    if found.reports:
        parts += [_about_reports(shape), _report.table(REPORT_HEAD, [report_row(found.reports)])]
    return parts


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
        f"A cluster in which nothing happens: {_deciding.ORIGINS} origins, {_deciding.HLS} hls nodes, and edges. Every stream is "
        f"published at one edge, owned by an origin and played at another edge, so three nodes report it each second. {shape}"
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="bench.cluster", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement but the failovers (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured (%(default)s)")
    parser.add_argument("--only", default="", metavar="PART,...", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--streams", type=int, nargs="*", default=STREAMS, help="numbers of streams on the lost origin")
    parser.add_argument("--nodes", type=int, default=NODES, help="of the large cluster (%(default)s)")
    parser.add_argument("--held", type=int, default=HELD, help="streams of the large cluster (%(default)s)")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="where the samples go (%(default)s)")
    parser.add_argument("--no-pin", dest="pin", action="store_false", help="let the system place the scheduler")
    parser.add_argument("--report", action="store_true", help="write the tables into docs/performance.md")
    return parser.parse_args()


def main() -> None:
    """Measure, print, keep; exit with 1 if a sample was worthless."""
    plan = arguments()
    logging.basicConfig(level=logging.ERROR)  # lost links are what is measured
    _load.raise_file_limit(CONNECTIONS)
    found = Found(plan)
    for number in range(plan.rounds):
        print(f"round {number + 1}/{plan.rounds}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            found.measure(Path(folder))
    about = _report.context()
    title = "Cluster: what is asked of a scheduler, and the loss of an origin"
    text = "\n\n".join((_report.listed(about), *sections(plan, found), LIMITS))
    print(f"\n{title}\n\n{text}\n")
    shape = {name: value for name, value in vars(plan).items() if name != "json"}
    _report.keep(plan.json, about, shape, {"samples": found.samples(), "problems": found.problems})
    if plan.report:
        _report.publish("cluster", title, text)
    sys.exit(_report.end(found.problems, ()))


if __name__ == "__main__":
    main()
