"""The session directory in one process: what a scheduler that is alone needs, and what several have without Redis.

Each replica then knows the players that were told to itself, and no more.
"""

from __future__ import annotations

import bisect
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

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
from services.scheduler.sessions._names import checked_limit, counted, end_of, first_of, member_of
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
        self._members: list[str] = []  # the same in their order: a page does not sort them all
        self._counts: Counter[tuple[StreamKey, SessionKind]] = Counter()
        self._by_id: dict[str, set[str]] = {}

    async def touch(self, node: str, sessions: Sequence[SessionTouch]) -> None:
        """See `SessionDirectory.touch`."""
        now_us = self._expire()
        for touch in sessions:
            if touch.over:
                self._forget(member_of(touch.stream, touch.id))
            else:
                self._keep(node, touch, now_us)
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
        """See `SessionDirectory.page`."""
        self._expire()
        found = list(islice(self._after(wanted, cursor), checked_limit(limit) + 1))
        shown = found[:limit]
        cursor = member_of(shown[-1].stream, shown[-1].id) if len(found) > limit else ""
        return SessionPage(tuple(shown), cursor)

    def _after(self, wanted: SessionFilter, cursor: str) -> Iterator[Session]:
        """Those that are wanted, from `cursor` on."""
        members = self._members
        start = bisect.bisect_right(members, cursor) if cursor else 0
        end = len(members)
        if wanted.stream is not None:
            start = max(start, bisect.bisect_left(members, first_of(wanted.stream)))
            end = bisect.bisect_left(members, end_of(wanted.stream))
        sessions = (self._sessions[members[index]] for index in range(start, end))
        return (session for session in sessions if wanted.wants(session))

    async def close(self) -> None:
        """Forget all."""
        self._sessions.clear()
        self._members.clear()
        self._counts.clear()
        self._by_id.clear()

    def _keep(self, node: str, touch: SessionTouch, now_us: int) -> None:
        """It was seen now, which makes it the last to be forgotten."""
        member = member_of(touch.stream, touch.id)
        before = self._sessions.get(member)
        session = self._sessions[member] = _seen(node, touch, before, now_us)
        self._sessions.move_to_end(member)
        if before is None:
            bisect.insort(self._members, member)
            self._by_id.setdefault(session.id, set()).add(member)
        else:
            self._count(before, -1)
        self._count(session, 1)

    def _forget(self, member: str) -> None:
        session = self._sessions.pop(member, None)
        if session is None:
            return
        del self._members[bisect.bisect_left(self._members, member)]
        members = self._by_id[session.id]
        members.discard(member)
        if not members:
            del self._by_id[session.id]
        self._count(session, -1)

    def _count(self, session: Session, count: int) -> None:
        kind = session.stream, session.kind
        self._counts[kind] += count
        if not self._counts[kind]:
            del self._counts[kind]

    def _expire(self) -> int:
        """Forget those that nobody has seen for their time to live; Unix microseconds now."""
        now_us = round(self._wall_clock() * US_PER_S)
        while self._sessions:
            member, session = next(iter(self._sessions.items()))
            if session.seen_us + self._ttl_us > now_us:
                break
            self._forget(member)
        return now_us


def _opened_us(touch: SessionTouch, before: Session | None, now_us: int) -> int:
    """When it began: a player of HLS that goes to another node is new there alone."""
    if before is None:
        return touch.opened_us or now_us
    return min(touch.opened_us, before.opened_us) if touch.opened_us else before.opened_us


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
        opened_us=_opened_us(touch, before, now_us),
        seen_us=now_us,
        url=about.url,
        query=about.query,
        user_agent=about.user_agent,
        codecs=about.codecs,
        queued_bytes=touch.queued_bytes,
        skips=touch.skips,
        first_media_ms=touch.first_media_ms,
    )
