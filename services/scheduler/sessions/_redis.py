"""The session directory in Redis, which all replicas share.

```
PREFIX session:MEMBER    hash: node, protocol, peer, sent_bytes, opened_us, seen_us; ends by itself after its time to live
PREFIX sessions:ends     sorted set of members by the Unix milliseconds at which they end: what has to be swept
PREFIX sessions:index    sorted set of members, all of score 0, so in the order of their names: what is counted and paged
```
Every call sweeps first what has ended, so the sets are as right as the hashes. The clock is the server's own. The scripts make
their keys up, so this is for one server (with replicas or not), and not for a Redis Cluster. A server that does not answer is left
alone for `AWAY_S`: nobody waits for it twice in a row, and nothing but figures depends on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from lalmesh.names import StreamKey
from lalmesh.runtime.sessions import MAX_PAGE, Session, SessionPage, SessionsUnavailable, SessionTouch
from services.scheduler.sessions._names import checked_limit, end_of, first_of, member_of, split_member
from services.scheduler.sessions._settings import SESSION_TTL_S, RedisSettings

log = logging.getLogger(__name__)

AWAY_S = 1.0  #: that a server which failed is left alone
MAX_SWEPT = 1000  #: members that one round sweeps: about a millisecond of the server
MAX_CONNECTIONS = 16  #: calls of one scheduler that are under way together; the next counts as failed

MAX_TOUCHED = 200  #: sessions that one script takes in: about a millisecond of the server, too

#: Drop what has ended from both sets. KEYS: ends, index. ARGV: how many at most. Returns how many.
SWEEP = """
local time = redis.call('TIME')
local over = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', time[1] * 1000 + math.floor(time[2] / 1000), 'LIMIT', 0, ARGV[1])
if #over > 0 then
    redis.call('ZREM', KEYS[1], unpack(over))
    redis.call('ZREM', KEYS[2], unpack(over))
end
return #over
"""

#: Take sessions in. Six commands for each, sent from here, would cost twenty times the processor time (138 to 7 µs a session).
#: KEYS: ends, index. ARGV: what hashes begin with, time to live in ms, node; then member, protocol, peer, bytes of each.
TOUCH = """
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = string.format('%.0f', now_us)
for i = 4, #ARGV, 4 do
    local key = ARGV[1] .. ARGV[i]
    redis.call('HSETNX', key, 'opened_us', now)
    redis.call('HINCRBY', key, 'sent_bytes', ARGV[i + 3])
    redis.call('HSET', key, 'node', ARGV[3], 'protocol', ARGV[i + 1], 'peer', ARGV[i + 2], 'seen_us', now)
    redis.call('PEXPIRE', key, ARGV[2])
    redis.call('ZADD', KEYS[1], math.floor(now_us / 1000) + ARGV[2], ARGV[i])
    redis.call('ZADD', KEYS[2], 0, ARGV[i])
end
"""


class RedisSessions:
    """The session directory in Redis (see `lalmesh.runtime.sessions.SessionDirectory`). Build it on the loop that uses it."""

    def __init__(self, settings: RedisSettings, *, ttl_s: float = SESSION_TTL_S) -> None:
        """A client that connects at its first call; a session lives `ttl_s` seconds without being seen."""
        self._timeout_s = settings.timeout_s
        self._ttl_ms = round(ttl_s * 1000)
        self._hash = f"{settings.prefix}session:"
        self._ends = f"{settings.prefix}sessions:ends"
        self._index = f"{settings.prefix}sessions:index"
        self._away_until = 0.0
        self._redis = _client(settings)

    async def touch(self, node: str, sessions: Sequence[SessionTouch]) -> None:
        """See `SessionDirectory.touch`."""
        seen = [touch for touch in sessions if not touch.over]
        async with self._asking():
            pipe = self._redis.pipeline(transaction=False)
            pipe.eval(SWEEP, 2, self._ends, self._index, MAX_SWEPT)
            for start in range(0, len(seen), MAX_TOUCHED):
                self._keep(pipe, node, seen[start : start + MAX_TOUCHED])
            for touch in sessions:
                if touch.over:
                    self._drop(pipe, member_of(touch.stream, touch.id))
            await pipe.execute()

    async def remove(self, sessions: Sequence[tuple[StreamKey, str]]) -> None:
        """See `SessionDirectory.remove`."""
        async with self._asking():
            pipe = self._redis.pipeline(transaction=False)
            for stream, session_id in sessions:
                self._drop(pipe, member_of(stream, session_id))
            await pipe.execute()

    async def count(self, streams: Sequence[StreamKey]) -> list[int]:
        """See `SessionDirectory.count`."""
        async with self._asking():
            await self._sweep_all()
            pipe = self._redis.pipeline(transaction=False)
            for stream in streams:
                pipe.zlexcount(self._index, f"[{first_of(stream)}", f"({end_of(stream)}")
            return [int(count) for count in await pipe.execute()]

    async def page(self, *, stream: StreamKey | None = None, cursor: str = "", limit: int = MAX_PAGE) -> SessionPage:
        """See `SessionDirectory.page`."""
        start = f"({cursor}" if cursor else f"[{first_of(stream)}" if stream else "-"
        end = f"({end_of(stream)}" if stream else "+"
        async with self._asking():
            await self._sweep_all()
            members = await self._redis.zrangebylex(self._index, start, end, 0, checked_limit(limit) + 1)
            shown = members[:limit]
            pipe = self._redis.pipeline(transaction=False)
            for member in shown:
                pipe.hgetall(self._hash + member)
            values = await pipe.execute()
        sessions = [_session(member, value) for member, value in zip(shown, values, strict=True) if value]
        return SessionPage(tuple(sessions), shown[-1] if len(members) > limit else "")

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    def _keep(self, pipe: Any, node: str, touches: Sequence[SessionTouch]) -> None:
        told: list[str | int] = []
        for touch in touches:
            told += (member_of(touch.stream, touch.id), touch.protocol, touch.peer, touch.sent_bytes)
        pipe.eval(TOUCH, 2, self._ends, self._index, self._hash, self._ttl_ms, node, *told)

    def _drop(self, pipe: Any, member: str) -> None:
        pipe.delete(self._hash + member)
        pipe.zrem(self._ends, member)
        pipe.zrem(self._index, member)

    async def _sweep_all(self) -> None:
        while await self._redis.eval(SWEEP, 2, self._ends, self._index, MAX_SWEPT) == MAX_SWEPT:
            pass

    @contextlib.asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        """Give what runs inside the deadline, and the directory's errors."""
        loop = asyncio.get_running_loop()
        left_s = self._away_until - loop.time()
        if left_s > 0:
            raise SessionsUnavailable("redis: did not answer a moment ago", retry_after_s=left_s)
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except (RedisError, OSError, TimeoutError) as exc:
            self._away_until = loop.time() + AWAY_S
            raise SessionsUnavailable(f"redis: {exc or type(exc).__name__}", retry_after_s=AWAY_S) from exc


def _client(settings: RedisSettings) -> Any:  # its stubs give every command two types, one of them not for asyncio
    """The client; a connection that has gone stale is replaced once, and beyond that the deadline of the call is the bound."""
    return Redis(
        host=settings.host,
        port=settings.port,
        db=settings.database,
        username=settings.username or None,
        password=settings.password or None,
        ssl=settings.tls,
        ssl_ca_certs=settings.ca_file or None,
        ssl_certfile=settings.cert_file or None,
        ssl_keyfile=settings.key_file or None,
        socket_timeout=settings.timeout_s,
        socket_connect_timeout=settings.timeout_s,
        max_connections=MAX_CONNECTIONS,
        retry=Retry(NoBackoff(), 1),
        decode_responses=True,
    )


def _session(member: str, value: dict[str, str]) -> Session:
    stream, session_id = split_member(member)
    return Session(
        id=session_id,
        stream=stream,
        protocol=value.get("protocol", ""),
        node=value.get("node", ""),
        peer=value.get("peer", ""),
        sent_bytes=int(value.get("sent_bytes", 0)),
        opened_us=int(value.get("opened_us", 0)),
        seen_us=int(value.get("seen_us", 0)),
    )
