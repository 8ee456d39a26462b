"""The log of events in Redis, which all replicas share.

```
PREFIX events:log:SHARD        stream of events: e their text, c their number in the shard, s who is there after it,
                               b the bytes of all texts before it
PREFIX events:clock, :count    what positions are made of: the server's time, which never falls, and a number
PREFIX events:counts, :bytes   hashes of the last number by shard, and of the bytes of all texts that ever were in it
PREFIX events:told:NODE        the last number that was told by an incarnation of a node; ends by itself
PREFIX events:once:ID          an id that several schedulers may tell of; ends by itself
PREFIX events:PART:STREAM      hash of the sessions in, out and push of a stream: the nodes that have it, and the event it began by
PREFIX events:of:NODE, :nodes  hash of how many sessions a node has of which stream; and all nodes that have any
PREFIX events:cursors:SHARD    hash of how far each receiver has read
PREFIX events:dead             stream of dead letters
```
The scripts make their keys up, so this is for one server (with replicas or not), and not for a Redis Cluster. A list of events is
kept by a script, whole or not at all, and answered when it is in the server's memory and, where it has an append-only file, was
written to that: `appendfsync everysec` loses nothing when the server's process dies, and up to a second when its machine does.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

from lalmesh.runtime.event_log import (
    BEGINNING,
    SHARDS,
    DeadLetter,
    EventBounds,
    EventCursor,
    EventPage,
    EventsUnavailable,
    LoggedEvent,
    position_key,
    shard_of,
)
from lalmesh.runtime.events import Event, number_of
from services.scheduler.events._scripts import APPEND, COMMIT, MAX_APPENDED
from services.scheduler.events._told import (
    Part,
    change_of,
    parse,
    parse_letter,
    serialize,
    serialize_letter,
    stop_event,
    viewer_event,
    with_sessions,
)
from services.scheduler.reached import Reached
from services.scheduler.redis_client import RedisSettings, answering, redis_client

AWAY_S = 0.5  #: hint after which asking again makes sense
MAX_TRIMMED = 1000  #: events that one call forgets
LEAST_READ = 8  #: events of each shard that are read together
SCANNED = 500  #: sessions that are looked through in one go for those of a node that has gone


class RedisEventLog:
    """The log in Redis (see `lalmesh.runtime.event_log.EventLog`). Build it on the loop that uses it."""

    is_shared = True

    def __init__(self, redis: RedisSettings, bounds: EventBounds | None = None, *, reached: Reached | None = None) -> None:
        """A client that connects at its first call; `reached` is told what becomes of each."""
        self._reached = reached or Reached()
        self._bounds = bounds or EventBounds()
        self.dropped = 0  #: see `EventLog`
        self._timeout_s = redis.timeout_s
        self._prefix = f"{redis.prefix}events:"
        self._redis: Any = redis_client(redis)
        self._logs = [f"{self._prefix}log:{shard}" for shard in range(SHARDS)]
        self._dead = f"{self._prefix}dead"

    def take(self, bounds: EventBounds) -> None:
        """See `EventLog.take`."""
        self._bounds = bounds

    async def append(self, events: Sequence[Event]) -> None:
        """See `EventLog.append`."""
        await self._append([argument for event in events for argument in _arguments(event)])

    async def read(self, shards: Sequence[int], after: str, limit: int) -> EventPage:
        """See `EventLog.read`."""
        each = limit if len(shards) == 1 else max(LEAST_READ, 4 * limit // len(shards))
        async with self._asking():
            pipe = self._redis.pipeline(transaction=True)  # all at one moment: no event behind the last one comes in between
            for shard in shards:
                pipe.xrange(self._logs[shard], f"({after}", "+", each)
            answers = await pipe.execute()
        full = [position_key(entries[-1][0]) for entries in answers if len(entries) == each]
        until = min(full, default=None)  # of a shard that has more nothing is known behind what was read
        found = sorted(
            (position_key(entry[0]), shard, entry) for shard, entries in zip(shards, answers, strict=True) for entry in entries
        )
        known = [(shard, entry) for key, shard, entry in found if until is None or key <= until]
        shown = tuple(_logged(shard, entry) for shard, entry in known[:limit])
        return EventPage(shown, shown[-1].position if shown else after, until is not None or len(known) > limit)

    async def wait(self, after: str, wait_s: float) -> str:
        """See `EventLog.wait`."""
        async with self._asking(wait_s):
            if not await self._redis.xread(dict.fromkeys(self._logs, after), count=1, block=max(1, round(wait_s * 1000))):
                return after
            pipe = self._redis.pipeline(transaction=False)
            pipe.get(f"{self._prefix}clock")
            pipe.get(f"{self._prefix}count")
            clock, count = await pipe.execute()
        newest = f"{clock or 0}-{count or 0}"
        return max(after, newest, key=position_key)

    async def cursor(self, shard: int, receiver: str, since_ms: int) -> EventCursor:
        """See `EventLog.cursor`."""
        key = f"{self._prefix}cursors:{shard}"
        async with self._asking():
            known = await self._redis.hget(key, receiver)
            if known is None:
                before = await self._count_at(shard, f"{since_ms}-0")
                await self._redis.hsetnx(key, receiver, f"{since_ms}-0 {before}")
                known = await self._redis.hget(key, receiver)
        return _cursor(known)

    async def _count_at(self, shard: int, position: str) -> int:
        """Number of the last event of a shard that is not behind a position; of those that are the first may be trimmed."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.hget(f"{self._prefix}counts", shard)
        pipe.xrange(self._logs[shard], f"({position}", "+", 1)
        last, behind = await pipe.execute()
        return int(behind[0][1]["c"]) - 1 if behind else int(last or 0)

    async def commit(self, shard: int, receiver: str, cursor: EventCursor) -> None:
        """See `EventLog.commit`."""
        ms, number = position_key(cursor.position)
        async with self._asking():
            await self._redis.eval(COMMIT, 1, f"{self._prefix}cursors:{shard}", receiver, ms, number, cursor.count)

    async def trim(self, shard: int, receivers: Sequence[str], keep: int) -> int:
        """See `EventLog.trim`."""
        log = self._logs[shard]
        async with self._asking():
            count, cursors = await self._redis.xlen(log), await self._redis.hgetall(f"{self._prefix}cursors:{shard}")
            read = [_cursor(cursors[name]).position if name in cursors else BEGINNING for name in receivers]
            if count <= keep:
                return int(count)
            until = min(read, key=position_key) if read else "+"
            going = await self._redis.xrange(log, "-", until, min(count - keep, MAX_TRIMMED))
            if going:
                ms, number = position_key(going[-1][0])
                count -= await self._redis.xtrim(log, minid=f"{ms}-{number + 1}", approximate=False)
        return int(count)

    async def counts(self) -> list[int]:
        """See `EventLog.counts`."""
        async with self._asking():
            found = await self._redis.hgetall(f"{self._prefix}counts")
        return [int(found.get(str(shard), 0)) for shard in range(SHARDS)]

    async def incarnations(self) -> set[str]:
        """See `EventLog.incarnations`."""
        async with self._asking():
            return set(await self._redis.smembers(f"{self._prefix}nodes"))

    async def forget_node(self, incarnation: str) -> int:
        """See `EventLog.forget_node`."""
        ended = 0
        async with self._asking():
            fields = await self._redis.hkeys(f"{self._prefix}of:{incarnation}")
        for name in fields:
            part, _, quoted = name.partition(" ")
            async for session_id, start in self._sessions_of(incarnation, f"{self._prefix}{part}:{quoted}"):
                stop = stop_event(start, round(time.time() * 1e6))
                shard = shard_of(stop.stream, stop.node)
                viewer = serialize(viewer_event(stop)) if part == Part.OUT.value else ""
                await self._append([shard, stop.id, incarnation, "", part, "?", quoted, session_id, serialize(stop), viewer])
                ended += 1
        async with self._asking():
            await self._redis.delete(f"{self._prefix}of:{incarnation}")
            await self._redis.srem(f"{self._prefix}nodes", incarnation)
        return ended

    async def bury(self, letter: DeadLetter) -> None:
        """See `EventLog.bury`."""
        async with self._asking():
            kept = {"l": serialize_letter(letter)}
            await self._redis.xadd(self._dead, kept, maxlen=self._bounds.letters, approximate=True)

    async def letters(self, after: str, limit: int) -> list[DeadLetter]:
        """See `EventLog.letters`."""
        async with self._asking():
            entries = await self._redis.xrange(self._dead, f"({after}" if after else "-", "+", limit)
        return [parse_letter(letter_id, fields["l"]) for letter_id, fields in entries]

    async def letter(self, letter_id: str) -> DeadLetter | None:
        """See `EventLog.letter`."""
        async with self._asking():
            entries = await self._redis.xrange(self._dead, letter_id, letter_id)
        return parse_letter(letter_id, entries[0][1]["l"]) if entries else None

    async def forget_letter(self, letter_id: str) -> bool:
        """See `EventLog.forget_letter`."""
        async with self._asking():
            return bool(await self._redis.xdel(self._dead, letter_id))

    async def count_letters(self) -> int:
        """See `EventLog.count_letters`."""
        async with self._asking():
            return int(await self._redis.xlen(self._dead))

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _append(self, arguments: Sequence[str | int]) -> None:
        size = MAX_APPENDED * ARGUMENTS
        bounds = self._bounds
        for start in range(0, len(arguments), size):
            part = arguments[start : start + size]
            async with self._asking():
                self.dropped += await self._redis.eval(APPEND, 0, self._prefix, bounds.shard_events, bounds.shard_bytes, *part)

    async def _sessions_of(self, incarnation: str, key: str) -> AsyncIterator[tuple[str, Event]]:
        cursor = 0
        while True:
            async with self._asking():
                cursor, found = await self._redis.hscan(key, cursor, count=SCANNED)
            for session_id, value in found.items():
                nodes, _, start = value.partition("\n")
                if f"{incarnation}," in nodes:
                    yield session_id, parse(start)
            if not cursor:
                return

    def _asking(self, longer_s: float = 0.0) -> AbstractAsyncContextManager[None]:
        """Give what runs inside the deadline, and the log's errors."""
        return answering(self._reached, self._timeout_s + longer_s, partial(EventsUnavailable, retry_after_s=AWAY_S))


ARGUMENTS = 10  #: of each event, see `APPEND`


def _arguments(event: Event) -> Iterable[str | int]:
    change, numbered = change_of(event), number_of(event.id)
    node, number = numbered or ("", "")
    yield from (shard_of(event.stream, event.node), event.id, node, number)
    if change is None or event.stream is None:
        yield from ("", "", "", "", serialize(event), "")
        return
    viewer = serialize(viewer_event(event)) if change.part is Part.OUT else ""
    yield from (
        change.part.value,
        "+" if change.begins else "-",
        event.stream.quoted(),
        change.session_id,
        serialize(event),
        viewer,
    )


def _logged(shard: int, entry: tuple[str, dict[str, str]]) -> LoggedEvent:
    position, fields = entry
    event, state = parse(fields["e"]), fields["s"]
    if state:
        event = with_sessions(event, has_in=state[0] == "1", has_out=state[1] == "1")
    return LoggedEvent(position, shard, int(fields["c"]), event)


def _cursor(text: str) -> EventCursor:
    position, _, count = text.partition(" ")
    return EventCursor(position, int(count))
