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
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Grant, HlsOwner, Location, NodeAddress
from lalmesh.runtime.recording import RecordRule
from lalmesh.runtime.registry import Registry
from lalmesh.runtime.scheduling import Membership
from lalmesh.runtime.scheduling.hls import HlsLimit, HlsReleased, HlsWanted
from lalmesh.runtime.scheduling.model import MAX_LOCATE_S, Claim, Move, NodeCommand, NodeReport, Refused, Released, Wanted
from lalmesh.runtime.sessions import SessionDirectory, SessionTouch
from services.scheduler.attendance import Attendance
from services.scheduler.changes import Change, GroupChanged
from services.scheduler.claims import RETRY_AFTER_S
from services.scheduler.directory import Directory
from services.scheduler.locator import Locator
from services.scheduler.members import Members
from services.scheduler.metrics import SchedulerMetrics
from services.scheduler.names import StreamNames
from services.scheduler.notices import Notices
from services.scheduler.ownership import Ownership
from services.scheduler.parallel import for_each
from services.scheduler.recordings import Recordings
from services.scheduler.registrar import Registrar
from services.scheduler.segmenting import Segmenting
from services.scheduler.sessions import MemorySessions
from services.scheduler.successions import Successions
from services.scheduler.view import View

log = logging.getLogger(__name__)

HLS_REMEMBER_S = 86_400  #: a stream that comes back the day after goes on counting
COUNT_TIMEOUT_S = 1.0  #: for the players of one page of streams; the page goes without them after that

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
        hls_always: bool = False,
        hls_remember_s: int = HLS_REMEMBER_S,
        recording: Sequence[RecordRule] = (),
        sessions: SessionDirectory | None = None,
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
            hls_always: give every claimed stream to an hls node, asked for or not.
            hls_remember_s: seconds that the numbers of a stream are kept which nobody segments.
            recording: rules of the configuration.
            sessions: who watches without a connection; it stays the caller's to close. In memory by default.
            metrics: where to count; its own by default.
            clock: seconds, never stepping.
            wall_clock: Unix seconds, for the term.
        """
        if not keys:
            raise ValueError("a scheduler needs at least one cluster key")
        self._silence_s = silence_s
        self._tasks: asyncio.TaskGroup | None = None
        self._runner: asyncio.Task[None] | None = None
        self.directory = Directory(rejoin_s=rejoin_s, recording=recording)
        self.members = Members()
        self.metrics = metrics or SchedulerMetrics()
        self.metrics.watch(self._node_states, lambda: len(self.directory.streams()), lambda: len(self.directory.hls))
        self._view = View(registry, self.directory, clock=clock, wall_clock=wall_clock, tell=self._tell)
        self._ownership = Ownership(registry, self._view, keys[0])
        self.recordings = Recordings(registry, self._view, wall_clock=wall_clock)
        self._locator = Locator(self._view)
        self._names = StreamNames(self.directory)
        self._segmenting = Segmenting(registry, self._view, keys[0], remember_s=hls_remember_s)
        self._successions = Successions(self._view, self._segmenting, self.metrics, always=hls_always)
        self._sessions = sessions or MemorySessions(wall_clock=wall_clock)
        registrar = Registrar(registry, lease_s=lease_s, clock=clock, learn=self._view.learn)
        self._attendance = Attendance(
            registrar,
            self._view,
            self.members,
            self.metrics,
            silence_s=silence_s,
            lease_s=lease_s,
            spawn=self._spawn,
            tell_missed=lambda session: self._notices.tell_missed(session),
        )
        self._notices = Notices(self.directory, self.members, evict=self._attendance.evict, signed=self._segmenting.signed)

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
            tasks.create_task(self._successions.run())
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

        return _counted(self.metrics.claims, await for_each(claims, answer))

    async def move(self, edge: NodeAddress, moves: Sequence[Move], deadline_s: float) -> list[Grant | Refused]:
        """See `SchedulerClient.move`."""
        end = _end(deadline_s)
        results = await for_each(moves, lambda asked: self._ownership.move(asked, edge.node, end))
        return _counted(self.metrics.moves, results)

    async def locate(self, wanted: Sequence[Wanted], deadline_s: float) -> list[Location | Refused]:
        """See `SchedulerClient.locate`."""
        wait_s = min(deadline_s, MAX_LOCATE_S)
        known = [self._locator.known(each) for each in wanted]
        missing = [each for each, location in zip(wanted, known, strict=True) if location is None]
        found = iter(await for_each(missing, lambda each: self._locator.wait_for(each, wait_s), parallel=len(missing)))
        return _counted(self.metrics.locates, [location or next(found) for location in known])

    async def release(
        self, node: NodeAddress, *, claims: Sequence[Released] = (), groups: Sequence[Released] = (), deadline_s: float
    ) -> list[bool]:
        """See `SchedulerClient.release`."""
        end = _end(deadline_s)
        results = await for_each(claims, lambda each: self._ownership.release_claim(each, node.node, end))
        results += await for_each(groups, lambda each: self._ownership.release_group(each, node.node, end))
        return _known(self.metrics.releases, "released", results)

    async def locate_hls(self, node: NodeAddress, wanted: Sequence[HlsWanted], deadline_s: float) -> list[HlsOwner | Refused]:
        """See `HlsSchedulerClient.locate_hls`."""
        end = _end(deadline_s)
        return _counted(self.metrics.hls_locates, await for_each(wanted, lambda each: self._segmenting.locate(each, end)))

    async def raise_hls_limit(self, node: NodeAddress, limits: Sequence[HlsLimit], deadline_s: float) -> list[bool]:
        """See `HlsSchedulerClient.raise_hls_limit`."""
        end = _end(deadline_s)
        results = await for_each(limits, lambda each: self._segmenting.raise_limit(each, node, end))
        return _known(self.metrics.hls_limits, "raised", results)

    async def release_hls(self, node: NodeAddress, released: Sequence[HlsReleased], deadline_s: float) -> list[bool]:
        """See `HlsSchedulerClient.release_hls`."""
        end = _end(deadline_s)
        results = await for_each(released, lambda each: self._segmenting.release(each, node, end))
        return _known(self.metrics.hls_releases, "released", results)

    async def touch_sessions(self, node: NodeAddress, sessions: Sequence[SessionTouch], deadline_s: float) -> None:
        """See `HlsSchedulerClient.touch_sessions`."""
        try:
            async with asyncio.timeout(deadline_s):
                await self._sessions.touch(node.node.name, sessions)
        except (Unavailable, TimeoutError) as exc:
            self.metrics.session_failures.inc()
            raise Unavailable(str(exc) or "players were not counted in time", retry_after_s=RETRY_AFTER_S) from exc

    async def find_streams(self, names: Sequence[str], deadline_s: float) -> list[list[StreamKey]]:
        """See `HlsSchedulerClient.find_streams`."""
        if not self.directory.is_listed:
            raise Unavailable("the registry was not read yet", retry_after_s=RETRY_AFTER_S)
        return [self._names.find(name) for name in names]

    def join(self, reports: AsyncIterator[NodeReport]) -> AsyncGenerator[NodeCommand, None]:
        """See `SchedulerClient.join`."""
        return self._attendance.join(reports)

    def join_direct(
        self, report: Callable[[], NodeReport], command: Callable[[NodeCommand], None], *, interval_s: float = 1.0
    ) -> Membership:
        """The membership of a node in this process; the caller runs it (`Membership.run`)."""
        return Membership(self.join, report, command, interval_s=interval_s, silence_s=self._silence_s)

    # What is seen ----------------------------------------------------------------------------------------------------

    async def count_sessions(self, streams: Sequence[StreamKey]) -> list[int | None]:
        """Players of each stream in the session directory; None where that cannot be asked."""
        try:
            async with asyncio.timeout(COUNT_TIMEOUT_S):
                return [*await self._sessions.count(streams)]
        except (Unavailable, TimeoutError) as exc:
            self.metrics.session_failures.inc()
            log.warning("players of HLS are not counted: %s", exc)
            return [None] * len(streams)

    def _tell(self, change: Change) -> None:
        """Let those hear of a change of the view whom it is for."""
        if isinstance(change, GroupChanged) and change.now is not None:
            self._locator.wake(change.now.stream)
        self._names.handle(change)
        self._successions.handle(change)
        self._notices.tell(change)

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


def _known(counter: Counter, done: str, results: Sequence[bool | Unavailable]) -> list[bool]:
    """The results, counted as `done` or not held; raises the first that is not known."""
    for result in results:
        if isinstance(result, Unavailable):
            raise result
        counter.labels(done if result else "not_held").inc()
    return [result is True for result in results]


def _counted(counter: Counter, results: list[_Result | Refused]) -> list[_Result | Refused]:
    for result in results:
        counter.labels(result.refusal.value if isinstance(result, Refused) else "granted").inc()
    return results
