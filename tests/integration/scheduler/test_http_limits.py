"""The HTTP port of a scheduler has the deadlines of every listener, and a bound to what is asked at a time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import AsyncExitStack
from http import HTTPStatus

import aiohttp
import pytest
from pydantic import BaseModel
from support.members import eventually

from lalmesh.runtime.listener import ListenerLimits
from lalmesh.runtime.scrapes import ANSWERS
from services.scheduler import SchedulerApp
from services.scheduler.api import Answer, ApiRole, ApiSettings, ApiToken, Asked, Operation, _turnstile, hash_token
from services.scheduler.api._router import PROBES
from services.scheduler.api._turnstile import TURN
from services.scheduler.registry import MemoryRegistry

LIMIT_S = 30.0


async def test_it_waits_for_nobody_who_says_nothing() -> None:
    api = ApiSettings(limits=ListenerLimits(handshake_timeout_s=0.1))
    app = SchedulerApp(MemoryRegistry(time.monotonic), [b"key"], http_port=0, api=api)
    async with asyncio.timeout(LIMIT_S):
        await app.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", app.http_port)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        await app.stop()


async def test_one_address_has_its_share_of_connections_and_of_wrong_tokens() -> None:
    token = ApiToken(name="a", role=ApiRole.ADMIN, hash=hash_token("secret"))
    api = ApiSettings(tokens=(token,), limits=ListenerLimits(connections_per_address=2), token_failures_per_minute=2)
    app = SchedulerApp(MemoryRegistry(time.monotonic), [b"key"], http_port=0, api=api)
    async with asyncio.timeout(LIMIT_S), AsyncExitStack() as stack:
        await app.start()
        first, second, third = [await stack.enter_async_context(aiohttp.ClientSession()) for _ in range(3)]
        looked, changed = f"http://127.0.0.1:{app.http_port}/v1/nodes", f"http://127.0.0.1:{app.http_port}/v1/tokens"
        assert [await _status(each, looked) for each in (first, second, third)] == [200, 200, 503]
        assert [await _status(first, changed, bearer) for bearer in ("x", "secret", "y", "secret")] == [401, 200, 401, 429]
        assert await _status(first, looked, "secret") == 200
        app.take(ApiSettings(tokens=(token,), token_failures_per_minute=2))
        assert await _status(third, looked) == 200
        assert await _status(third, changed, "secret") == 429, "failures are not forgotten"
        app.take(ApiSettings(tokens=(token,)))
        assert await _status(third, changed, "secret") == 200
        await app.stop()


async def test_who_listens_to_events_is_not_closed_for_saying_nothing() -> None:
    api = ApiSettings(limits=ListenerLimits(idle_timeout_s=0.01))
    app = SchedulerApp(MemoryRegistry(time.monotonic), [b"key"], http_port=0, api=api)
    async with asyncio.timeout(LIMIT_S), aiohttp.ClientSession() as client:
        await app.start()
        http = app._http
        assert http is not None
        async with client.get(f"http://127.0.0.1:{app.http_port}/v1/events") as answer:
            assert (await answer.content.readline()).startswith(b"retry:")
            await asyncio.sleep(0.05)
            http.sweep()
            await asyncio.sleep(0.05)
            assert len(http.admission) == 1
        await eventually(lambda: len(http.admission) == 0)
        await app.stop()


async def test_beyond_so_many_requests_it_says_when_to_come_again_and_is_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_turnstile, "MAX_UNDER_WAY", 2)
    ended, under_way = asyncio.Event(), 0

    async def wait(asked: Asked) -> Answer:
        nonlocal under_way
        under_way += 1
        await ended.wait()
        return Answer(status=HTTPStatus.NO_CONTENT)

    app = SchedulerApp(MemoryRegistry(time.monotonic), [b"key"], http_port=0)
    answers: dict[HTTPStatus, type[BaseModel] | None] = {HTTPStatus.NO_CONTENT: None}
    app.operations.append(
        Operation(method="GET", path="/v1/wait", tag="test", summary="Wait.", handler=wait, role=ApiRole.ANYBODY, answers=answers)
    )
    async with asyncio.timeout(LIMIT_S), aiohttp.ClientSession() as client:
        await app.start()
        url = f"http://127.0.0.1:{app.http_port}"
        waiting = [asyncio.create_task(_status(client, f"{url}/v1/wait")) for _ in range(2)]
        await eventually(lambda: under_way == 2)
        async with client.get(f"{url}/v1/nodes") as answer:
            assert (answer.status, answer.headers["Retry-After"], answer.content_type) == (503, "1", "application/problem+json")
            assert (await answer.json(content_type=None))["status"] == 503
        assert {await _status(client, f"{url}/{path}") for path in ("healthz", "readyz", "metrics")} == {200}
        ended.set()
        assert await asyncio.gather(*waiting) == [204, 204]
        assert await _status(client, f"{url}/v1/nodes") == 200
        await app.stop()


async def _status(client: aiohttp.ClientSession, url: str, bearer: str = "") -> int:
    async with client.get(url, headers={"Authorization": f"Bearer {bearer}"} if bearer else {}) as answer:
        return answer.status


@pytest.mark.parametrize(
    ("path", "status", "room", "count"),
    [
        ("/healthz", 200, PROBES, 300),
        ("/metrics", 200, ANSWERS, 50),
        ("/nothing", 404, TURN, 300),
        ("/console/nothing", 404, TURN, 300),
    ],
)
async def test_who_sends_many_requests_without_waiting_for_answers_keeps_the_loop_from_nothing_else(
    path: str, status: int, room: int, count: int
) -> None:
    """As many as come in one read would be answered in one go."""
    rounds, answers = 0, 0

    async def go_round() -> None:
        nonlocal rounds
        while True:
            await asyncio.sleep(0)
            rounds += 1

    app = SchedulerApp(MemoryRegistry(time.monotonic), [b"key"], http_port=0)
    async with asyncio.timeout(LIMIT_S):
        await app.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", app.http_port)
        going = asyncio.create_task(go_round())
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * count)
        while answers < count:
            answers += f"HTTP/1.1 {status}".encode() in await reader.readline()  # behind a body, perhaps
        going.cancel()
        writer.close()
        await app.stop()
    assert rounds >= count // room


async def test_documents_and_preflights_have_their_turn_and_are_refused_beyond_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    app = SchedulerApp(MemoryRegistry(time.monotonic), [b"key"], http_port=0)
    async with asyncio.timeout(LIMIT_S), aiohttp.ClientSession() as client:
        await app.start()
        url = f"http://127.0.0.1:{app.http_port}"
        assert [await _status(client, f"{url}/{path}") for path in ("openapi.json", "docs", "nothing")] == [200, 200, 404]
        async with client.options(f"{url}/v1/nodes") as answer:
            assert answer.status == 204
        monkeypatch.setattr(_turnstile, "MAX_UNDER_WAY", 0)
        assert [await _status(client, f"{url}/{path}") for path in ("openapi.json", "docs", "nothing")] == [503] * 3
        async with client.options(f"{url}/v1/nodes") as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert await _status(client, f"{url}/healthz") == 200
        await app.stop()
