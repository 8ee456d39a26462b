"""Probes and scrapes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from lalmesh.runtime import health
from lalmesh.runtime.health import TURN, HealthServer
from lalmesh.runtime.listener import ListenerLimits
from lalmesh.runtime.profile_http import ProfileHttp
from lalmesh.runtime.scrapes import ANSWERS

HOST = "127.0.0.1"
TOKEN = "let-me-see-your-stacks"
LIMIT_S = 30.0


class Site:
    """A health server, and what it is to say."""

    def __init__(self) -> None:
        self.unready = ""
        registry = CollectorRegistry()
        self.seen = Counter("seen", "Things seen.", registry=registry)
        self.seen.inc(3)
        self.server = HealthServer(registry, lambda: self.unready, ProfileHttp(TOKEN, "here"))

    async def get(self, path: str, token: str = "") -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"http://{HOST}:{self.server.port}{path}"
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
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


async def test_a_profile_is_for_whoever_has_the_token(site: Site) -> None:
    assert (await site.get("/debug/profile"))[0] == 401
    assert (await site.get("/debug/profile", "another"))[0] == 401
    status, text = await site.get("/debug/profile?seconds=1&format=collapsed", TOKEN)
    assert status == 200
    assert "MainThread;" in text
    assert "test_a_profile_is_for_whoever_has_the_token" not in text  # it waits in its loop
    status, text = await site.get("/debug/profile?seconds=1", TOKEN)
    assert json.loads(text)["profiles"][0]["type"] == "sampled"


async def test_what_a_node_holds_is_for_whoever_has_the_token(site: Site) -> None:
    assert (await site.get("/debug/objects"))[0] == 401
    status, text = await site.get("/debug/objects", TOKEN)
    told = json.loads(text)
    assert status == 200
    assert told["types"][f"{Site.__module__}.Site"] >= 1
    assert told["objects"] > told["timers"] > 0


@pytest.mark.parametrize("query", ["seconds=0", "seconds=61", "seconds=x", "seconds=nan", "format=svg"])
async def test_a_profile_of_another_sort_is_refused(site: Site, query: str) -> None:
    assert (await site.get(f"/debug/profile?{query}", TOKEN))[0] == 400


async def test_one_profile_is_made_at_a_time(site: Site) -> None:
    first = asyncio.create_task(site.get("/debug/profile?seconds=60", TOKEN))
    await asyncio.sleep(0.3)
    assert (await site.get("/debug/profile?seconds=1", TOKEN))[0] == 409
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_without_a_token_there_is_no_profile() -> None:
    server = HealthServer(CollectorRegistry(), str)
    await server.start(HOST, 0)
    async with aiohttp.ClientSession() as session, session.get(f"http://{HOST}:{server.port}/debug/profile") as answer:
        assert answer.status == 404
    await server.stop()


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


@pytest.mark.parametrize(("path", "room"), [("/healthz", TURN), ("/readyz", TURN), ("/metrics", ANSWERS)])
async def test_who_asks_without_end_keeps_the_loop_from_nothing_else_and_is_answered(site: Site, path: str, room: int) -> None:
    count, rounds, answers = 100, 0, 0

    async def go_round() -> None:
        nonlocal rounds
        while True:
            await asyncio.sleep(0)
            rounds += 1

    reader, writer = await asyncio.open_connection(HOST, site.server.port)
    going = asyncio.create_task(go_round())
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * count)
    while answers < count:
        answers += (await reader.readline()).startswith(b"HTTP/1.1 200")
    going.cancel()
    writer.close()
    assert rounds >= count // room


async def test_metrics_that_many_ask_for_are_made_once_and_show_what_was_before(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = 0

    def count(registry: CollectorRegistry) -> bytes:
        nonlocal texts
        texts += 1
        return generate_latest(registry)

    monkeypatch.setattr(health, "generate_latest", count)
    answers = await asyncio.gather(*(site.get("/metrics") for _ in range(50)))
    assert all("seen_total 3.0" in text for _, text in answers)
    assert texts < 50
    for seen in range(4, 8):
        site.seen.inc()
        assert f"seen_total {seen}.0" in (await site.get("/metrics"))[1]
