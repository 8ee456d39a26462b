"""All relays of an edge: begun, ended, and told of, as the scheduler has them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

from lalmesh.runtime.scheduling import RelayJob, RelayJobs, RelayStatus
from services.edge.metrics import EdgeMetrics
from services.edge.player import EdgeContext
from services.edge.relaying._edge import RelayingEdge, RelayingSettings
from services.edge.relaying._runner import Runner


class Relaying:
    """The relays."""

    def __init__(self, edge: RelayingEdge) -> None:
        """Begin with none."""
        self._edge = edge
        self._runners: dict[str, Runner] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def __iter__(self) -> Iterator[Runner]:
        """Every one."""
        return iter(list(self._runners.values()))

    def __len__(self) -> int:
        """How many there are."""
        return len(self._runners)

    @property
    def statuses(self) -> tuple[RelayStatus, ...]:
        """What each does now."""
        return tuple(runner.status for runner in self._runners.values())

    def follow(self, jobs: RelayJobs) -> None:
        """Run these, and nothing else. Those that run already go on."""
        if self._is_closed:
            return
        wanted = {job.id: job for job in jobs.jobs}
        for runner in self:
            job = wanted.get(runner.job.id)
            if job is None:
                runner.tell_end("it is not wanted here any more")
            if job is None or not _is_same(job, runner.job):
                self._end(runner)
        for job in wanted.values():
            known = self._runners.get(job.id)
            if known is None:
                self._runners[job.id] = Runner(job, self._edge)
            else:
                known.job = job

    def _end(self, runner: Runner) -> None:
        del self._runners[runner.job.id]
        runner.task.cancel()
        self._ending.add(runner.task)
        runner.task.add_done_callback(self._ending.discard)

    async def close(self, deadline_s: float) -> None:
        """End all, within `deadline_s`."""
        self._is_closed = True
        for runner in self:
            self._end(runner)
        if self._ending:
            await asyncio.wait(self._ending, timeout=deadline_s)


def _is_same(job: RelayJob, known: RelayJob) -> bool:
    """Whether a relay goes on as it is: what is known of where it goes holds from its next dial on."""
    return replace(job, via=()) == replace(known, via=())


def build_relaying(context: EdgeContext, metrics: EdgeMetrics, settings: RelayingSettings) -> Relaying:
    """The relays of the edge with `context`."""
    edge = RelayingEdge(
        publishers=context.publishers,
        relays=context.relays,
        sessions=context.sessions,
        events=context.events,
        metrics=metrics,
        body_muxer=context.body_muxer,
        settings=settings,
    )
    return Relaying(edge)
