"""Whether Redis answers, keeps what it is given, and is not about to forget it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from lalmesh.runtime.addresses import host_port
from lalmesh.runtime.config import Config
from services.scheduler.redis_client import redis_client
from services.standalone.doctor._finding import Finding, failed, ok, warning
from services.standalone.doctor._place import Place
from services.standalone.doctor._reach import Reached, client_tls, reach
from services.standalone.scheduler_settings import redis_settings

SLOW_MS = 50.0  #: for one answer
PINGS = 3  #: of which the shortest counts: a machine that was busy for a moment is no slow server
KEPT_S = 10  #: what is written is gone after it, whatever becomes of us


@dataclass(slots=True, frozen=True)
class RedisTime:
    """What time it is by Redis, and by us before and after we asked."""

    told_s: float
    began_s: float
    ended_s: float


def judge_server(subject: str, info: Mapping[str, object], took_ms: float) -> Iterator[Finding]:
    """What a server says of itself, in the words of its INFO."""
    version = info.get("redis_version", "of an unknown version")
    if took_ms > SLOW_MS:
        yield warning(
            subject, f"{version}, answers after {took_ms:.0f} ms", "look for slow commands of others: redis-cli --latency"
        )
    else:
        yield ok(subject, f"{version}, answers after {took_ms:.0f} ms")
    if info.get("role", "master") != "master":
        yield failed(subject, "is a replica, which takes nothing", "name the primary in scheduler.redis.host")
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if info.get("maxmemory") and policy != "noeviction":
        yield warning(
            "memory",
            f"{policy}: when full it throws away sessions and events that nobody was told of",
            "maxmemory-policy noeviction, and room enough",
        )
    persistent = info.get("aof_enabled") or info.get("rdb_last_bgsave_status") == "ok"
    if info.get("rdb_last_bgsave_status") == "err" or info.get("aof_last_write_status") == "err":
        yield failed("persistence", "its last write to disk failed", "look at its disk and its log; it may take nothing more")
    elif persistent:
        yield ok("persistence", "append-only file" if info.get("aof_enabled") else "snapshots")


async def check_redis(place: Place) -> list[Finding]:
    """Redis answers, and takes and gives what is written."""
    config = place.config
    redis = config.scheduler.redis
    if not place.has("scheduler"):
        return []
    if not redis.host:
        if place.role == "standalone":
            return [ok("redis", "none: sessions and events are in memory")]
        found = "none: each scheduler keeps sessions, blacklist and events for itself, and loses them when it ends"
        return [warning("redis", found, "set scheduler.redis.host where there is more than one scheduler")]
    subject = host_port(redis.host, redis.port)
    try:
        tls = client_tls(redis.ca_file, redis.cert_file, redis.key_file) if redis.tls else None
    except OSError as error:
        return [failed(subject, f"TLS files: {error}", "mend scheduler.redis.ca_file, cert_file and key_file")]
    reached = await reach(redis.host, redis.port, place.limit_s / 2, tls)
    if not isinstance(reached, Reached):
        return [failed(subject, reached.reason, reached.remedy)]
    try:
        async with asyncio.timeout(place.limit_s / 2):
            return await _talk(config, subject)
    except (AuthenticationError, NoPermissionError) as error:
        return [failed(subject, str(error), "mend scheduler.redis.username and its password, and what that user may")]
    except TimeoutError:
        return [
            failed(subject, "takes connections and answers nothing", "is it stopped, or loading? See docs/runbooks/redis-away.md")
        ]
    except (RedisError, OSError) as error:
        return [failed(subject, str(error), "see docs/runbooks/redis-away.md")]


async def _ping_ms(client: Redis) -> float:
    began = time.perf_counter()
    await client.ping()
    return (time.perf_counter() - began) * 1000


async def _talk(config: Config, subject: str) -> list[Finding]:
    settings = redis_settings(config)
    assert settings is not None
    client = redis_client(settings)
    try:
        await client.ping()
        took_ms = min([await _ping_ms(client) for _ in range(PINGS)])
        found = list(judge_server(subject, await _info(client), took_ms))
        key, value = f"{settings.prefix}doctor:{secrets.token_hex(8)}", secrets.token_hex(8)
        await client.set(key, value, ex=KEPT_S)
        back = await client.get(key)
        await client.delete(key)
    finally:
        await client.aclose()
    write = f"write below {settings.prefix}"
    if back != value:
        return [*found, failed(write, "gives back something else", "is there a proxy, or a cluster of Redis, in between?")]
    return [*found, ok(write, "written, read, and removed again")]


async def _info(client: Any) -> Mapping[str, object]:
    """What the server says of itself; nothing where our user may not ask, which schedulers do not."""
    try:
        info: Mapping[str, object] = await client.info()
    except NoPermissionError:
        return {}
    return info


async def redis_time(config: Config, limit_s: float) -> RedisTime:
    """What time it is by Redis.

    Raises:
        OSError: it cannot be asked.
        TimeoutError: it does not answer in time.
    """
    settings = redis_settings(config)
    assert settings is not None
    client = redis_client(settings)
    try:
        async with asyncio.timeout(limit_s):
            began = time.time()
            seconds, micros = await client.time()
            return RedisTime(int(seconds) + int(micros) / 1e6, began, time.time())
    except RedisError as error:
        raise OSError(str(error)) from None
    finally:
        await client.aclose()
