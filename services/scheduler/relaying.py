"""Relays of the cluster: edges are told what to fetch and send, which is decided by `relay_plan` and written to the registry.

Each replica notes there who wants what of those that ask it, and has a pull begin as soon as somebody does. What else begins, moves
and ends is up to the replica that has the duty. Every replica tells its own edges what they are to run, all of it each time it
changes: an edge that was away, or joins another replica, hears the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from weakref import WeakKeyDictionary

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Location
from lalmesh.runtime.recording import RuleError
from lalmesh.runtime.registry import Absent, Compare, Delete, KeyValue, LeaseLost, Operation, Put, Registry, Unchanged
from lalmesh.runtime.scheduling.control import RelayJobs
from lalmesh.runtime.scheduling.model import HeldStream, Role, Wanted
from services.scheduler.changes import (
    Change,
    ClaimChanged,
    DrainChanged,
    DutyChanged,
    GroupChanged,
    NodeChanged,
    RelayChanged,
    RelayRulesChanged,
)
from services.scheduler.locator import Locator
from services.scheduler.members import Members, Session
from services.scheduler.metrics import SchedulerMetrics
from services.scheduler.parallel import for_each, guarded
from services.scheduler.presence import Presence
from services.scheduler.relay_demand import HLS_HOLD_S, RelayDemand
from services.scheduler.relay_notes import RelayNotes
from services.scheduler.relay_plan import RelayPlan, RelayWrite, Unfollowed
from services.scheduler.relay_records import RelayRecord, serialize_relay
from services.scheduler.relay_refusals import RelayRefusals
from services.scheduler.relay_room import RelaysFullError
from services.scheduler.relay_states import RelayStates
from services.scheduler.view import View

log = logging.getLogger(__name__)

DUTY = "relays"
LOOK_S = 1.0  #: between two looks: who watches is heard with reports
GATHER_S = 0.05  #: changes of one moment are looked at together
EACH_S = 50e-6  #: more for each relay: looking at 10,000 takes some 50 ms, and every claim of a burst asks for it
RETRY_S = 1.0  #: pause after the registry did not answer


class Relaying:
    """A `ControlPart`."""

    def __init__(
        self,
        registry: Registry,
        view: View,
        presence: Presence,
        members: Members,
        metrics: SchedulerMetrics,
        locator: Locator,
        *,
        name: str,
        start_timeout_s: float,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare.

        Args:
            registry: where relays are written down.
            view: what is known of it.
            presence: of this replica: its lease, and whether it has the duty.
            members: nodes whose streams end here.
            metrics: where to count.
            locator: of this replica: who waits for streams that are nowhere.
            name: of this replica; empty: there can be no other.
            start_timeout_s: of relays that have none of their own.
            wall_clock: Unix seconds.
        """
        self.plan = RelayPlan(view.directory)
        self._registry = registry
        self._view = view
        self._relays = view.directory.relaying
        self._presence = presence
        self._members = members
        self._metrics = metrics
        self._locator = locator
        self._start_timeout_s = start_timeout_s
        self._wall_clock = wall_clock
        self._demand = RelayDemand(view.directory)
        self._notes = RelayNotes(registry, view, presence, name)
        self.states = RelayStates(registry, view, members)
        self._told: WeakKeyDictionary[Session, RelayJobs] = WeakKeyDictionary()  # what edges of this replica heard last
        self._untold: set[str] = set()  # names of edges that may have to hear something
        self._begun: set[StreamKey] | None = None  # streams that may need a relay for being published; None: all
        self._is_failing = False
        self._noted_at = -math.inf
        self._refusals = RelayRefusals(metrics)
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        locator.missing = self.missing

    # what others tell

    def handle(self, change: Change) -> None:
        """See `ControlPart.handle`."""
        match change:
            case RelayChanged(before, now):
                self._untold |= {each.edge.node.name for each in (before, now) if each is not None and each.edge is not None}
            case ClaimChanged(_, now) if now is not None:
                if self._begun is not None:
                    self._begun.add(now.stream)
            case RelayRulesChanged():
                self._begun = None
                self._refusals.forget()
            case ClaimChanged() | GroupChanged() | NodeChanged() | DrainChanged() | DutyChanged():
                pass
            case _:
                return
        self._wake.set()

    def joined(self, session: Session) -> None:
        """See `ControlPart.joined`: an edge hears what it is to run, nothing included: it may run what has ended meanwhile."""
        if session.report.role is Role.EDGE:
            self._told.pop(session, None)
            self._untold.add(session.node.name)
            self._wake.set()

    def reported(self, session: Session) -> None:
        """See `ControlPart.reported`: who watches is looked at from time to time."""

    def is_unheard(self, record: RelayRecord) -> bool:
        """Whether the relay's edge has joined this replica, and neither it nor one before has heard of the relay.

        What it has heard of it tells itself, when it is over. What begins and ends within `GATHER_S` it does not hear of.
        """
        session = self._members.of(record.edge.node) if record.edge is not None else None
        if session is None or self.states.status(record) is not None or self._relays.state(record.id) is not None:
            return False
        told = self._told.get(session)
        return told is None or all(job.id != record.id for job in told.jobs)

    def missing(self, wanted: Wanted) -> bool:
        """Somebody wants a stream that is nowhere; whether it is being fetched, or is from now on."""
        if not self._demand.note(wanted, self._view.clock()):
            return False
        self._spawn(lambda: self._fetch(wanted.stream, wanted.via))
        return True

    async def bring(self, stream: StreamKey, end: float) -> bool | None:
        """Have a stream there that is wanted as HLS, by `end` of the loop's clock.

        Returns:
            Whether it is there; None where nothing brings it.
        """
        if not self._demand.note(Wanted(stream), self._view.clock(), HLS_HOLD_S):
            return None
        left_s = end - asyncio.get_running_loop().time()
        return isinstance(await self._locator.wait_for(Wanted(stream), max(0.0, left_s)), Location)

    # the task

    async def run(self) -> None:
        """See `ControlPart.run`."""
        try:
            while True:
                wait_s = await self._turn()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._wake.wait()
                await asyncio.sleep(GATHER_S + EACH_S * (len(self._relays.pulls()) + len(self._relays.pushes())))
        finally:
            for task in self._tasks:
                task.cancel()

    async def _turn(self) -> float:
        self._wake.clear()
        before, self._is_failing = self._is_failing, True
        try:
            await self._look()
        except Unavailable as exc:
            log.log(logging.DEBUG if before else logging.WARNING, "relays cannot be looked after: %s", exc)  # once, not each second
        except Exception:  # a bug of ours must not end all relays
            log.exception("relays could not be looked after")
        else:
            self._is_failing = False
            return LOOK_S
        self._begun = None  # what was decided for those that had begun may not have been written: all are looked at again
        return RETRY_S

    async def _look(self) -> None:
        if not self._view.directory.is_listed:
            return
        self._tell()  # what others decided does not wait for the registry
        if self._view.clock() - self._noted_at >= LOOK_S:
            self._noted_at = self._view.clock()
            await self._note()
        if await self._may_decide():
            await self._decide()
        self._tell()
        await self.states.write()

    async def _note(self) -> None:
        """Have it known what is wanted here now, and fetched."""
        wants = self._demand.look(self._locator.waited, self._held(), self._view.clock())
        await self._notes.write(wants)
        unfetched = [stream for stream in wants if self._relays.pull(stream) is None]
        await for_each(unfetched, lambda stream: self._fetch(stream, wants[stream]))

    def _held(self) -> Iterator[HeldStream]:
        for session in self._members:
            if session.report.role is not Role.ORIGIN:
                yield from session.report.streams

    def _tell(self) -> None:
        """Let edges hear what they are to run, where that has changed."""
        names, self._untold = self._untold, set()
        for name in names:
            session = self._members.named(name)
            if session is None or session.report.role is not Role.EDGE:
                continue
            records = sorted(self._relays.of_edge(session.node), key=lambda record: record.created_us)
            jobs = RelayJobs(tuple(record.job(self._start_timeout_s) for record in records))
            if self._told.get(session) != jobs:
                self._told[session] = jobs
                session.send(jobs)

    # what is decided

    async def _fetch(self, stream: StreamKey, via: tuple[str, ...]) -> None:
        """Have a stream fetched that somebody wants here."""
        try:
            write = self.plan.on_demand(stream, via, self._demand.asked(stream), self._now_us())
        except RuleError as error:
            self._refusals.note(stream, error)
            return
        if write is not None:
            await self.carry_out(write, self._notes.note(stream, via))

    async def _may_decide(self) -> bool:
        """Whether this replica has the duty; where nothing is relayed nobody needs to."""
        is_any = bool(self._relays.rules or self._relays.pulls() or self._relays.pushes())
        has_duty = is_any and await self._presence.has_duty(DUTY)
        if not has_duty:
            self._begun = None  # once it has: to gather them until then would take more and more room
        return has_duty

    async def _decide(self) -> None:
        directory = self._view.directory
        begun: Collection[StreamKey] = directory.streams() if self._begun is None else self._begun
        self._begun = set()
        decided = list(self.plan.look(begun, self._view.clock(), self._now_us()))
        for each in decided:
            if isinstance(each, Unfollowed):
                self._refusals.note(each.stream, each.error)
                if isinstance(each.error, RelaysFullError):
                    self._begun.add(each.stream)  # once others have gone
        await for_each([each for each in decided if isinstance(each, RelayWrite)], self.carry_out)

    async def carry_out(self, write: RelayWrite, *others: Operation) -> bool:
        """Write what was decided, `others` with it; whether it was still so.

        Raises:
            Unavailable: not known whether it was written.
        """
        before, now, key = write.before, write.now, write.record.key
        compares: list[Compare] = [Absent(key) if before is None else Unchanged(before.key, before.mod_revision)]
        operations: list[Operation] = [Delete(key) if now is None else Put(key, serialize_relay(now)), *others]
        try:
            result = await self._registry.transact(compares, operations)
        except LeaseLost:
            return await self.carry_out(write) if others else False
        if not result.succeeded:
            self._view.learn(*result.found.values())
            return False
        if now is None:
            self._view.learn_gone([key], result.revision)
        else:
            self._view.learn(KeyValue(key, serialize_relay(now), result.revision, result.revision))
        self._log(write)
        return True

    def _log(self, write: RelayWrite) -> None:
        record, edge = write.record, write.now.edge if write.now is not None else None
        what = f"relay {'push' if record.is_push else 'pull'} of {record.stream}"
        where = "ends" if write.now is None else f"at {edge.node.name}" if edge is not None else "at no edge: none has room"
        log.info("%s %s: %s", what, where, write.reason, extra={"stream_key": str(record.stream), "relay": record.id})
        self._metrics.relay_changes.labels("end" if write.now is None else "begin" if write.before is None else "move").inc()

    def _now_us(self) -> int:
        return int(self._wall_clock() * 1_000_000)

    def _spawn(self, work: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.get_running_loop().create_task(guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def look_soon(self) -> None:
        """Something was written that edges are to hear of."""
        self._wake.set()
