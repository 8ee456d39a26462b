"""Membership as one replica sees it: the streams of its nodes, from first report to end.

```
           first report         registered, or too long over it          silence, end
  nobody ---------------> heard ------------------------------> answered -------------> away (noted, lease left to run out)
                                                                answered -- leaving --> gone (lease revoked)
                                            answered -- another incarnation joins ----> evicted
```
Only a session's keeper waits for the registry; reports are answered whether or not that can be reached.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from functools import partial

from lalmesh.errors import RemoteProtocolError, Unavailable
from lalmesh.runtime.scheduling.model import Evicted, Joined, NodeCommand, NodeReport
from services.scheduler.members import Members, Session
from services.scheduler.metrics import SchedulerMetrics
from services.scheduler.registrar import NameTakenError, Registrar
from services.scheduler.view import View

log = logging.getLogger(__name__)


class Attendance:
    """Attends to the nodes that join this replica."""

    def __init__(
        self,
        registrar: Registrar,
        view: View,
        members: Members,
        metrics: SchedulerMetrics,
        *,
        silence_s: float,
        spawn: Callable[[Callable[[], Awaitable[None]]], asyncio.Task[None]],
    ) -> None:
        """Keep `members`; `spawn` runs tasks until they end or the service stops, and raises `Unavailable` after that."""
        self._registrar = registrar
        self._view = view
        self._members = members
        self._metrics = metrics
        self._silence_s = silence_s
        self._spawn = spawn

    async def join(self, reports: AsyncIterator[NodeReport]) -> AsyncGenerator[NodeCommand, None]:
        """See `SchedulerClient.join`."""
        try:
            first = await self._next_report(reports)
        except RemoteProtocolError as exc:
            yield Evicted(str(exc))
            return
        if first is None:
            return
        session = Session(first)
        attending = self._spawn(partial(self._attend, session, reports))
        try:
            while (command := await session.next_command()) is not None:
                yield command
        finally:
            attending.cancel()

    def evict(self, session: Session, reason: str) -> None:
        """The node is no member any more."""
        log.warning("%s evicted: %s", session.node.name, reason)
        self._metrics.evictions.inc()
        self._members.close(session)
        session.send(Evicted(reason))
        session.end()

    def dismiss(self) -> None:
        """End every stream. The nodes are not noted as away: they go to another replica."""
        for session in list(self._members):
            self._members.close(session)
            session.end()

    async def _attend(self, session: Session, reports: AsyncIterator[NodeReport]) -> None:
        """Take reports until they end; then the node is away, unless it left or is here again."""
        keeper: asyncio.Task[None] | None = None
        report: NodeReport | None = session.report
        try:
            while report is not None and not report.leaving:
                self._members.report(session, report)
                if keeper is None:
                    keeper = self._spawn(partial(self._keep, session))
                    await self._wait_registered(session)
                session.send(Joined(self._view.term))
                report = await self._next_report(reports)
            if report is not None:
                await self._take_leave(session, keeper)
        except RemoteProtocolError as exc:
            self.evict(session, str(exc))
        finally:
            if keeper is not None:
                keeper.cancel()
            session.end()
            self._part(session)

    async def _wait_registered(self, session: Session) -> None:
        """The first answer says that the node is registered, unless the registry takes too long over it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._silence_s / 2):
                await session.registered.wait()

    async def _next_report(self, reports: AsyncIterator[NodeReport]) -> NodeReport | None:
        """The next report; None at the end, or after `silence_s` without one."""
        try:
            async with asyncio.timeout(self._silence_s):
                return await anext(reports)
        except (StopAsyncIteration, TimeoutError):
            return None

    async def _keep(self, session: Session) -> None:
        """Keep a node in the registry, once per report."""
        while True:
            session.reported.clear()
            try:
                session.registration = await self._registrar.keep(session.registration, session.report)
                self._open(session)
            except NameTakenError as exc:
                self.evict(session, str(exc))
                return
            except Unavailable as exc:
                log.warning("node %s is not written down: %s", session.node.name, exc)
            await session.reported.wait()

    def _open(self, session: Session) -> None:
        """A registered node is a member; another session of its name is over."""
        if session.registered.is_set():
            return
        session.registered.set()
        log.info("%s %s joined", session.report.role.value, session.node.name)
        replaced = self._members.open(session)
        if replaced is not None:
            replaced.end()

    def _part(self, session: Session) -> None:
        """The stream of a member ended here."""
        if not self._members.close(session):
            return
        log.info("%s %s is away", session.report.role.value, session.node.name)
        self._view.directory.mark_away(session.node, self._view.clock())
        if session.registration is not None:
            self._spawn(partial(self._registrar.note_away, session.registration))

    async def _take_leave(self, session: Session, keeper: asyncio.Task[None] | None) -> None:
        """The node leaves in order: what is still its own ends with its lease."""
        if keeper is not None:
            keeper.cancel()
        try:
            await self._registrar.leave(session.node)
        except Unavailable as exc:
            log.warning("lease of %s is left to run out: %s", session.node.name, exc)
            return
        log.info("%s %s left", session.report.role.value, session.node.name)
        self._members.close(session)
