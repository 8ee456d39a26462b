"""The scheduler: what the nodes ask, answered from the registry.

It is a `SchedulerClient`: where all roles share a process they call it directly, and gRPC is one face of it (`rpc.py`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence

from lalmesh.errors import Unavailable
from lalmesh.runtime import telemetry
from lalmesh.runtime.node_tasks import end_with_any
from lalmesh.runtime.ownership import Grant, Location, NodeAddress
from lalmesh.runtime.recording import RecordRule
from lalmesh.runtime.registry import Registry
from lalmesh.runtime.scheduling import Membership
from lalmesh.runtime.scheduling.model import (
    MAX_LOCATE_S,
    Claim,
    Move,
    NodeCommand,
    NodeReport,
    Refused,
    Released,
    Role,
    Wanted,
)
from lalmesh.runtime.sessions import SessionDirectory
from lalmesh.runtime.telemetry import Attribute, SpanName
from services.scheduler.abandoned import Abandoned
from services.scheduler.answers import HlsAnswers, counted, end_of, known
from services.scheduler.attendance import Attendance
from services.scheduler.changes import Change, GroupChanged, NodeChanged
from services.scheduler.comparisons import Comparisons
from services.scheduler.control import Control
from services.scheduler.directory import Directory
from services.scheduler.drains import Drains
from services.scheduler.edges import usage_of
from services.scheduler.expected import Coming
from services.scheduler.inheritance import Inheritance
from services.scheduler.locator import Locator
from services.scheduler.members import Members, Session
from services.scheduler.metrics import Census, NodeCount, SchedulerMetrics
from services.scheduler.names import StreamNames
from services.scheduler.notices import Notices
from services.scheduler.ownership import Ownership
from services.scheduler.parallel import for_each, guarded
from services.scheduler.presence import Presence
from services.scheduler.recordings import Recordings
from services.scheduler.records import NodeRecord
from services.scheduler.registrar import Registrar
from services.scheduler.reminders import Reminders
from services.scheduler.replicas import Replicas
from services.scheduler.rulings import RETRY_AFTER_S
from services.scheduler.segmented import Segmented
from services.scheduler.segmenting import Segmenting
from services.scheduler.sessions import MemorySessions
from services.scheduler.settlement import Settlement
from services.scheduler.successions import Successions
from services.scheduler.unreachable import Unreachable
from services.scheduler.view import View

log = logging.getLogger(__name__)

CALM_S = 0.5  #: after the silence that makes a node away; no heir is named before
HLS_REMEMBER_S = 86_400  #: a stream that comes back the day after goes on counting


class SchedulerService(HlsAnswers):
    """One replica of the scheduler."""

    def __init__(
        self,
        registry: Registry,
        keys: Sequence[bytes],
        *,
        name: str = "",
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
            name: of this replica among others; empty: there can be no other, nor nodes that outlive it and would be waited for.
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
        directory, metrics = Directory(rejoin_s=rejoin_s, recording=recording), metrics or SchedulerMetrics()
        self.members = Members()
        metrics.watch(self._census)
        self.view = View(
            registry,
            directory,
            metrics,
            clock=clock,
            wall_clock=wall_clock,
            lease_s=lease_s,
            settles_first=bool(name),
            tell=self._tell,
        )
        segmenting = Segmenting(registry, self.view, keys[0], remember_s=hls_remember_s)
        sessions = sessions or MemorySessions(wall_clock=wall_clock)
        super().__init__(directory, segmenting, StreamNames(directory), sessions, metrics)
        self.presence = Presence(registry, self.view, name, lease_s=lease_s)
        self._settlement = Settlement(registry, self.view, lease_s=lease_s)
        self.replicas = Replicas(registry, self.view, self.presence)
        self.ownership = Ownership(registry, self.view, self.members, keys[0])
        self.recordings = Recordings(registry, self.view, wall_clock=wall_clock)
        self._segmented = Segmented(directory.hls, segmenting, self._spawn)
        self._abandoned = Abandoned(self.view, self.ownership, segmenting, self._spawn)
        self.drains = Drains(registry, self.view, self.ownership, self.presence, self.metrics)
        self._inheritance = Inheritance(self.view, self.ownership, self.presence, self.metrics, calm_s=silence_s + CALM_S)
        self.unreachable = Unreachable(self.metrics, clock)
        self.locator = Locator(self.view)
        self._successions = Successions(self.view, self.segmenting, self.metrics, always=hls_always)
        self._comparisons = Comparisons(self.members, self._check)
        registrar = Registrar(registry, lease_s=lease_s, clock=clock, learn=self.view.learn)
        self._attendance = Attendance(
            registrar,
            self.view,
            self.members,
            self.metrics,
            silence_s=silence_s,
            lease_s=lease_s,
            spawn=self._spawn,
            tell_missed=self._tell_missed,
            check=self._reported,
        )
        self._notices = Notices(
            self.directory,
            self.members,
            evict=self._attendance.evict,
            signed=self.segmenting.signed,
            granted=self.ownership.signed,
        )
        self._reminders = Reminders(self.directory, self._notices)
        #: what is about the users of the cluster
        self.control = Control()
        #: hears why this replica has to end: a part of it has failed
        self.failed: Callable[[str], None] = lambda reason: None

    # Life ------------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to follow the registry. It does not wait for it: see `ready`."""
        begun = asyncio.Event()
        self._runner = asyncio.create_task(self._run(begun), name="scheduler")
        end_with_any([self._runner], lambda reason: self.failed(reason))
        await begun.wait()

    async def stop(self) -> None:
        """End every membership stream and all tasks."""
        self._tasks = None
        self._attendance.dismiss()
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)

    async def leave(self) -> None:
        """Give duties and key back: the last word, after `stop` and when no more calls are under way."""
        await self.presence.leave()

    async def ready(self) -> None:
        """Wait until the term is known, the registry was listed once, and this replica stands."""
        await self.view.ready.wait()
        await self.presence.stood.wait()

    @property
    def is_ready(self) -> bool:
        """Whether it was ready once, and runs."""
        return self.view.ready.is_set() and self.presence.stood.is_set() and self.is_running

    @property
    def is_running(self) -> bool:
        """Whether it follows the registry."""
        return self._runner is not None and not self._runner.done()

    async def _run(self, begun: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            parts = (self.view.terms, self.presence, self._settlement, self._successions, self.drains, self._inheritance)
            for part in (*parts, self._comparisons):
                tasks.create_task(part.run())
            for controlled in self.control.parts:
                tasks.create_task(controlled.run())
            begun.set()
            await self.view.follow()

    def _spawn(self, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Run `work` until it ends or the service stops."""
        if self._tasks is None:
            raise Unavailable("the scheduler is stopping", retry_after_s=RETRY_AFTER_S)
        return self._tasks.create_task(guarded(work))

    # What nodes ask --------------------------------------------------------------------------------------------------

    async def claim(self, edge: NodeAddress, claims: Sequence[Claim], deadline_s: float) -> list[Grant | Refused]:
        """See `SchedulerClient.claim`."""
        end = end_of(deadline_s)

        trace = telemetry.current()

        async def answer(asked: Claim) -> Grant | Refused:
            began_us = time.time_ns() // 1000
            with self.metrics.claim_seconds.time():
                result = await self.ownership.claim(asked, edge.node, end)
            outcome = result.refusal.value if isinstance(result, Refused) else "granted"
            facts = {Attribute.STREAM: str(asked.stream), Attribute.RESULT: outcome}
            telemetry.record(SpanName.SCHEDULER_CLAIM, trace, began_us, facts)
            if asked.held is not None and isinstance(result, Grant):
                self._settlement.note()
            return result

        results = await for_each(claims, answer)
        for asked, result in zip(claims, results, strict=True):
            counted(self.metrics.claims if asked.held is None else self.metrics.reclaims, [result])
        return results

    async def move(self, edge: NodeAddress, moves: Sequence[Move], deadline_s: float) -> list[Grant | Refused]:
        """See `SchedulerClient.move`."""
        end = end_of(deadline_s)
        results = await for_each(moves, lambda asked: self.ownership.move(asked, edge.node, end))
        return counted(self.metrics.moves, results)

    async def locate(self, wanted: Sequence[Wanted], deadline_s: float) -> list[Location | Refused]:
        """See `SchedulerClient.locate`."""
        wait_s = min(deadline_s, MAX_LOCATE_S)
        for each in wanted:
            self._take_note(each)
        return counted(self.metrics.locates, await self.locator.find(wanted, wait_s))

    async def release(
        self, node: NodeAddress, *, claims: Sequence[Released] = (), groups: Sequence[Released] = (), deadline_s: float
    ) -> list[bool]:
        """See `SchedulerClient.release`."""
        end = end_of(deadline_s)
        results = await for_each(claims, lambda each: self.ownership.release_claim(each, node.node, end))
        results += await for_each(groups, lambda each: self.ownership.release_group(each, node.node, end))
        return known(self.metrics.releases, "released", results)

    def join(self, reports: AsyncIterator[NodeReport]) -> AsyncGenerator[NodeCommand, None]:
        """See `SchedulerClient.join`."""
        return self._attendance.join(reports)

    def join_direct(
        self, report: Callable[[], NodeReport], command: Callable[[NodeCommand], None], *, interval_s: float = 1.0
    ) -> Membership:
        """The membership of a node in this process; the caller runs it (`Membership.run`)."""
        return Membership(self.join, report, command, interval_s=interval_s, silence_s=self._silence_s)

    # What happens ----------------------------------------------------------------------------------------------------

    def _tell(self, change: Change) -> None:
        """Let those hear of a change of the view whom it is for."""
        if isinstance(change, GroupChanged) and change.now is not None:
            self.locator.wake(change.now.stream)
        if isinstance(change, NodeChanged) and change.now is not None and change.now.role is Role.ORIGIN:
            self.unreachable.known(change.now.node)
        if isinstance(change, NodeChanged) and change.before is not None and change.now is None:
            self.unreachable.gone(change.before.node)
        parts = (self._names, self._successions, self.presence, self._settlement, self.replicas, self.drains, self._inheritance)
        for part in parts:
            part.handle(change)
        self._notices.tell(change)
        self.control.handle(change)

    def _tell_missed(self, session: Session) -> None:
        self._notices.tell_missed(session)
        self.control.joined(session)

    def _reported(self, session: Session) -> None:
        self._comparisons.ask(session)
        if self.members.is_open(session):
            self.control.reported(session)

    def _check(self, session: Session, has_joined: bool) -> None:
        """Compare what a member holds; of one that has joined just now the rest may be on its way."""
        if self._reminders.check(session, at_once=has_joined):
            self._settlement.note()
        if not has_joined:
            self._abandoned.check(session)
            self._segmented.check(session)

    def _take_note(self, wanted: Wanted) -> None:
        """What a reader says beside its question."""
        if wanted.after is not None:
            self.view.terms.show(wanted.after)
        if wanted.unreachable is not None:
            self.unreachable.report(wanted.unreachable)

    def _census(self) -> Census:
        directory = self.directory
        return Census(
            nodes=[self._counted(record) for record in directory.nodes()],
            replicas=max(1, len(directory.cluster.schedulers.values())),  # one that is alone writes nothing down
            streams=len(directory.streams()),
            segmented=len(directory.hls),
            unsegmented=self._successions.unhelped,
            settling=directory.cluster.settling is not None,
        )

    def _counted(self, record: NodeRecord) -> NodeCount:
        """Of a node that reports to another replica it is not known well enough whether it has room."""
        state, node = self.directory.state_of(record), self.directory.offers.candidate(record)
        reports = self.members.of(record.node) is not None
        is_full = usage_of(node.capacity, node.load, Coming()).is_full if record.role is Role.EDGE else not node.has_room
        return NodeCount(record.role.value, state, reports and state == "joined" and not is_full)
