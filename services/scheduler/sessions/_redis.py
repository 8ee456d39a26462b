"""The session directory in Redis, which all replicas share.

```
PREFIX session:MEMBER    hash: what is known of a session, see `_scripts`; ends by itself some time after its time to live
PREFIX sessions:ends     sorted set of members by the Unix milliseconds at which they end: what has to be swept
PREFIX sessions:index    sorted set of "KEY MEMBER", all of score 0, so in the order of their names: what is counted and paged, a
                         session once for each of its keys (`_names.keys_of`)
```
Every call sweeps first what has ended, so what is not swept is alive. The clock is the server's own. The scripts make
their keys up, so this is for one server (with replicas or not), and not for a Redis Cluster. A server that does not answer is left
alone for `AWAY_S`: nobody waits for it twice in a row, and nothing but figures depends on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

from lalmesh.names import StreamKey
from lalmesh.runtime.sessions import (
    ALL,
    MAX_PAGE,
    Session,
    SessionCounts,
    SessionFilter,
    SessionKind,
    SessionPage,
    SessionsUnavailable,
    SessionTouch,
)
from services.scheduler.reached import Reached
from services.scheduler.redis_client import RedisSettings, answering, redis_client
from services.scheduler.sessions._names import checked_limit, counted, end_of, first_of, id_key, key_for, kind_key, member_of
from services.scheduler.sessions._scripts import DROP, SWEEP, TOUCH, arguments_of, session_of
from services.scheduler.sessions._settings import SESSION_TTL_S

log = logging.getLogger(__name__)

AWAY_S = 1.0  #: that a server which failed is left alone
MAX_SWEPT = 500  #: members that one round sweeps: some milliseconds of the server
MAX_TOUCHED = 200  #: sessions that one script takes in: some milliseconds of the server, too
MAX_SAME_ID = 16  #: sessions that nodes gave the same id
MAX_LOOKS = 8  #: for one page, each at as many sessions as the page may hold: where few of many are wanted, it is a short one


class RedisSessions:
    """The session directory in Redis (see `lalmesh.runtime.sessions.SessionDirectory`). Build it on the loop that uses it."""

    def __init__(self, settings: RedisSettings, *, ttl_s: float = SESSION_TTL_S, reached: Reached | None = None) -> None:
        """A client that connects at its first call; a session lives `ttl_s` seconds without being seen.

        `reached` is told what becomes of each call.
        """
        self._reached = reached or Reached()
        self._timeout_s = settings.timeout_s
        self._ttl_ms = round(ttl_s * 1000)
        self._hash = f"{settings.prefix}session:"
        self._ends = f"{settings.prefix}sessions:ends"
        self._index = f"{settings.prefix}sessions:index"
        self._away_until = 0.0
        self._redis = redis_client(settings)

    async def touch(self, node: str, sessions: Sequence[SessionTouch]) -> None:
        """See `SessionDirectory.touch`. Each part of thousands has a deadline of its own; those before one that fails are in."""
        seen = [touch for touch in sessions if not touch.over]
        over = [member_of(touch.stream, touch.id) for touch in sessions if touch.over]
        for start in range(0, max(1, len(seen)), MAX_TOUCHED):
            async with self._asking():
                pipe = self._redis.pipeline(transaction=False)
                if not start:
                    pipe.eval(SWEEP, 2, self._ends, self._index, self._hash, MAX_SWEPT)
                if part := seen[start : start + MAX_TOUCHED]:
                    self._keep(pipe, node, part)
                if start + MAX_TOUCHED >= len(seen):
                    self._drop(pipe, over)
                await pipe.execute()

    async def remove(self, sessions: Sequence[tuple[StreamKey, str]]) -> None:
        """See `SessionDirectory.remove`."""
        async with self._asking():
            pipe = self._redis.pipeline(transaction=False)
            self._drop(pipe, [member_of(stream, session_id) for stream, session_id in sessions])
            await pipe.execute()

    async def count(self, streams: Sequence[StreamKey]) -> list[SessionCounts]:
        """See `SessionDirectory.count`."""
        async with self._asking():
            await self._sweep_all()
            pipe = self._redis.pipeline(transaction=False)
            for stream in streams:
                for kind in SessionKind:
                    key = kind_key(kind)
                    pipe.zlexcount(self._index, f"[{key} {first_of(stream)}", f"({key} {end_of(stream)}")
            counts = iter(await pipe.execute())
        return [counted({kind: next(counts) for kind in SessionKind}) for _ in streams]

    async def find(self, session_id: str) -> list[Session]:
        """See `SessionDirectory.find`."""
        key = id_key(session_id)
        async with self._asking():
            await self._sweep_all()
            return await self._read(await self._members(key, f"[{key} ", f"({key}!", MAX_SAME_ID))

    async def page(self, wanted: SessionFilter = ALL, *, cursor: str = "", limit: int = MAX_PAGE) -> SessionPage:
        """See `SessionDirectory.page`."""
        checked_limit(limit)
        key, stream = key_for(wanted), wanted.stream
        begin = f"[{key} {first_of(stream)}" if stream is not None else f"[{key} "
        end = f"({key} {end_of(stream)}" if stream is not None else f"({key}!"
        found: list[Session] = []
        async with self._asking():
            await self._sweep_all()
            for _ in range(MAX_LOOKS):
                if cursor:
                    begin = max(begin, f"({key} {cursor}", key=lambda bound: bound[1:])
                members = await self._members(key, begin, end, limit + 1)
                for session in await self._read(members[:limit]):
                    if wanted.wants(session):
                        found.append(session)
                    cursor = member_of(session.stream, session.id)
                    if len(found) == limit:
                        break
                else:
                    cursor = members[limit - 1] if len(members) > limit else ""
                if not cursor or len(found) == limit:
                    break
            is_last = not cursor or not await self._members(key, f"({key} {cursor}", end, 1)
        return SessionPage(tuple(found), "" if is_last else cursor)

    async def close(self) -> None:
        """Give connections back."""
        await self._redis.aclose()

    def _keep(self, pipe: Any, node: str, sessions: Sequence[SessionTouch]) -> None:
        arguments: list[str | int] = [self._hash, self._ttl_ms, node]
        for touch in sessions:
            arguments += arguments_of(touch, node)
        pipe.eval(TOUCH, 2, self._ends, self._index, *arguments)

    def _drop(self, pipe: Any, members: Sequence[str]) -> None:
        for start in range(0, len(members), MAX_TOUCHED):
            pipe.eval(DROP, 2, self._ends, self._index, self._hash, *members[start : start + MAX_TOUCHED])

    async def _sweep_all(self) -> None:
        while await self._redis.eval(SWEEP, 2, self._ends, self._index, self._hash, MAX_SWEPT) == MAX_SWEPT:
            pass

    async def _members(self, key: str, begin: str, end: str, limit: int) -> list[str]:
        found = await self._redis.zrangebylex(self._index, begin, end, 0, limit)
        return [entry[len(key) + 1 :] for entry in found]

    async def _read(self, members: Sequence[str]) -> list[Session]:
        """The sessions of these names; those that are gone meanwhile are left out."""
        pipe = self._redis.pipeline(transaction=False)
        for member in members:
            pipe.hgetall(self._hash + member)
        values = await pipe.execute() if members else []
        return [session_of(member, value) for member, value in zip(members, values, strict=True) if value]

    @contextlib.asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        """Give what runs inside the deadline, and the directory's errors."""
        loop = asyncio.get_running_loop()
        left_s = self._away_until - loop.time()
        if left_s > 0:
            raise SessionsUnavailable("redis: did not answer a moment ago", retry_after_s=left_s)
        try:
            async with answering(self._reached, self._timeout_s, partial(SessionsUnavailable, retry_after_s=AWAY_S)):
                yield
        except SessionsUnavailable:
            self._away_until = loop.time() + AWAY_S
            raise
