"""A cluster of schedulers for each test, once over the registry in memory and once over a real etcd."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from support.members import LIMIT_S
from support.schedulers import LASTING_S, LEASE_S, Cluster, etcd_registries

from services.scheduler import forgotten
from services.scheduler.registry import MemoryRegistry


@asynccontextmanager
async def running(request: pytest.FixtureRequest, lease_s: int) -> AsyncGenerator[Cluster]:
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            store = MemoryRegistry(time.monotonic)
            clock = asyncio.create_task(store.keep_time())
            stack.push_async_callback(store.close)
            stack.callback(clock.cancel)
            cluster = Cluster(itertools.repeat(store), stack, lease_s=lease_s)
        else:
            registries = etcd_registries(request.getfixturevalue("etcd_server"), stack, LIMIT_S)
            cluster = Cluster(registries, stack, lease_s=lease_s)
        await cluster.replica()
        yield cluster


@pytest.fixture(params=["memory", "etcd"])
async def cluster(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    monkeypatch.setattr(forgotten, "GIVEN_UP_S", 2 * LIMIT_S)  # most members report nothing of what they were granted
    async with running(request, LASTING_S) as cluster:
        yield cluster


@pytest.fixture(params=["memory", "etcd"])
async def quick_cluster(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    """The same for tests about leases that run out, or that would without being renewed."""
    monkeypatch.setattr(forgotten, "GIVEN_UP_S", 2 * LIMIT_S)
    async with running(request, LEASE_S) as cluster:
        yield cluster
