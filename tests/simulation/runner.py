"""Many schedules on all cores, or one of them told step by step; what came of many is a part of `docs/simulation.md`."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import pickle
import resource
import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from bench import _report
from lalmesh.runtime.marked import with_marked
from simulation.cluster import clear_away
from simulation.schedule import Outcome, run_seed
from simulation.world import Process

PAGE = Path(__file__).resolve().parents[2] / "docs" / "simulation.md"
BEGIN, END = "<!-- ran: written by `make sim ARGS=--report` -->\n", "<!-- /ran -->"
HEAD = ("kind", "schedules", "units played", "failed")
BATCH = 40  #: schedules that a process runs: what they leave behind, 1 MB each, goes with it, which is cheaper than to collect it
MAX_SHOWN = 10  #: failing schedules that are printed


@dataclass(slots=True)
class Ran:
    """What came of many schedules."""

    schedules: Counter[str] = field(default_factory=Counter)  #: by kind
    units: Counter[str] = field(default_factory=Counter)  #: that players have had, by kind
    failed: list[Outcome] = field(default_factory=list)
    processor_s: float = 0.0  #: of all of them together

    def add(self, more: Ran) -> None:
        """Count these, too."""
        self.schedules += more.schedules
        self.units += more.units
        self.failed += more.failed

    @property
    def cost(self) -> str:
        """What a schedule costs."""
        return f"{self.processor_s / self.schedules.total():.3f} s of processor a schedule"

    def rows(self) -> list[tuple[str, ...]]:
        """Of a table with `HEAD`."""
        failed = Counter(outcome.plan.kind for outcome in self.failed)
        rows = [(kind, str(count), str(self.units[kind]), str(failed[kind])) for kind, count in sorted(self.schedules.items())]
        return [*rows, ("all", str(self.schedules.total()), str(self.units.total()), str(failed.total()))]


def run_batch(seeds: Sequence[int]) -> Ran:
    """Run some, one after the other, in a fork of this process.

    Raises:
        EOFError: the fork has died; it says why.
    """
    reading, writing = os.pipe()
    if not (pid := os.fork()):
        try:
            with open(writing, "wb") as result:
                pickle.dump(_run(seeds), result)
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    os.close(writing)
    with open(reading, "rb") as result:
        ran: Ran = pickle.load(result)
    os.waitpid(pid, 0)
    return ran


def _run(seeds: Sequence[int]) -> Ran:
    logging.disable(logging.WARNING)
    gc.disable()
    ran = Ran()
    for outcome in map(run_seed, seeds):
        ran.schedules[outcome.plan.kind] += 1
        ran.units[outcome.plan.kind] += outcome.fingerprint[1]
        if outcome.problems:
            ran.failed.append(outcome)
    return ran


def seeds_of(wanted: str) -> range:
    """``2000`` are the first 2,000, ``100-200`` those from 100 to 200."""
    first, dash, last = wanted.partition("-")
    return range(int(first), int(last) + 1) if dash else range(int(first))


def run_all(seeds: range, jobs: int) -> Ran:
    """Run all, print what failed, and how long it took."""
    batches = [seeds[start : start + BATCH] for start in range(0, len(seeds), BATCH)]
    started, before_s, ran = time.monotonic(), _processor_s(), Ran()
    with ProcessPoolExecutor(jobs) as pool:
        for batch in pool.map(run_batch, batches):
            for outcome in batch.failed[: max(0, MAX_SHOWN - len(ran.failed))]:
                print(f"{outcome}\n  again: make sim SEED={outcome.plan.seed}\n", flush=True)
            ran.add(batch)
    ran.processor_s = _processor_s() - before_s
    print(f"{len(seeds)} schedules in {time.monotonic() - started:.0f} s, {ran.cost}, {len(ran.failed)} failed")
    print(_report.table(HEAD, ran.rows()))
    return ran


def _processor_s() -> float:
    """Of processes of this one that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def publish(ran: Ran, command: str) -> None:
    """Write what came of all into `PAGE`."""
    about = _report.listed({**_report.context(), "command": command, "cost": ran.cost})
    PAGE.write_text(with_marked(PAGE.read_text(), BEGIN, END, f"{about}\n\n{_report.table(HEAD, ran.rows())}\n"))


def tell(seed: int, *, verbose: bool) -> int:
    """Run one schedule; `verbose`: with everything that the nodes log. Gives whether it failed."""
    if verbose:
        logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
        logging.getLogger().handlers[0].setFormatter(_Told())
    else:
        logging.disable(logging.WARNING)
    gc.disable()
    outcome = run_seed(seed)
    clear_away()
    print(outcome)
    print(f"  {'failed' if outcome.problems else 'holds'}; fingerprint {outcome.fingerprint}")
    return bool(outcome.problems)


class _Told(logging.Formatter):
    """Log lines with the time of the world and the process that they are of."""

    def format(self, record: logging.LogRecord) -> str:
        process = asyncio._get_running_loop()
        where = f"{process.world.now:7.3f} {process.name:12}" if isinstance(process, Process) else " " * 20
        told = [f"{where} {record.name.rpartition('.')[2]}: {record.getMessage()}"]
        told += [
            f"{name}={value}" for name in ("stream_key", "reason", "peer") if (value := getattr(record, name, None)) is not None
        ]
        text = " ".join(told)
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="simulation")
    parser.add_argument("--seeds", default="2000", help="how many schedules, or FIRST-LAST")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--report", action="store_true", help=f"write what came of many into {PAGE.name}")
    parser.add_argument("-v", "--verbose", action="store_true", help="tell what happens")
    options = parser.parse_args()
    if options.seed is not None:
        sys.exit(tell(options.seed, verbose=options.verbose))
    ran = run_all(seeds_of(options.seeds), options.jobs)
    if options.report:
        publish(ran, f"make sim SEEDS={options.seeds} ARGS=--report")
    sys.exit(bool(ran.failed))
