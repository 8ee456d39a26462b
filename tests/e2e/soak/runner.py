"""From the start to the end: warm up, rest, go on for as long as is asked for, rest again; then the verdict."""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from e2e.soak import comers, page, troubles
from e2e.soak.crowd import Crowd, busy_percent, crowd
from e2e.soak.encoders import Film
from e2e.soak.run import Films, Pace, Part, Run, going_on
from e2e.soak.samples import Sampler, sums
from e2e.soak.verdict import AFTER_SECONDS, AT_REST, Grown, Rest, grown, left_over, not_zero, unjudged, untold
from e2e.soak.world import World

from bench import _load

PARTS: tuple[Part, ...] = (
    *(comers.renames, comers.changes, comers.programs, comers.datagrams),
    *(troubles.slow_players, troubles.wrong_clients, troubles.kicks, troubles.blacklist, troubles.relays, troubles.recordings),
    *(troubles.encoder_kills, troubles.origin_kills, troubles.failing_hooks, troubles.low_latency, troubles.compactions),
)
LOOK_AGAIN_S = 1.0  #: while it comes to rest
BUSY_POINTS = 5.0  #: percent of the machine that it may be less busy than it was to be
FILES = 8192  #: descriptors of this process
#: counters that stay at 0: what a well-behaved client or receiver of webhooks would have lost
NEVER = (
    "edge_unannounced_units_total",
    "edge_cache_overflows_total",
    "scheduler_webhook_lost_total",
    "scheduler_webhook_dead_letters_total",
    "scheduler_event_log_dropped_total",
    "lalmesh_events_dropped_total",
    "hls_storage_failures_total",
    "hls_lost_segments_total",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, and how much."""

    warm_s: float
    main_s: float
    rest_s: float  #: for all to be at rest, at most
    sample_s: float
    deep_s: float  #: between two counts of objects
    load_percent: float  #: of the machine; 0: no crowd
    pace: Pace
    seed: int = 1
    slack: float = 1.0  #: see `grown`
    waits_not_for: tuple[str, ...] = ()  #: counts and types that are what they have to be only after the rest
    remembered: tuple[str, ...] = ()  #: counts that the rest after warming up does not wait for either
    has_no_slope: tuple[str, ...] = ()  #: values that are what chance has them be in so short a time
    at_rest: Mapping[str, float] = field(default_factory=lambda: AT_REST)  #: what there may be more of than before


SHORT = Plan(
    warm_s=8.0,
    main_s=60.0,
    rest_s=75.0,  # owners of segments are remembered for a minute
    sample_s=1.0,
    deep_s=3.0,
    load_percent=0.0,
    slack=5.0,  # in half a minute it shows how many are there just then; what they leave behind shows at rest
    waits_not_for=("etcd_keys", "redis_keys", "lalmesh.media.TrackSet"),  # events of a shard begin with its first
    remembered=("etcd_hls",),
    has_no_slope=("connections",),  # of players, who stay for up to 20 s of the 30 s; at rest there may be none
    at_rest=AFTER_SECONDS,
    pace=Pace(
        rename_s=0.8, change_s=5.0, program_s=12.0, programs=1, visit_s=1.5, stay_s=20.0, slow_s=5.0, wrong_s=0.7, kick_s=6.0,
        block_s=8.0, relay_s=6.0, record_s=10.0, parts_s=9.0, kill_encoder_s=8.0, kill_origin_s=12.0, compact_s=10.0,
        hooks_s=8.0, hooks_fail_s=2.0,
    ),
)  # fmt: skip


@dataclass
class Outcome:
    """All that came of it."""

    plan: Plan
    seconds: float = 0.0
    busy_percent: float = 0.0
    crowd: int = 0
    done: Counter[str] = field(default_factory=Counter)
    units: int = 0
    longest_still_s: float = 0.0  #: that a player which does nothing wrong stood still
    faults: list[str] = field(default_factory=list)
    fault_count: int = 0
    grown: list[Grown] = field(default_factory=list)
    before: Rest = field(default_factory=Rest)  #: when all had left after warming up
    after: Rest = field(default_factory=Rest)
    sampler: Sampler | None = None

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong."""
        return not self.fault_count


async def soak(world: World, plan: Plan, file: Path) -> Outcome:
    """Do it, with the samples in `file`."""
    films = Films(*(Film(name) for name in ("unique_av", "unique_av_rival", "unique_av_opus", "unique_hevc", "unique_sound")))
    run = Run(world, films, plan.pace, random.Random(plan.seed))
    sampler = world.sampler(file)
    try:
        return await _soak(run, plan, sampler)
    finally:
        await sampler.close()


async def _soak(run: Run, plan: Plan, sampler: Sampler) -> Outcome:
    outcome = Outcome(plan, sampler=sampler)
    async with going_on(run, list(PARTS)):
        await asyncio.sleep(plan.warm_s)
    await comers.reach_origins(run)
    outcome.before = before = await _rest(run, plan, sampler)
    _say(f"at rest after {plan.warm_s:.0f} s of warming up")
    sampler.series.points.clear()
    begun_s, done_before = time.monotonic(), run.done.copy()
    async with crowd(run, plan.main_s + 2 * plan.rest_s + 3600) as players, going_on(run, list(PARTS)), sampling(sampler, plan):
        if plan.load_percent:
            await _fill(players, plan)
        middle_s = begun_s + plan.main_s / 2
        await _go_on(run, middle_s - time.monotonic(), then_s=plan.main_s / 2)
        busy = asyncio.create_task(busy_percent(plan.main_s / 2))  # of the half that is judged
        await _go_on(run, middle_s + plan.main_s / 2 - time.monotonic())
        outcome.busy_percent = await busy
        outcome.crowd = players.players
    outcome.seconds = time.monotonic() - begun_s
    outcome.grown = grown(sampler.series, plan.slack, plan.has_no_slope)
    outcome.after = after = await _rest(run, plan, sampler, before)
    for fault in (
        *_unseen(sampler),
        *untold(after.values),
        *not_zero(after.values, plan.waits_not_for),
        *left_over(before, after, plan.waits_not_for, plan.at_rest),
        *await _lost(run),
    ):
        run.fault(f"at rest: {fault}")
    for what in sorted(run.expected):
        if run.done[what] == done_before[what]:
            run.fault(f"{what}: never")
    if plan.load_percent and outcome.busy_percent < plan.load_percent - BUSY_POINTS:
        run.fault(f"the machine was {outcome.busy_percent:.0f}% busy, and was to be {plan.load_percent:.0f}%")
    lasting = [node.name for node in run.world.nodes if node is not run.world.victim]
    for what in unjudged(outcome.grown, lasting, plan.has_no_slope):
        run.fault(f"{what} was not seen often enough")
    for each in outcome.grown:
        if each.is_leak:
            run.fault(f"{each.process}: {each.what} grows by {each.slope.growth:g} in {each.slope.window_s:.0f} s")
    outcome.done, outcome.units, outcome.longest_still_s = run.done, run.units, run.longest_still_s
    outcome.faults, outcome.fault_count = run.faults, run.fault_count
    return outcome


async def _fill(players: Crowd, plan: Plan) -> None:
    """Have the crowd come once visitors leave as fast as they come: before that the machine is less busy than it will be."""
    await asyncio.sleep(min(plan.pace.stay_s, plan.main_s / 4))  # in a short run, so that the crowd is there before the middle
    await players.grow(plan.load_percent)
    _say(f"{players.players} players that only take make the machine {players.busy_percent:.0f}% busy")


async def _go_on(run: Run, seconds: float, *, then_s: float = 0.0) -> None:
    """Until then; now and then it is said how it goes, and how much is left, with what comes after it."""
    end_s = time.monotonic() + seconds
    while (left_s := end_s - time.monotonic()) > 0:
        await asyncio.sleep(min(left_s, 60.0))
        _say(f"{left_s + then_s:.0f} s left: {run.units} units, {run.done['names']} names, {run.fault_count} faults")


@asynccontextmanager
async def sampling(sampler: Sampler, plan: Plan) -> AsyncIterator[None]:
    """Look again and again inside the block."""

    async def look() -> None:
        deep_at_s = 0.0
        while True:
            now_s = time.monotonic()
            deep = now_s >= deep_at_s
            deep_at_s = now_s + plan.deep_s if deep else deep_at_s
            await sampler.look(deep=deep)
            await asyncio.sleep(max(0.0, now_s + plan.sample_s - time.monotonic()))

    task = asyncio.create_task(look())
    try:
        yield
    finally:
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
    if isinstance(ended, Exception):
        raise ended


async def _rest(run: Run, plan: Plan, sampler: Sampler, before: Rest | None = None) -> Rest:
    """Wait until all counts are 0, and nothing is left that was not there `before`; how it is then, or after the longest wait."""
    end_s = time.monotonic() + plan.rest_s
    not_for = plan.waits_not_for if before else (*plan.waits_not_for, *plan.remembered)
    while True:
        await sampler.look(deep=False)
        is_late = time.monotonic() >= end_s
        if is_late or not (sampler.unseen or not_zero(sampler.newest, not_for)):
            await sampler.look(deep=True)
            rest = Rest.of(sampler, {node.name: node.pid for node in run.world.nodes})
            if is_late or before is None or not left_over(before, rest, plan.waits_not_for, plan.at_rest):
                return rest
        await asyncio.sleep(LOOK_AGAIN_S)


def _unseen(sampler: Sampler) -> list[str]:
    return [f"{name} cannot be looked at" for name in sampler.unseen]


async def _lost(run: Run) -> list[str]:
    """Counters that should have stayed at 0."""
    told = {node.name: sums(await asyncio.to_thread(node.metrics)) for node in run.world.nodes}
    found = untold(told, NEVER)
    found += [f"{name}: {what} is {value:g}" for name, seen in told.items() for what in NEVER if (value := seen.get(what))]
    return [*found, *(f"a webhook was wrong: {wrong}" for wrong in run.world.sink.wrong[:5])]


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def main() -> None:
    """Run; ends with 1 where something is wrong, and keeps the logs then."""
    parser = argparse.ArgumentParser(prog="make soak ARGS=...", description=__doc__)
    parser.add_argument("--minutes", type=float, default=120.0, help="how long")
    parser.add_argument("--load-percent", type=float, default=60.0, help="how busy the machine is to be; 0: no crowd")
    parser.add_argument("--slower", type=float, default=1.0, help="how many times as long it takes until something happens")
    parser.add_argument("--seed", type=int, default=1, help="of all that is drawn")
    parser.add_argument("--short", action="store_true", help="as make test has it")
    parser.add_argument("--report", action="store_true", help="write docs/soak.md")
    given = parser.parse_args()
    seconds = given.minutes * 60
    plan = Plan(min(120.0, seconds / 6), seconds, 90.0, 5.0, 30.0, given.load_percent, Pace().slower(given.slower), given.seed)
    plan = replace(SHORT, seed=given.seed) if given.short else plan
    _load.raise_file_limit(FILES)
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    with World(folder) as world:
        outcome = asyncio.run(soak(world, plan, folder / "samples.jsonl"))
    print(page.told(outcome))
    if given.report:
        page.write(outcome)
    if not outcome.is_well:
        sys.exit(f"there were faults; logs and samples are in {folder}")
    shutil.rmtree(folder)
