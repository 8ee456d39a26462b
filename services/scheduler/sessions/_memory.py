"""The session directory in one process: what a scheduler that is alone needs, and what several have without Redis.

Each replica then knows the players that were told to itself, and no more.
"""

from __future__ import annotations

import bisect
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence

from lalmesh.names import StreamKey
from lalmesh.runtime.sessions import (
    ALL,
    MAX_PAGE,
    Session,
    SessionCounts,
    SessionFilter,
    SessionKind,
    SessionPage,
    SessionTouch,
)
from services.scheduler.sessions._names import checked_limit, counted, member_of
from services.scheduler.sessions._settings import LEAST_RATE_US, SESSION_TTL_S

MAX_SESSIONS = 200_000  #: about 300 MB; more players than one process serves segments to
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
        self._counts: Counter[tuple[StreamKey, SessionKind]] = Counter()
        self._by_id: dict[str, set[str]] = {}

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

    async def count(self, streams: Sequence[StreamKey]) -> list[SessionCounts]:
        """See `SessionDirectory.count`."""
        self._expire()
        return [counted({kind: self._counts[stream, kind] for kind in SessionKind}) for stream in streams]

    async def find(self, session_id: str) -> list[Session]:
        """See `SessionDirectory.find`."""
        self._expire()
        return [self._sessions[member] for member in sorted(self._by_id.get(session_id, ()))]

    async def page(self, wanted: SessionFilter = ALL, *, cursor: str = "", limit: int = MAX_PAGE) -> SessionPage:
        """See `SessionDirectory.page`. It sorts all that there are: for people who look, not for machines that poll."""
        self._expire()
        checked_limit(limit)
        members = sorted(member for member, session in self._sessions.items() if wanted.wants(session))
        start = bisect.bisect_right(members, cursor) if cursor else 0
        shown = members[start : start + limit]
        more = start + len(shown) < len(members)
        return SessionPage(tuple(self._sessions[member] for member in shown), shown[-1] if shown and more else "")

    async def close(self) -> None:
        """Forget all."""
        self._sessions.clear()
        self._counts.clear()
        self._by_id.clear()

    def _keep(self, session: Session) -> None:
        member = member_of(session.stream, session.id)
        self._sessions[member] = session
        self._by_id.setdefault(session.id, set()).add(member)
        self._counts[session.stream, session.kind] += 1

    def _forget(self, member: str) -> Session | None:
        session = self._sessions.pop(member, None)
        if session is None:
            return None
        members = self._by_id[session.id]
        members.discard(member)
        if not members:
            del self._by_id[session.id]
        kind = session.stream, session.kind
        self._counts[kind] -= 1
        if not self._counts[kind]:
            del self._counts[kind]
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
    about = before if before is not None and touch.is_brief else touch
    sent, received = touch.sent_bytes, touch.received_bytes
    sent_bps = received_bps = 0
    if before is not None:
        if not touch.is_total:
            sent, received = before.sent_bytes + sent, before.received_bytes + received
        lasted_us = now_us - before.seen_us
        sent_bps, received_bps = before.sent_bps, before.received_bps
        if lasted_us >= LEAST_RATE_US:
            sent_bps = max(0, sent - before.sent_bytes) * 8 * US_PER_S // lasted_us
            received_bps = max(0, received - before.received_bytes) * 8 * US_PER_S // lasted_us
    return Session(
        id=touch.id,
        stream=touch.stream,
        protocol=touch.protocol,
        role=touch.role,
        node=node,
        peer=touch.peer,
        sent_bytes=sent,
        received_bytes=received,
        sent_bps=sent_bps,
        received_bps=received_bps,
        opened_us=touch.opened_us or (before.opened_us if before is not None else now_us),
        seen_us=now_us,
        url=about.url,
        query=about.query,
        user_agent=about.user_agent,
        codecs=about.codecs,
        queued_bytes=touch.queued_bytes,
        skips=touch.skips,
        first_media_ms=touch.first_media_ms,
    )
