"""The HTTP port of a scheduler has the deadlines of every listener, and a bound to what is asked at a time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from http import HTTPStatus

import aiohttp
import pytest
from pydantic import BaseModel
from support.members import eventually

from lalmesh.runtime.listener import ListenerLimits
from services.scheduler import SchedulerApp
from services.scheduler import app as scheduler_app
from services.scheduler.api import Answer, ApiRole, Asked, Operation, _turnstile
from services.scheduler.registry import MemoryRegistry

LIMIT_S = 10.0


async def test_it_waits_for_nobody_who_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler_app, "HTTP_LIMITS", ListenerLimits(handshake_timeout_s=0.1))
    app = SchedulerApp(MemoryRegistry(time.monotonic), [b"key"], http_port=0)
    async with asyncio.timeout(LIMIT_S):
        await app.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", app.http_port)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
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


async def _status(client: aiohttp.ClientSession, url: str) -> int:
    async with client.get(url) as answer:
        return answer.status
