"""The session directory in one process: what a scheduler that is alone needs, and what several have without Redis.

Each replica then knows the players that were told to itself, and no more.
"""

from __future__ import annotations

import bisect
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace

from lalmesh.names import StreamKey
from lalmesh.runtime.sessions import MAX_PAGE, Session, SessionPage, SessionTouch
from services.scheduler.sessions._names import checked_limit, end_of, first_of, member_of
from services.scheduler.sessions._settings import SESSION_TTL_S

MAX_SESSIONS = 200_000  #: about 150 MB; more players than one process serves segments to
US_PER_S = 1_000_000


class MemorySessions:
    """The session directory in memory (see `lalmesh.runtime.sessions.SessionDirectory`)."""

    def __init__(
        self, *, ttl_s: float = SESSION_TTL_S, wall_clock: Callable[[], float] = time.time, limit: int = MAX_SESSIONS
    ) -> None:
        """An empty directory.

        Args:
            ttl_s: seconds that a session lives without being seen.
            wall_clock: Unix seconds. Where it steps, sessions end too early or too late, once.
            limit: most sessions that are kept; of more, those that were not seen for longest are forgotten.
        """
        self._ttl_us = round(ttl_s * US_PER_S)
        self._wall_clock = wall_clock
        self._limit = limit
        self._sessions: OrderedDict[str, Session] = OrderedDict()  # the one that was not seen for longest first
        self._counts: Counter[StreamKey] = Counter()

    async def touch(self, node: str, sessions: Sequence[SessionTouch]) -> None:
        """See `SessionDirectory.touch`."""
        now_us = self._expire()
        for touch in sessions:
            before = self._forget(member_of(touch.stream, touch.id))
            if not touch.over:
                self._keep(_seen(node, touch, before, now_us))
        while len(self._sessions) > self._limit:
            self._forget(next(iter(self._sessions)))

    async def remove(self, sessions: Sequence[tuple[StreamKey, str]]) -> None:
        """See `SessionDirectory.remove`."""
        for stream, session_id in sessions:
            self._forget(member_of(stream, session_id))

    async def count(self, streams: Sequence[StreamKey]) -> list[int]:
        """See `SessionDirectory.count`."""
        self._expire()
        return [self._counts[stream] for stream in streams]

    async def page(self, *, stream: StreamKey | None = None, cursor: str = "", limit: int = MAX_PAGE) -> SessionPage:
        """See `SessionDirectory.page`. It sorts all that there are: for people who look, not for machines that poll."""
        self._expire()
        members = sorted(self._sessions)
        start = bisect.bisect_left(members, first_of(stream)) if stream else 0
        end = bisect.bisect_left(members, end_of(stream)) if stream else len(members)
        if cursor:
            start = max(start, bisect.bisect_right(members, cursor))
        shown = members[start:end][: checked_limit(limit)]
        more = start + len(shown) < end
        return SessionPage(tuple(self._sessions[member] for member in shown), shown[-1] if shown and more else "")

    async def close(self) -> None:
        """Forget all."""
        self._sessions.clear()
        self._counts.clear()

    def _keep(self, session: Session) -> None:
        self._sessions[member_of(session.stream, session.id)] = session
        self._counts[session.stream] += 1

    def _forget(self, member: str) -> Session | None:
        session = self._sessions.pop(member, None)
        if session is not None:
            self._counts[session.stream] -= 1
            if not self._counts[session.stream]:
                del self._counts[session.stream]
        return session

    def _expire(self) -> int:
        """Forget those that nobody has seen for their time to live; Unix microseconds now."""
        now_us = round(self._wall_clock() * US_PER_S)
        while self._sessions:
            member, session = next(iter(self._sessions.items()))
            if session.seen_us + self._ttl_us > now_us:
                break
            self._forget(member)
        return now_us


def _seen(node: str, touch: SessionTouch, before: Session | None, now_us: int) -> Session:
    """The session once it was seen again, or for the first time."""
    session = Session(
        id=touch.id,
        stream=touch.stream,
        protocol=touch.protocol,
        node=node,
        peer=touch.peer,
        sent_bytes=touch.sent_bytes,
        opened_us=now_us,
        seen_us=now_us,
    )
    if before is None:
        return session
    return replace(session, sent_bytes=before.sent_bytes + touch.sent_bytes, opened_us=before.opened_us)
