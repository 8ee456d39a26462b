"""The log of events in one process: what a scheduler that is alone needs, and what several have without Redis.

Each replica then has the events that were told to itself, and delivers those.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import time
from bisect import bisect_right
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from lalmesh.names import StreamKey
from lalmesh.runtime.event_log import (
    BEGINNING,
    SHARDS,
    DeadLetter,
    EventBounds,
    EventCursor,
    EventPage,
    LoggedEvent,
    position_key,
    shard_of,
)
from lalmesh.runtime.events import Event, number_of, size_bytes
from services.scheduler.events._told import Part, SessionChange, change_of, stop_event, viewer_event, with_sessions

MAX_ONCE = 100_000  #: ids that are known though they have no number; of more the oldest are forgotten
MAX_TOLD = 10_000  #: nodes, by their starts, of which it is known what they told


@dataclass(slots=True)
class _Session:
    """What began a session, and the nodes at which it is: a player of HLS asks several."""

    start: Event
    nodes: set[str] = field(default_factory=set)  # their incarnations


class MemoryEventLog:
    """The log in memory (see `lalmesh.runtime.event_log.EventLog`)."""

    is_shared = False

    def __init__(self, bounds: EventBounds | None = None, *, wall_clock: Callable[[], float] = time.time) -> None:
        """An empty log; `wall_clock` gives Unix seconds."""
        self._bounds = bounds or EventBounds()
        self._wall_clock = wall_clock
        self.dropped = 0  #: see `EventLog`
        self._shards: list[deque[LoggedEvent]] = [deque() for _ in range(SHARDS)]
        self._bytes = [0] * SHARDS
        self._counts = [0] * SHARDS
        self._last = (0, 0)
        self._told: OrderedDict[str, int] = OrderedDict()
        self._once: OrderedDict[str, None] = OrderedDict()
        self._sessions: dict[tuple[Part, StreamKey], dict[str, _Session]] = {}
        self._held: Counter[str] = Counter()  # sessions by the incarnation of the node that has them
        self._cursors: dict[tuple[int, str], EventCursor] = {}
        self._letters: OrderedDict[str, DeadLetter] = OrderedDict()
        self._letter_number = 0
        self._changed = asyncio.Event()

    def take(self, bounds: EventBounds) -> None:
        """See `EventLog.take`."""
        self._bounds = bounds

    async def append(self, events: Sequence[Event]) -> None:
        """See `EventLog.append`."""
        for event in events:
            if self._is_new(event.id):
                self._append(event)

    async def read(self, shards: Sequence[int], after: str, limit: int) -> EventPage:
        """See `EventLog.read`."""
        start = position_key(after)
        merged = heapq.merge(*(self._behind(shard, start, limit + 1) for shard in shards), key=_key)
        found = list(islice(merged, limit + 1))
        shown = found[:limit]
        return EventPage(tuple(shown), shown[-1].position if shown else after, len(found) > limit)

    async def wait(self, after: str, wait_s: float) -> str:
        """See `EventLog.wait`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while self._last <= position_key(after):
                    self._changed.clear()
                    await self._changed.wait()
        return _position(self._last)

    async def cursor(self, shard: int, receiver: str, since_ms: int) -> EventCursor:
        """See `EventLog.cursor`."""
        if (shard, receiver) not in self._cursors:
            first = next(self._behind(shard, (since_ms, 0), 1), None)
            before = first.count - 1 if first is not None else self._counts[shard]
            self._cursors[shard, receiver] = EventCursor(f"{since_ms}-0", before)
        return self._cursors[shard, receiver]

    async def commit(self, shard: int, receiver: str, cursor: EventCursor) -> None:
        """See `EventLog.commit`."""
        before = self._cursors.get((shard, receiver))
        if before is None or position_key(before.position) < position_key(cursor.position):
            self._cursors[shard, receiver] = cursor

    async def trim(self, shard: int, receivers: Sequence[str], keep: int) -> int:
        """See `EventLog.trim`."""
        events = self._shards[shard]
        read = [self._cursors[shard, name].position if (shard, name) in self._cursors else BEGINNING for name in receivers]
        until = min(map(position_key, read), default=self._last)
        while len(events) > keep and position_key(events[0].position) <= until:
            self._pop(shard)
        return len(events)

    async def counts(self) -> list[int]:
        """See `EventLog.counts`."""
        return list(self._counts)

    async def incarnations(self) -> set[str]:
        """See `EventLog.incarnations`."""
        return set(self._held)

    async def forget_node(self, incarnation: str) -> int:
        """See `EventLog.forget_node`."""
        at_us = round(self._wall_clock() * 1e6)
        ended = 0
        for (part, stream), sessions in list(self._sessions.items()):
            for session_id, session in list(sessions.items()):
                if incarnation in session.nodes:
                    ended += 1
                    change = SessionChange(part, False, session_id)
                    self._told_of_session(stop_event(session.start, at_us), stream, change, incarnation)
        return ended

    async def bury(self, letter: DeadLetter) -> None:
        """See `EventLog.bury`."""
        self._letter_number += 1
        letter = replace(letter, id=f"{letter.at_us // 1000}-{self._letter_number}")
        self._letters[letter.id] = letter
        while len(self._letters) > self._bounds.letters:
            self._letters.popitem(last=False)

    async def letters(self, after: str, limit: int) -> list[DeadLetter]:
        """See `EventLog.letters`."""
        start = position_key(after or BEGINNING)
        return list(islice((letter for letter in self._letters.values() if position_key(letter.id) > start), limit))

    async def letter(self, letter_id: str) -> DeadLetter | None:
        """See `EventLog.letter`."""
        return self._letters.get(letter_id)

    async def forget_letter(self, letter_id: str) -> bool:
        """See `EventLog.forget_letter`."""
        return self._letters.pop(letter_id, None) is not None

    async def count_letters(self) -> int:
        """See `EventLog.count_letters`."""
        return len(self._letters)

    async def close(self) -> None:
        """Nothing is to be given back."""

    def _is_new(self, event_id: str) -> bool:
        numbered = number_of(event_id)
        if numbered is None:
            known = event_id in self._once
            self._once[event_id] = None
            while len(self._once) > MAX_ONCE:
                self._once.popitem(last=False)
            return not known
        incarnation, number = numbered
        if number <= self._told.get(incarnation, 0):
            return False
        self._told[incarnation] = number
        self._told.move_to_end(incarnation)
        while len(self._told) > MAX_TOLD:
            self._told.popitem(last=False)
        return True

    def _append(self, event: Event) -> None:
        change = change_of(event)
        if change is None or event.stream is None:
            self._keep(event)
        else:
            numbered = number_of(event.id)
            self._told_of_session(event, event.stream, change, numbered[0] if numbered else "")

    def _told_of_session(self, event: Event, stream: StreamKey, change: SessionChange, node: str) -> None:
        """Keep the event unless it only says that a session is at one node more, or less."""
        sessions = self._sessions.setdefault((change.part, stream), {})
        session = sessions.get(change.session_id)
        is_news = session is None
        if change.begins:
            if session is None:
                session = sessions[change.session_id] = _Session(event)
            if node not in session.nodes:
                session.nodes.add(node)
                self._held[node] += 1
        elif session is not None:
            if node in session.nodes:
                session.nodes.remove(node)
                self._let_go(node)
            is_news = not session.nodes
            if is_news:
                del sessions[change.session_id]
        count = len(sessions)
        if not sessions:
            del self._sessions[change.part, stream]
        if not is_news:
            return
        self._keep(with_sessions(event, has_in=self._has(stream, Part.IN), has_out=self._has(stream, Part.OUT, Part.PUSH)))
        if change.part is Part.OUT and session is not None and count == (1 if change.begins else 0):
            self._keep(viewer_event(event))

    def _let_go(self, node: str) -> None:
        self._held[node] -= 1
        if not self._held[node]:
            del self._held[node]

    def _has(self, stream: StreamKey, *parts: Part) -> bool:
        return any((part, stream) in self._sessions for part in parts)

    def _keep(self, event: Event) -> None:
        shard = shard_of(event.stream, event.node)
        ms, number = self._last
        self._last = max(ms, round(self._wall_clock() * 1000)), number + 1
        self._counts[shard] += 1
        self._shards[shard].append(LoggedEvent(_position(self._last), shard, self._counts[shard], event))
        self._bytes[shard] += size_bytes(event)
        while self._is_over(shard):
            self._pop(shard)
            self.dropped += 1
        self._changed.set()

    def _behind(self, shard: int, start: tuple[int, int], limit: int) -> Iterator[LoggedEvent]:
        """At most `limit` events of a shard behind a position, which is found by halves: thousands may be before it."""
        events = self._shards[shard]
        first = bisect_right(events, start, key=_key)
        return (events[index] for index in range(first, min(first + limit, len(events))))

    def _is_over(self, shard: int) -> bool:
        count = len(self._shards[shard])
        return count > 1 and (count > self._bounds.shard_events or self._bytes[shard] > self._bounds.shard_bytes)

    def _pop(self, shard: int) -> None:
        self._bytes[shard] -= size_bytes(self._shards[shard].popleft().event)


def _key(logged: LoggedEvent) -> tuple[int, int]:
    return position_key(logged.position)


def _position(key: tuple[int, int]) -> str:
    return f"{key[0]}-{key[1]}"
