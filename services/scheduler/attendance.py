"""Membership as one replica sees it: the streams of its nodes, from first report to end.

```
           first report       registration tried, or too long over it    silence, end
  nobody ---------------> heard ------------------------------> answered -------------> away (noted, lease left to run out)
                                                                answered -- leaving --> gone (lease revoked)
                                            answered -- another incarnation joins ----> evicted
                                            answered -- lease not renewed for long ---> sent on (as it is: it joins again elsewhere)
```
Only a session's keeper waits for the registry; reports are answered whether or not that can be reached. But a replica that
cannot keep a lease alive must not hold on to the node until the lease is over: after half of it the stream ends, and the node's
client turns to the next replica. If the registry is away from all of them nothing is lost by that: nobody can take anything over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from functools import partial

from lalmesh.errors import RemoteProtocolError, Unavailable
from lalmesh.runtime.awake import awake_timeout
from lalmesh.runtime.scheduling.model import Evicted, Joined, NodeCommand, NodeReport, Role
from services.scheduler.elsewhere import Elsewhere
from services.scheduler.members import Members, Session
from services.scheduler.metrics import SchedulerMetrics
from services.scheduler.registrar import NameTakenError, Registrar, is_overwritten
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
        lease_s: float,
        spawn: Callable[[Callable[[], Awaitable[None]]], asyncio.Task[None]],
        tell_missed: Callable[[Session], None],
        check: Callable[[Session], None],
    ) -> None:
        """Keep `members` in the registry.

        Args:
            registrar: writes them there.
            view: what is known of the cluster.
            members: those whose streams end here.
            metrics: where to count.
            silence_s: seconds without a report that end a stream.
            lease_s: seconds that a node lives without being renewed; after half of them it is sent on.
            spawn: runs tasks until they end or the service stops; raises `Unavailable` after that.
            tell_missed: tells a node that has joined what changed while it was away.
            check: has what a member holds compared with what is known, some time after it was answered.
        """
        self._registrar = registrar
        self._view = view
        self._members = members
        self._metrics = metrics
        self._silence_s = silence_s
        self._patience_s = lease_s / 2
        self._spawn = spawn
        self._tell_missed = tell_missed
        self._check = check
        self._elsewhere = Elsewhere(view.directory, view.clock)

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
            self._let_go(session)

    async def _attend(self, session: Session, reports: AsyncIterator[NodeReport]) -> None:
        """Take reports until they end; then the node is away, unless it left or is here again."""
        keeper: asyncio.Task[None] | None = None
        report: NodeReport | None = session.report
        try:
            while report is not None and not report.leaving:
                self._take_in(session, report)
                if keeper is None:
                    keeper = self._spawn(partial(self._keep, session))
                    await self._wait_tried(session)
                session.send(self._joined(session))
                self._check(session)
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

    def _take_in(self, session: Session, report: NodeReport) -> None:
        """What a report says: how loaded the node is, what it holds, and which epochs and places it has seen by that."""
        self._members.report(session, report)
        self._view.directory.report(session.node, report.load, self._view.clock())
        if report.streams:
            self._view.terms.show(max(held.epoch for held in report.streams), max(held.place for held in report.streams))

    def _joined(self, session: Session) -> Joined:
        """The answer to a report; edges hear where hls nodes are, to proxy to them; who lets nobody in, where others are."""
        directory, report, term = self._view.directory, session.report, self._view.terms.term
        lease = session.registration.record.lease_id if session.registration is not None else 0
        if report.role is not Role.EDGE:
            return Joined(term, lease=lease)
        return Joined(term, directory.hls_endpoints(), self._elsewhere.for_edge(report), lease)

    async def _wait_tried(self, session: Session) -> None:
        """The first answer says that the node is registered, unless the registry fails or takes too long over it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._silence_s / 2):
                await session.tried.wait()

    async def _next_report(self, reports: AsyncIterator[NodeReport]) -> NodeReport | None:
        """The next report; None at the end, or after `silence_s` without one."""
        try:
            async with awake_timeout(self._silence_s):
                return await anext(reports)
        except (StopAsyncIteration, TimeoutError):
            return None

    async def _keep(self, session: Session) -> None:
        """Keep a node in the registry, once per report, as long as that works."""
        kept_at = self._view.clock()
        while True:
            session.reported.clear()
            try:
                known = self._view.directory.node(session.node)
                session.registration = await self._registrar.keep(session.registration, session.report, known)
                kept_at = session.registration.renewed_at
                self._open(session)
            except NameTakenError as exc:
                self.evict(session, str(exc))
                return
            except Unavailable as exc:
                log.warning("node %s is not written down: %s", session.node.name, exc)
                if self._view.clock() - kept_at > self._patience_s:
                    log.warning("%s is sent to another replica: not renewed for %.1f s", session.node.name, self._patience_s)
                    self._let_go(session)
                    return
            except Exception:  # a bug of ours must not keep a node whose lease nobody renews
                log.exception("%s cannot be kept", session.node.name)
                self._let_go(session)
                return
            session.tried.set()
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
        self._tell_missed(session)

    def _let_go(self, session: Session) -> None:
        """End the stream of a node that is to join again, here or elsewhere. It is not away: what it has waits for it."""
        self._members.close(session)
        self._view.directory.offers.loads.forget(session.node)
        session.end()

    def _part(self, session: Session) -> None:
        """The stream of a member ended here."""
        if not self._members.close(session):
            return
        self._view.directory.offers.loads.forget(session.node)
        registration, known = session.registration, self._view.directory.node(session.node)
        if registration is not None and known is not None and is_overwritten(registration, known):
            log.info("%s %s is at another replica", session.report.role.value, session.node.name)
            return
        log.info("%s %s is away", session.report.role.value, session.node.name)
        self._view.mark_away(session.node)
        if registration is not None:
            self._spawn(partial(self._registrar.note_away, registration))

    async def _take_leave(self, session: Session, keeper: asyncio.Task[None] | None) -> None:
        """The node leaves in order: what is still its own ends with its lease."""
        if keeper is not None:
            keeper.cancel()
        try:
            self._view.end_lease(await self._registrar.leave(session.node))  # nobody is sent there any more, from now on
        except Unavailable as exc:
            log.warning("lease of %s is left to run out: %s", session.node.name, exc)
            return
        log.info("%s %s left", session.report.role.value, session.node.name)
        self._members.close(session)
