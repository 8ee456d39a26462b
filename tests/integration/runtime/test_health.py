"""Probes and scrapes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter

from lalmesh.runtime import health
from lalmesh.runtime.health import HealthServer
from lalmesh.runtime.listener import ListenerLimits

HOST = "127.0.0.1"
LIMIT_S = 10.0


class Site:
    """A health server, and what it is to say."""

    def __init__(self) -> None:
        self.unready = ""
        registry = CollectorRegistry()
        Counter("seen", "Things seen.", registry=registry).inc(3)
        self.server = HealthServer(registry, lambda: self.unready)

    async def get(self, path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(f"http://{HOST}:{self.server.port}{path}") as answer:
            return answer.status, await answer.text()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with asyncio.timeout(LIMIT_S):
        made = Site()
        await made.server.start(HOST, 0)
        yield made
        await made.server.stop()


async def test_a_node_that_is_not_ready_is_alive_and_says_why(site: Site) -> None:
    assert await site.get("/readyz") == (200, "ready\n")
    site.unready = "not joined yet"
    assert await site.get("/readyz") == (503, "not joined yet\n")
    assert await site.get("/healthz") == (200, "ok\n")


async def test_a_scrape_gets_every_metric(site: Site) -> None:
    status, text = await site.get("/metrics")
    assert (status, "seen_total 3.0" in text) == (200, True)
    assert (await site.get("/"))[0] == 404


async def test_who_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LIMITS", ListenerLimits(handshake_timeout_s=0.1))
    async with asyncio.timeout(LIMIT_S):
        server = HealthServer(CollectorRegistry(), str)
        await server.start(HOST, 0)
        reader, writer = await asyncio.open_connection(HOST, server.port)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        await server.stop()
