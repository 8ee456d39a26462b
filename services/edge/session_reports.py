"""Telling the scheduler of the sessions of an edge: those that begin and end at once, all of them from time to time.

What seldom changes of a session is told when it is new, when it changes, when a word may have been lost, and now and then, for a
directory that lost it; otherwise a few figures are. While the scheduler, or the directory behind it, is away nothing is lost but
figures: whoever is still here is told of whole once it answers again, and those who left meanwhile are forgotten by their time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from lalmesh.errors import Unavailable
from lalmesh.runtime.each_alone import for_each_alone
from lalmesh.runtime.foreign_text import within
from lalmesh.runtime.ownership import NodeAddress
from lalmesh.runtime.scheduling import SchedulerClient
from lalmesh.runtime.scheduling.control import MAX_URL_BYTES
from lalmesh.runtime.scheduling.control_wire import MAX_LONG_TEXT_BYTES
from lalmesh.runtime.secrets_in_urls import without_secrets
from lalmesh.runtime.sessions import SessionTouch
from services.edge.metrics import EdgeMetrics
from services.edge.session import Session, SessionMedia, Sessions

log = logging.getLogger(__name__)

GATHER_S = 0.1  #: from the first session that begins or ends to the word about it and those that follow
CHUNK = 250  #: sessions of one word: some 3 ms of the loop
DEADLINE_S = 3.0
LEAVE_S = 1.5  #: for the last words when the edge stops, however slowly they are taken
MAX_OVER = 20_000  #: that have left and of which nobody was told yet; of more, the directory learns by their time to live
WHOLE_ROUNDS = 12  #: after so many rounds everything is told again: a minute, with the default
NOT_TOLD = "session could not be told of"
SPREAD = 0.8  #: of the time between two rounds over which the words of one are spread

_Item = TypeVar("_Item")


class SessionReports:
    """Tells of `sessions`. Run `run` as a task of the edge."""

    def __init__(
        self,
        sessions: Sessions,
        scheduler: SchedulerClient,
        address: Callable[[], NodeAddress],
        metrics: EdgeMetrics,
        *,
        report_s: float,
    ) -> None:
        """Tell `scheduler` of all sessions each `report_s` seconds, in the name of the node at `address`."""
        self.report_s = report_s
        self._sessions = sessions
        self._scheduler = scheduler
        self._address = address
        self._metrics = metrics
        self._told: dict[str, tuple[str, ...]] = {}  # ids that were told of whole, with the codecs that were told
        self._new: dict[str, Session] = {}
        self._over: dict[str, SessionTouch] = {}
        self._round = 0
        self._wake = asyncio.Event()
        self._is_away = False
        sessions.watchers.append(self)

    def opened(self, session: Session) -> None:
        """Tell of it soon. One that goes on under its id, as a relay does at its next attempt, is not told to be over."""
        over = self._over.get(session.session_id)
        if over is not None and over.stream == session.stream:
            del self._over[session.session_id]
        self._new[session.session_id] = session
        self._wake.set()

    def closed(self, session: Session, reason: str) -> None:
        """Tell of it soon, unless nobody has heard of it."""
        was_new = self._new.pop(session.session_id, None) is not None
        was_told = self._told.pop(session.session_id, None) is not None
        if (was_told or not was_new) and len(self._over) < MAX_OVER:
            self._over[session.session_id] = touch_of(session, is_brief=True, over=True)
            self._wake.set()

    async def run(self) -> None:
        """Tell without end."""
        loop = asyncio.get_running_loop()
        while True:
            next_round = loop.time() + self.report_s
            await self._tell_all(loop)
            while (left_s := next_round - loop.time()) > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left_s):
                        await self._wake.wait()
                if self._wake.is_set():
                    await asyncio.sleep(min(GATHER_S, max(0.0, next_round - loop.time())))
                    await self._tell_changes()

    async def leave(self) -> None:
        """Say that all are over, as far as that can be said once and in `LEAVE_S`."""
        for_each_alone(self._sessions, lambda session: self.closed(session, "the edge stops"), NOT_TOLD)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self._tell_changes()

    async def _tell_all(self, loop: asyncio.AbstractEventLoop) -> None:
        self._round += 1
        parts = list(_chunks(list(self._sessions)))
        began = loop.time()
        for number, part in enumerate(parts):
            if not await self._tell([session for session in part if self._sessions.get(session.session_id) is session]):
                return
            await self._tell_changes()
            due = began + SPREAD * self.report_s * (number + 1) / len(parts)
            await asyncio.sleep(max(0.0, due - loop.time()) if number + 1 < len(parts) else 0)
        await self._tell_changes()

    async def _tell_changes(self) -> None:
        """Those that have begun, and those that have ended, since the last word."""
        self._wake.clear()
        for over in _chunks(list(self._over.values())):
            if not await self._send(over):
                return
            for touch in over:
                self._over.pop(touch.id, None)
        for part in _chunks(list(self._new.values())):
            if not await self._tell([session for session in part if self._sessions.get(session.session_id) is session]):
                return

    async def _tell(self, sessions: Sequence[Session]) -> bool:
        """Tell of sessions that are here. Gives whether that worked."""
        touches = for_each_alone(sessions, self._touch, NOT_TOLD)
        for touch in touches:
            if not touch.is_brief:
                self._told[touch.id] = touch.codecs
        return await self._send(touches)

    def _touch(self, session: Session) -> SessionTouch:
        session_id = session.session_id
        self._new.pop(session_id, None)
        media = session.media()
        is_due = (self._round + int(session_id[-2:], 16)) % WHOLE_ROUNDS == 0
        return touch_of(session, media, is_brief=not is_due and self._told.get(session_id) == media.codecs)

    async def _send(self, touches: Sequence[SessionTouch]) -> bool:
        if not touches:
            return True
        try:
            await self._scheduler.touch_sessions(self._address(), touches, DEADLINE_S)
        except Unavailable as error:
            self._metrics.session_report_failures.inc()
            if not self._is_away:
                log.warning("sessions cannot be told of, and are again when that works: %s", error)
            self._is_away = True
            self._told.clear()
            return False
        except Exception:  # one that cannot be told of must not end the word about all others
            log.exception("sessions could not be told of")
            return True
        if self._is_away:
            log.info("sessions are told of again")
        self._is_away = False
        return True


def touch_of(session: Session, media: SessionMedia | None = None, *, is_brief: bool = False, over: bool = False) -> SessionTouch:
    """What is told of a session now."""
    client, moved = session.client, session.bytes_moved()
    media = media or SessionMedia()
    is_input = session.is_input
    return SessionTouch(
        id=session.session_id,
        stream=session.stream,
        protocol=client.protocol,
        role=session.role,
        peer=client.peer,
        sent_bytes=0 if is_input else moved,
        received_bytes=moved if is_input else 0,
        is_total=True,
        is_brief=is_brief,
        opened_us=session.opened_us,
        url="" if is_brief else within(client.url, MAX_URL_BYTES),
        query="" if is_brief else within(without_secrets(client.query), MAX_URL_BYTES),
        user_agent="" if is_brief else within(client.user_agent, MAX_LONG_TEXT_BYTES),
        codecs=() if is_brief else media.codecs,
        queued_bytes=media.queued_bytes,
        skips=media.skips,
        first_media_ms=max(1, (media.first_us - client.asked_us) // 1000) if media.first_us else 0,
        over=over,
    )


def _chunks(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))
