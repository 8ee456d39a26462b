"""The scheduler: what the nodes ask, answered from the registry.

It is a `SchedulerClient`: where all roles share a process they call it directly, and gRPC is one face of it (`rpc.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

from prometheus_client import Counter

from lalmesh.errors import ServiceError, Unavailable
from lalmesh.runtime.ownership import Grant, Location, NodeAddress
from lalmesh.runtime.registry import Registry
from lalmesh.runtime.scheduling import Membership
from lalmesh.runtime.scheduling.model import (
    MAX_LOCATE_S,
    Claim,
    GroupMoved,
    Move,
    NodeCommand,
    NodeReport,
    Refused,
    Released,
    Role,
    StreamFenced,
    Wanted,
)
from services.scheduler.attendance import Attendance
from services.scheduler.claims import RETRY_AFTER_S, is_outdated
from services.scheduler.directory import Change, ClaimChanged, Directory, GroupChanged, NodeChanged
from services.scheduler.locator import Locator
from services.scheduler.members import Members
from services.scheduler.metrics import SchedulerMetrics
from services.scheduler.ownership import Ownership
from services.scheduler.records import ClaimRecord, GroupRecord, NodeRecord
from services.scheduler.registrar import Registrar
from services.scheduler.view import View

log = logging.getLogger(__name__)

PARALLEL = 32  #: transactions of one request that are under way together: a full list is done in about 30 rounds

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class SchedulerService:
    """One replica of the scheduler."""

    def __init__(
        self,
        registry: Registry,
        keys: Sequence[bytes],
        *,
        lease_s: int = 10,
        rejoin_s: float = 1.0,
        silence_s: float = 2.0,
        metrics: SchedulerMetrics | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Build it; nothing runs before `start`.

        Args:
            registry: what all replicas share. It stays the caller's to close.
            keys: cluster keys; the first one signs grants.
            lease_s: seconds that a node, its claims and its groups live without being renewed.
            rejoin_s: seconds after which the claims of a node that is away may be taken over.
            silence_s: seconds without a report that end a membership stream.
            metrics: where to count; its own by default.
            clock: seconds, never stepping.
            wall_clock: Unix seconds, for the term.
        """
        if not keys:
            raise ValueError("a scheduler needs at least one cluster key")
        self._silence_s = silence_s
        self._tasks: asyncio.TaskGroup | None = None
        self._runner: asyncio.Task[None] | None = None
        self.directory = Directory(rejoin_s=rejoin_s)
        self.members = Members()
        self.metrics = metrics or SchedulerMetrics()
        self.metrics.watch(self._node_states, lambda: len(self.directory.streams()))
        self._view = View(registry, self.directory, clock=clock, wall_clock=wall_clock, tell=self._tell)
        self._ownership = Ownership(registry, self._view, keys[0])
        self._locator = Locator(self._view)
        registrar = Registrar(registry, lease_s=lease_s, clock=clock, learn=self._view.learn)
        self._attendance = Attendance(
            registrar,
            self._view,
            self.members,
            self.metrics,
            silence_s=silence_s,
            lease_s=lease_s,
            spawn=self._spawn,
        )

    # Life ------------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to follow the registry. It does not wait for it: see `ready`."""
        begun = asyncio.Event()
        self._runner = asyncio.create_task(self._run(begun), name="scheduler")
        await begun.wait()

    async def stop(self) -> None:
        """End every membership stream and all tasks."""
        self._tasks = None
        self._attendance.dismiss()
        if self._runner is not None:
            self._runner.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._runner

    async def ready(self) -> None:
        """Wait until the term is known and the registry was listed once."""
        await self._view.ready.wait()

    @property
    def is_ready(self) -> bool:
        """Whether it was ready once, and runs."""
        return self._view.ready.is_set() and self.is_running

    @property
    def is_running(self) -> bool:
        """Whether it follows the registry."""
        return self._runner is not None and not self._runner.done()

    async def _run(self, begun: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            begun.set()
            await self._view.follow()

    def _spawn(self, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Run `work` until it ends or the service stops."""
        if self._tasks is None:
            raise Unavailable("the scheduler is stopping", retry_after_s=RETRY_AFTER_S)
        return self._tasks.create_task(_guarded(work))

    # What nodes ask --------------------------------------------------------------------------------------------------

    async def claim(self, edge: NodeAddress, claims: Sequence[Claim], deadline_s: float) -> list[Grant | Refused]:
        """See `SchedulerClient.claim`."""
        end = _end(deadline_s)

        async def answer(asked: Claim) -> Grant | Refused:
            with self.metrics.claim_seconds.time():
                return await self._ownership.claim(asked, edge.node, end)

        return _counted(self.metrics.claims, await _each(claims, answer))

    async def move(self, edge: NodeAddress, moves: Sequence[Move], deadline_s: float) -> list[Grant | Refused]:
        """See `SchedulerClient.move`."""
        end = _end(deadline_s)
        results = await _each(moves, lambda asked: self._ownership.move(asked, edge.node, end))
        return _counted(self.metrics.moves, results)

    async def locate(self, wanted: Sequence[Wanted], deadline_s: float) -> list[Location | Refused]:
        """See `SchedulerClient.locate`."""
        wait_s = min(deadline_s, MAX_LOCATE_S)
        known = [self._locator.known(each) for each in wanted]
        missing = [each for each, location in zip(wanted, known, strict=True) if location is None]
        found = iter(await _each(missing, lambda each: self._locator.wait_for(each, wait_s), parallel=len(missing)))
        return _counted(self.metrics.locates, [location or next(found) for location in known])

    async def release(
        self, node: NodeAddress, *, claims: Sequence[Released] = (), groups: Sequence[Released] = (), deadline_s: float
    ) -> list[bool]:
        """See `SchedulerClient.release`."""
        end = _end(deadline_s)
        results = await _each(claims, lambda each: self._ownership.release_claim(each, node.node, end))
        results += await _each(groups, lambda each: self._ownership.release_group(each, node.node, end))
        released: list[bool] = []
        for result in results:
            if isinstance(result, Unavailable):
                raise result
            self.metrics.releases.labels("released" if result else "not_held").inc()
            released.append(result)
        return released

    def join(self, reports: AsyncIterator[NodeReport]) -> AsyncGenerator[NodeCommand, None]:
        """See `SchedulerClient.join`."""
        return self._attendance.join(reports)

    def join_direct(
        self, report: Callable[[], NodeReport], command: Callable[[NodeCommand], None], *, interval_s: float = 1.0
    ) -> Membership:
        """The membership of a node in this process; the caller runs it (`Membership.run`)."""
        return Membership(self.join, report, command, interval_s=interval_s, silence_s=self._silence_s)

    # What nodes are told ---------------------------------------------------------------------------------------------

    def _tell(self, change: Change) -> None:
        """Tell those whom a change of the view is for."""
        match change:
            case GroupChanged(_, now) if now is not None:
                self._tell_moved(now)
            case ClaimChanged(before, now) if now is not None:
                self._tell_fenced(before, now)
            case NodeChanged(_, now) if now is not None:
                self._tell_evicted(now)
            case _:
                pass  # what is gone may come back: nobody lets go for that

    def _tell_moved(self, now: GroupRecord) -> None:
        self._locator.wake(now.stream)
        for session in self.members.holders(now.stream):
            session.send(GroupMoved(now.location))

    def _tell_fenced(self, before: ClaimRecord | None, now: ClaimRecord) -> None:
        """Tell the edge that had the claim, and any that says it writes under an earlier epoch, to let go."""
        outdated = [
            session
            for session in self.members.holders(now.stream)
            if session.report.role is Role.EDGE and is_outdated(session.held[now.stream], now)
        ]
        holder = self.members.of(before.edge.node) if before is not None else None
        if holder is not None and holder not in outdated:
            outdated.append(holder)
        for session in outdated:
            if session.node != now.edge.node:
                session.send(StreamFenced(now.stream, now.epoch))

    def _tell_evicted(self, now: NodeRecord) -> None:
        session = self.members.named(now.node.name)
        if session is not None and session.node != now.node:
            self._attendance.evict(session, f"another incarnation of {now.node.name} has joined")

    def _node_states(self) -> list[tuple[str, str]]:
        return [(record.role.value, self.directory.state_of(record)) for record in self.directory.nodes()]


async def _guarded(work: Callable[[], Awaitable[None]]) -> None:
    """What goes wrong with one node is logged and stays with it."""
    try:
        await work()
    except ServiceError as exc:
        log.warning("%s", exc)
    except Exception:
        log.exception("a task of the scheduler failed")


def _end(deadline_s: float) -> float:
    return asyncio.get_running_loop().time() + deadline_s


async def _each(items: Sequence[_Item], work: Callable[[_Item], Awaitable[_Result]], *, parallel: int = PARALLEL) -> list[_Result]:
    """Do `work` for every item, `parallel` at a time; results in order."""
    if len(items) <= 1:
        return [await work(item) for item in items]
    limit = asyncio.Semaphore(parallel)

    async def limited(item: _Item) -> _Result:
        async with limit:
            return await work(item)

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(limited(item)) for item in items]
    return [task.result() for task in running]


def _counted(counter: Counter, results: list[_Result | Refused]) -> list[_Result | Refused]:
    for result in results:
        counter.labels(result.refusal.value if isinstance(result, Refused) else "granted").inc()
    return results
