"""Many schedules on all cores, or one of them told step by step."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import pickle
import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from simulation.cluster import clear_away
from simulation.schedule import Outcome, run_seed
from simulation.world import Process

BATCH = 40  #: schedules that a process runs: what they leave behind, 1 MB each, goes with it, which is cheaper than to collect it
MAX_SHOWN = 10  #: failing schedules that are printed


def run_batch(seeds: Sequence[int]) -> list[Outcome]:
    """Run some, one after the other, in a fork of this process; gives those that failed.

    Raises:
        EOFError: the fork has died; it says why.
    """
    reading, writing = os.pipe()
    if not (pid := os.fork()):
        try:
            with open(writing, "wb") as result:
                pickle.dump(_failed_of(seeds), result)
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    os.close(writing)
    with open(reading, "rb") as result:
        failed: list[Outcome] = pickle.load(result)
    os.waitpid(pid, 0)
    return failed


def _failed_of(seeds: Sequence[int]) -> list[Outcome]:
    logging.disable(logging.WARNING)
    gc.disable()
    return [outcome for seed in seeds if (outcome := run_seed(seed)).problems]


def seeds_of(wanted: str) -> range:
    """``2000`` are the first 2,000, ``100-200`` those from 100 to 200."""
    first, dash, last = wanted.partition("-")
    return range(int(first), int(last) + 1) if dash else range(int(first))


def run_all(seeds: range, jobs: int) -> int:
    """Run all, print what failed, and how long it took; gives how many failed."""
    batches = [seeds[start : start + BATCH] for start in range(0, len(seeds), BATCH)]
    started, failed, kinds = time.monotonic(), 0, Counter[str]()
    with ProcessPoolExecutor(jobs) as pool:
        for outcomes in pool.map(run_batch, batches):
            for outcome in outcomes:
                failed += 1
                kinds[outcome.plan.kind] += 1
                if failed <= MAX_SHOWN:
                    print(f"{outcome}\n  again: make sim SEED={outcome.plan.seed}\n", flush=True)
    took_s = time.monotonic() - started
    print(f"{len(seeds)} schedules in {took_s:.0f} s, {failed} failed {dict(kinds) if kinds else ''}")
    return failed


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
    parser.add_argument("-v", "--verbose", action="store_true", help="tell what happens")
    options = parser.parse_args()
    if options.seed is not None:
        sys.exit(tell(options.seed, verbose=options.verbose))
    sys.exit(run_all(seeds_of(options.seeds), options.jobs) > 0)
