"""A cluster of schedulers for each test, once over the registry in memory and once over a real etcd."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from support.schedulers import Cluster, etcd_registries

from services.scheduler.registry import MemoryRegistry


@pytest.fixture(params=["memory", "etcd"])
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            store = MemoryRegistry(time.monotonic)
            clock = asyncio.create_task(store.keep_time())
            stack.push_async_callback(store.close)
            stack.callback(clock.cancel)
            cluster = Cluster(itertools.repeat(store), stack)
        else:
            cluster = Cluster(etcd_registries(request.getfixturevalue("etcd_server"), stack), stack)
        await cluster.replica()
        yield cluster
