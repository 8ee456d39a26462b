"""One schedule, from its seed to what came of it."""

from __future__ import annotations

import logging
import random
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from simulation.agreement import disagreements, disturbances, losses, segment_losses
from simulation.cluster import Cluster, determined
from simulation.draws import HEALED_S
from simulation.faults import Cut, Fault, Killed
from simulation.invariants import Breach
from simulation.network import DEAD_S, Weather
from simulation.plans import Plan, plan_of
from simulation.world import World

log = logging.getLogger(__name__)

END_S = 30.0  #: the schedule is over
SLICE_S = 1.0  #: between two looks for a breach
WORST_GAP_S = 1.0  #: at a player, where the origin's process dies or its groups are moved
WORST_SILENT_GAP_S = DEAD_S + 1.0 + 0.3  #: where its machine vanishes or is cut off; a unit comes only every 200 ms
WORST_SUCCESSION_S = 1.0 + 1.0  #: between two segmenters: one that dies has `rejoin_s` to come back in


@dataclass(slots=True, frozen=True)
class Outcome:
    """What came of a schedule."""

    plan: Plan
    problems: tuple[str, ...]
    fingerprint: tuple[int, int, int]  #: the same for every run of the same seed and code: steps, units played, chance at the end

    def __str__(self) -> str:
        lines = [str(self.plan), *(f"  * {problem}" for problem in self.problems)]
        return "\n".join(lines)


def run_seed(seed: int) -> Outcome:
    """Run the schedule of a seed."""
    return run_plan(plan_of(seed))


def run_plan(plan: Plan) -> Outcome:
    """Run a schedule."""
    with determined(plan.seed):
        cluster = Cluster(
            Weather(),
            streams=plan.streams,
            take_over=plan.take_over,
            rivals=plan.rivals,
            hls=plan.hls,
            skew=plan.skew,
            wall_skew_s=plan.wall_skew_s,
        )
        cluster.start()
        for fault in plan.faults:
            _arrange(cluster, fault)
        if plan.take_over:  # two that take the stream from each other would never come to rest
            for rival in cluster.encoders[1::2] if plan.rivals else ():
                cluster.world.at(HEALED_S, cluster.network.ether, rival.retire)
        with _caught(cluster.world):
            problems = _run(cluster, plan)
        cluster.world.end()
        units = sum(recorder.seen.units for edge in cluster.edges for recorder in edge.players.values())
        return Outcome(plan, tuple(problems), (cluster.world.steps, units, random.getrandbits(32)))


class _Caught(logging.Handler):
    """What services caught and logged with its traceback: they go on after a bug of ours, a schedule must not."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.ERROR)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error.__context__, GeneratorExit):  # else: of a process that was killed
            self._world.failures.append(f"at {self._world.now:.3f} s: {record.getMessage()}: {error!r}")


@contextmanager
def _caught(world: World) -> Iterator[None]:
    handler = _Caught(world)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


def _arrange(cluster: Cluster, fault: Fault) -> None:
    """Have a fault begin and end in time."""
    world, ether = cluster.world, cluster.network.ether

    def begin() -> None:
        end = fault.begin(cluster)
        if end is not None:
            world.at(min(HEALED_S, fault.at_s + fault.for_s), ether, end)

    world.at(fault.at_s, ether, begin)


def _run(cluster: Cluster, plan: Plan) -> list[str]:
    world = cluster.world
    try:
        while world.now < END_S and cluster.watcher.breach is None:
            world.run(world.now + SLICE_S)
    except Breach:
        pass
    except Exception as error:  # what is called by the loop itself, not within a task
        log.exception("a process failed")
        where = traceback.extract_tb(error.__traceback__)[-1]
        return [f"at {world.now:.3f} s: {error!r} in {where.filename}:{where.lineno}"]
    if cluster.watcher.breach is not None:
        return [str(cluster.watcher.breach)]
    problems = list(world.failures) + disagreements(cluster)
    if plan.lossless:
        problems += losses(cluster) + _gaps(cluster, plan)
    elif plan.whole:
        problems += segment_losses(cluster) + _segment_gaps(cluster, WORST_SUCCESSION_S)
    if plan.undisturbed:
        problems += disturbances(cluster)
    return problems


def _gaps(cluster: Cluster, plan: Plan) -> list[str]:
    silent = any(isinstance(fault, Cut) or (isinstance(fault, Killed) and fault.silently) for fault in plan.faults)
    worst_s = WORST_SILENT_GAP_S if silent else WORST_GAP_S
    return [
        f"{stream} stood still for {recorder.seen.longest_gap_s:.2f} s at {edge.name}"
        for edge in cluster.edges
        for stream, recorder in edge.players.items()
        if recorder.seen.longest_gap_s > worst_s
    ] + _segment_gaps(cluster, worst_s)


def _segment_gaps(cluster: Cluster, worst_s: float) -> list[str]:
    return [
        f"{stream} stood still for {whole.longest_gap_s:.2f} s at its segmenters"
        for stream, whole in cluster.watcher.segmented.items()
        if whole.longest_gap_s > worst_s
    ]
