"""The blacklist in Redis, which all replicas share.

```
PREFIX blacklist           hash: by network a JSON object with expires_us, created_us, reason
PREFIX blacklist:version   number that grows with every change: who has seen it has seen the list
PREFIX blacklist:began     when the list had its first version, by the server's clock: another one tells that it was lost
```
A server that lost its data has no version, or a list that began anew; each replica that notices writes back what it knew and is not
there. Lists of before have no beginning until they are lost.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial

from lalmesh.runtime.scheduling.control import MAX_BLACKLIST
from lalmesh.runtime.sessions import SessionsUnavailable
from services.scheduler.blacklisting._store import BlacklistFullError, Listed
from services.scheduler.reached import Reached
from services.scheduler.redis_client import RedisSettings, answering, redis_client

log = logging.getLogger(__name__)

RETRY_S = 1.0

#: Add networks; those whose time is over make room. KEYS: list, version, beginning. ARGV: most networks, Unix microseconds now;
#: then network and JSON of each. Returns 0 where there is no room for all.
PUT = """
local adds = 0
for i = 3, #ARGV, 2 do
    if redis.call('HEXISTS', KEYS[1], ARGV[i]) == 0 then adds = adds + 1 end
end
if redis.call('HLEN', KEYS[1]) + adds > tonumber(ARGV[1]) then
    local all = redis.call('HGETALL', KEYS[1])
    for i = 1, #all, 2 do
        local ends = cjson.decode(all[i + 1]).expires_us
        if ends > 0 and ends <= tonumber(ARGV[2]) then redis.call('HDEL', KEYS[1], all[i]) end
    end
    if redis.call('HLEN', KEYS[1]) + adds > tonumber(ARGV[1]) then return 0 end
end
for i = 3, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
if redis.call('INCR', KEYS[2]) == 1 then
    local time = redis.call('TIME')
    redis.call('SET', KEYS[3], time[1] .. '.' .. time[2])
end
return 1
"""

#: Take a network off. KEYS: list, version. ARGV: network. Returns whether it was on it.
REMOVE = """
local found = redis.call('HDEL', KEYS[1], ARGV[1])
if found == 1 then redis.call('INCR', KEYS[2]) end
return found
"""


class RedisBlacklist:
    """The blacklist in Redis (see `BlacklistStore`). Build it on the loop that uses it."""

    def __init__(
        self, settings: RedisSettings, wall_clock: Callable[[], float] = time.time, *, reached: Reached | None = None
    ) -> None:
        """A client that connects at its first call; `reached` is told what becomes of each."""
        self._reached = reached or Reached()
        self._list = f"{settings.prefix}blacklist"
        self._version_key = f"{settings.prefix}blacklist:version"
        self._began_key = f"{settings.prefix}blacklist:began"
        self._keys = (self._list, self._version_key, self._began_key)
        self._timeout_s = settings.timeout_s
        self._wall_clock = wall_clock
        self._redis = redis_client(settings)
        self._version: tuple[str | None, str | None] = (None, None)  # and when the list began
        self._known: dict[str, Listed] | None = None

    async def load(self) -> Mapping[str, Listed] | None:
        """See `BlacklistStore.load`."""
        async with self._asking():
            version = await self._read_version()
            if self._known and (version[0] is None or version[1] != self._version[1]):
                await self._write_back(self._known.values())
                version = await self._read_version()
            if self._known is not None and version == self._version:
                return None
            known = {network: _listed(network, text) for network, text in (await self._redis.hgetall(self._list)).items()}
        self._version, self._known = version, known
        return dict(known)

    async def _read_version(self) -> tuple[str | None, str | None]:
        number, began = await self._redis.mget(self._version_key, self._began_key)
        return number, began

    async def _write_back(self, known: Iterable[Listed]) -> None:
        """Add what was on a list that is gone, but for what somebody has put on the new one since."""
        there = set(await self._redis.hkeys(self._list))
        lost = [each for each in known if each.network not in there and not each.is_over(self._now_us())]
        log.warning("redis: the blacklist is gone: %d networks are written back", len(lost))
        try:
            await self._write(lost)
        except BlacklistFullError:
            log.error("redis: %d networks of the blacklist that is gone have no room on the new one", len(lost))

    async def put(self, listed: Sequence[Listed]) -> None:
        """See `BlacklistStore.put`."""
        async with self._asking():
            await self._write(listed)

    async def remove(self, network: str) -> bool:
        """See `BlacklistStore.remove`."""
        async with self._asking():
            return bool(await self._redis.eval(REMOVE, 2, self._list, self._version_key, network))

    async def close(self) -> None:
        """Give connections back."""
        await self._redis.aclose()

    async def _write(self, listed: Sequence[Listed]) -> None:
        arguments = [part for each in listed for part in (each.network, _text(each))]
        if not await self._redis.eval(PUT, 3, *self._keys, MAX_BLACKLIST, self._now_us(), *arguments):
            raise BlacklistFullError

    def _now_us(self) -> int:
        return round(self._wall_clock() * 1_000_000)

    def _asking(self) -> AbstractAsyncContextManager[None]:
        """Give what runs inside the deadline, and the errors of a store."""
        return answering(self._reached, self._timeout_s, partial(SessionsUnavailable, retry_after_s=RETRY_S))


def _text(listed: Listed) -> str:
    return json.dumps({"expires_us": listed.expires_us, "created_us": listed.created_us, "reason": listed.reason})


def _listed(network: str, text: str) -> Listed:
    value = json.loads(text)
    return Listed(network=network, expires_us=value["expires_us"], created_us=value["created_us"], reason=value["reason"])
