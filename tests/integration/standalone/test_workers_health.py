"""Health of a node of several workers, each of which says what it is told to, on real sockets of the loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from lalmesh.runtime.health import HealthServer
from services.standalone.workers._health import WorkersHealth

HOST = "127.0.0.1"
LIMIT_S = 30.0
READY = (200, "ready\n")


class Site:
    """A node, and what its workers are to say of why they are not ready, by number; None: it is not up."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.unready: dict[int, str | None] = {}
        self.ends = False
        self._ports: dict[int, int] = {}
        self._stack = stack

    async def begin(self, *numbers: int) -> None:
        self.health = WorkersHealth(CollectorRegistry(), self._up, lambda: self.ends)
        for number in numbers:
            self.unready[number] = ""
            server = HealthServer(CollectorRegistry(), lambda number=number: self.unready[number] or "")  # type: ignore[misc]
            await self._run(server)
            self._ports[number] = server.port
        await self._run(self.health)

    async def _run(self, server: HealthServer | WorkersHealth) -> None:
        await server.start(HOST, 0)
        self._stack.push_async_callback(server.stop)

    def _up(self) -> dict[int, int]:
        return {number: self._ports[number] if said is not None else 0 for number, said in self.unready.items()}

    async def get(self, path: str = "/readyz") -> tuple[int, str]:
        url = f"http://{HOST}:{self.health.port}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return answer.status, await answer.text()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with asyncio.timeout(LIMIT_S), AsyncExitStack() as stack:
        yield Site(stack)


async def test_a_node_that_starts_is_ready_when_all_its_workers_are(site: Site) -> None:
    await site.begin(1, 2)
    site.unready = {1: "", 2: None}
    assert await site.get() == (503, "worker 2: not up\n")
    site.unready = {1: "", 2: "not joined yet"}
    assert await site.get() == (503, "worker 2: not joined yet\n")
    site.unready = {1: "", 2: ""}
    assert await site.get() == READY


@pytest.mark.parametrize("said", [None, "not joined yet", "draining"])
async def test_a_node_that_was_ready_is_while_one_of_its_workers_is(site: Site, said: str | None) -> None:
    await site.begin(1, 2)
    assert await site.get() == READY
    site.unready[1] = said
    assert await site.get() == READY
    assert (await site.get("/healthz"))[0] == 200
    site.unready[2] = said
    assert await site.get() == (503, f"worker 1: {said or 'not up'}\n")
    site.unready = {2: ""}  # the first is not to run again
    assert await site.get() == READY


async def test_a_server_is_not_ready_without_its_core_nor_without_an_edge(site: Site) -> None:
    await site.begin(0, 1, 2)
    assert await site.get() == READY
    site.unready = {0: "", 1: None, 2: ""}
    assert await site.get() == READY
    site.unready = {0: None, 1: "", 2: ""}
    assert await site.get() == (503, "worker 0: not up\n")
    site.unready = {0: "", 1: None, 2: None}
    assert await site.get() == (503, "worker 1: not up\n")


async def test_a_node_whose_workers_end_is_not_ready(site: Site) -> None:
    await site.begin(1)
    site.ends = True
    assert await site.get() == (503, "draining\n")


@pytest.mark.parametrize("number", ["", "3", "-1", "two", "²", "١"])
async def test_a_worker_that_there_is_not_has_no_profile(site: Site, number: str) -> None:
    await site.begin(1, 2)
    assert await site.get(f"/debug/profile?worker={number}") == (400, "worker: one of 1, 2\n")
