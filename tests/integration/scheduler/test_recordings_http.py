"""``/v1/recordings``: what it answers, and to whom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from services.scheduler import SchedulerApp
from services.scheduler.api import ApiRole, ApiSettings, ApiToken, hash_token
from services.scheduler.registry import MemoryRegistry

LIMIT_S, LOOK_S = 30.0, 0.02
RULE = {"stream": "live/cam [1]", "formats": ["flv", "mp4"], "keep_s": 60}


class Api:
    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url, self._session = url, session

    async def ask(self, method: str, path: str = "", **more: Any) -> tuple[int, dict[str, object]]:
        async with self._session.request(method, f"{self.url}/v1/recordings{path}", **more) as answer:
            text = await answer.text()
            return answer.status, await answer.json(content_type=None) if text else {}


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def api(stack: AsyncExitStack, token: str = "") -> Api:
    tokens = (ApiToken(name="a", role=ApiRole.ADMIN, hash=hash_token(token)),) if token else ()
    registry = MemoryRegistry(asyncio.get_running_loop().time)
    app = SchedulerApp(registry, [b"key"], http_port=0, api=ApiSettings(tokens=tokens))
    await app.start()
    stack.push_async_callback(app.stop)
    await app.service.ready()
    return Api(f"http://127.0.0.1:{app.http_port}", await stack.enter_async_context(aiohttp.ClientSession()))


async def test_rules_come_are_listed_and_go(stack: AsyncExitStack) -> None:
    web = await api(stack)
    status, made = await web.ask("POST", json=RULE)
    assert status == 201
    assert (made["stream"], made["pattern"], made["source"]) == ("live/cam [1]", "live/cam [[]1]", "api")
    status, page = await web.ask("GET")
    assert (status, page["items"]) == (200, [made])
    assert await web.ask("DELETE", f"/{made['id']}") == (204, {})
    assert (await web.ask("DELETE", f"/{made['id']}"))[0] == 404
    for _ in range(round(LIMIT_S / LOOK_S)):
        if (await web.ask("GET"))[1]["items"] == []:
            break
        await asyncio.sleep(LOOK_S)
    else:
        raise AssertionError("the rule is still listed")


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"data": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ({"json": {"pattern": "*", "formats": ["webm"]}}, 400),
        ({"json": []}, 400),
        ({"data": b"{}", "headers": {"Content-Type": "text/plain"}}, 415),
        ({"data": b" " * 100_000, "headers": {"Content-Type": "application/json"}}, 413),
        ({"json": RULE, "headers": {"X-Forwarded-For": "192.0.2.1"}}, 403),
        ({"json": RULE, "headers": {"Host": "attacker.example"}}, 403),
        ({"json": RULE, "headers": {"Host": "localhost:80"}}, 201),
    ],
)
async def test_what_is_wrong_is_a_problem(stack: AsyncExitStack, more: dict[str, Any], status: int) -> None:
    web = await api(stack)
    found, body = await web.ask("POST", **more)
    assert found == status
    assert body.get("status", 201) == status


async def test_a_configured_token_is_needed(stack: AsyncExitStack) -> None:
    web = await api(stack, "0123456789abcdef")
    assert (await web.ask("POST", json=RULE))[0] == 401
    assert (await web.ask("POST", json=RULE, headers={"Authorization": "Bearer 0123456789abcdeX"}))[0] == 401
    assert (await web.ask("POST", json=RULE, headers={"Authorization": "Bearer 0123456789abcdef"}))[0] == 201
    assert (await web.ask("DELETE", "/1"))[0] == 401
    assert (await web.ask("GET"))[0] == 200
