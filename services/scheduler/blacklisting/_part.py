"""Telling nodes of the blacklist: when they join, and whenever it changes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping

from lalmesh.errors import Unavailable
from lalmesh.runtime.scheduling.control import Blacklist
from lalmesh.runtime.scheduling.model import Role
from services.scheduler.blacklisting._store import BlacklistStore, Listed
from services.scheduler.changes import Change
from services.scheduler.members import Members, Session
from services.scheduler.metrics import SchedulerMetrics

log = logging.getLogger(__name__)

POLL_S = 0.5  #: between two looks whether another replica has changed the list
TOLD = (Role.EDGE, Role.HLS)  #: who lets clients in


class Blacklisting:
    """Hands the list of `store` on. A `ControlPart` of the scheduler."""

    def __init__(
        self, store: BlacklistStore, members: Members, metrics: SchedulerMetrics, wall_clock: Callable[[], float] = time.time
    ) -> None:
        """Tell `members`; `wall_clock` gives Unix seconds."""
        self._store = store
        self._members = members
        self._metrics = metrics
        self._wall_clock = wall_clock
        self._known: dict[str, Listed] | None = None  # None: never read; nodes then keep what they were told before
        self._command: Blacklist | None = None  # one for all nodes
        self._wake = asyncio.Event()
        self._is_away = False

    @property
    def listed(self) -> list[Listed] | None:
        """What is on it now, by network; None where that was never read."""
        if self._known is None:
            return None
        now_us = round(self._wall_clock() * 1_000_000)
        return [self._known[network] for network in sorted(self._known) if not self._known[network].is_over(now_us)]

    async def put(self, listed: Listed) -> None:
        """Let nobody in from a network, from now on.

        Raises:
            BlacklistFullError: others have to go first.
            SessionsUnavailable: not known whether it was added.
        """
        await self._store.put([listed])
        log.info("blacklist: %s added: %s", listed.network, listed.reason or "no reason given")
        self._wake.set()

    async def remove(self, network: str) -> bool:
        """Let a network in again; False where it is not on the list.

        Raises:
            SessionsUnavailable: not known whether it was taken off.
        """
        found = await self._store.remove(network)
        if found:
            log.info("blacklist: %s taken off", network)
        self._wake.set()
        return found

    # ControlPart

    async def run(self) -> None:
        """Look for changes without end."""
        while True:
            self._wake.clear()
            await self._look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._wake.wait()

    def handle(self, change: Change) -> None:
        """Nothing that changes in the view is of interest."""

    def joined(self, session: Session) -> None:
        """It may have been told by another replica, or of what is over now."""
        self._tell(session)

    def reported(self, session: Session) -> None:
        """Nothing to do."""

    async def _look(self) -> None:
        try:
            found = await self._store.load()
        except Unavailable as exc:
            self._metrics.session_failures.inc()
            if not self._is_away:
                log.warning("the blacklist stays as it was read last: %s", exc)
            self._is_away = True
            return
        except Exception:  # a bug of ours, or a value that is none of ours, must not end the list
            log.exception("the blacklist could not be read")
            return
        self._is_away = False
        if found is not None:
            self._learn(found)

    def _learn(self, found: Mapping[str, Listed]) -> None:
        if self._known is None or dict(found) != self._known:
            self._known = dict(found)
            self._command = Blacklist(tuple(each.entry for each in self.listed or ()))
            for session in self._members:
                self._tell(session)

    def _tell(self, session: Session) -> None:
        if self._command is not None and session.report.role in TOLD:
            session.send(self._command)
