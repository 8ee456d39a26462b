"""What a scheduler keeps things in: made as configured, and closed with the process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from lalmesh.runtime.awake import AwakeClock
from lalmesh.runtime.config import Config
from lalmesh.runtime.event_log import EventLog
from lalmesh.runtime.registry import Registry
from lalmesh.runtime.sessions import SessionDirectory

if TYPE_CHECKING:
    from services.scheduler.blacklisting import BlacklistStore
    from services.scheduler.reached import StoreMetrics


async def open_registry(config: Config, stack: AsyncExitStack, stores: StoreMetrics) -> Registry:
    """The registry: etcd, which `stores` tell of, or memory where none is configured; `stack` closes it."""
    from services.scheduler.registry import EXPIRE_CHECK_S, EtcdRegistry, MemoryRegistry
    from services.standalone.scheduler_settings import etcd_settings

    if config.scheduler.etcd.endpoints:
        registry: Registry = EtcdRegistry(etcd_settings(config), stores.of("etcd"))
    else:
        # leases of nodes that are in this process do not run while it does not
        memory = MemoryRegistry(AwakeClock(asyncio.get_running_loop().time, step_s=2 * EXPIRE_CHECK_S))
        await stack.enter_async_context(_running(memory.keep_time()))
        registry = memory
    stack.push_async_callback(registry.close)
    return registry


def open_sessions(config: Config, stack: AsyncExitStack, stores: StoreMetrics) -> SessionDirectory:
    """The directory of sessions: Redis, which `stores` tell of, or memory where none is configured; `stack` closes it."""
    from services.scheduler.sessions import MemorySessions, RedisSessions
    from services.standalone.scheduler_settings import redis_settings

    redis, ttl_s = redis_settings(config), config.scheduler.session_ttl_s
    if redis is None:
        directory: SessionDirectory = MemorySessions(ttl_s=ttl_s)
    else:
        directory = RedisSessions(redis, ttl_s=ttl_s, reached=stores.of("redis"))
    stack.push_async_callback(directory.close)
    return directory


def open_blacklist(config: Config, stack: AsyncExitStack, stores: StoreMetrics) -> BlacklistStore:
    """The blacklist: in Redis, which `stores` tell of, or memory where none is configured; `stack` closes it."""
    from services.scheduler.blacklisting import MemoryBlacklist, RedisBlacklist
    from services.standalone.scheduler_settings import redis_settings

    redis = redis_settings(config)
    store: BlacklistStore = MemoryBlacklist() if redis is None else RedisBlacklist(redis, reached=stores.of("redis"))
    stack.push_async_callback(store.close)
    return store


def open_event_log(config: Config, stack: AsyncExitStack, stores: StoreMetrics) -> EventLog:
    """The log of events: Redis, which `stores` tell of, or memory where none is configured; `stack` closes it."""
    from services.scheduler.events import MemoryEventLog, RedisEventLog
    from services.standalone.scheduler_settings import event_bounds, redis_settings

    redis, bounds = redis_settings(config), event_bounds(config)
    if redis is None:
        events: EventLog = MemoryEventLog(bounds)
    else:
        events = RedisEventLog(redis, bounds, reached=stores.of("redis"))
    stack.push_async_callback(events.close)
    return events


@contextlib.asynccontextmanager
async def _running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `work` in a task for as long as the block lasts."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
