"""The API over real HTTP: web pages of other origins, tokens, what connections are kept for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from support.members import Member

from lalmesh.runtime.api_tokens import ApiRole, ApiToken, hash_token
from lalmesh.runtime.scheduling import Drain, Role
from services.scheduler import SchedulerApp
from services.scheduler.api import ApiSettings
from services.scheduler.registry import MemoryRegistry

PAGE = "https://console.example"
TOKENS = tuple(ApiToken(name=role.name.lower(), role=role, hash=hash_token(role.name)) for role in ApiRole)
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization, content-type"}


class Api:
    def __init__(self, app: SchedulerApp, session: aiohttp.ClientSession) -> None:
        self.app = app
        self._url = f"http://127.0.0.1:{app.http_port}"
        self._session = session

    async def ask(self, method: str, path: str, *, origin: str = "", token: str = "", **more: Any) -> aiohttp.ClientResponse:
        headers = {**({"Origin": origin} if origin else {}), **({"Authorization": f"Bearer {token}"} if token else {})}
        headers |= more.pop("headers", {})
        async with self._session.request(method, f"{self._url}{path}", headers=headers, **more) as answer:
            await answer.read()
            return answer


StartApi = Callable[..., Any]


@pytest.fixture
async def start() -> AsyncIterator[StartApi]:
    async with AsyncExitStack() as stack:

        async def started(**settings: Any) -> Api:
            app = SchedulerApp(MemoryRegistry(asyncio.get_running_loop().time), [b"key"], http_port=0, api=ApiSettings(**settings))
            await app.start()
            stack.push_async_callback(app.stop)
            await app.service.ready()
            return Api(app, await stack.enter_async_context(aiohttp.ClientSession()))

        yield started


async def test_a_listed_page_may_ask_and_a_preflight_runs_nothing(start: StartApi) -> None:
    api = await start(tokens=TOKENS, cors_origins=(PAGE,))
    async with Member("o1", Role.ORIGIN, api.app.service) as node:
        answer = await api.ask("OPTIONS", "/v1/nodes/o1/drain", origin=PAGE, token="ADMIN", headers=PREFLIGHT)
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert answer.headers["Access-Control-Allow-Methods"] == "OPTIONS, POST"
        assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
        assert answer.headers["Vary"] == "Origin"
        await asyncio.sleep(0.3)
        assert not any(isinstance(command, Drain) for command in node.commands)
        answer = await api.ask("POST", "/v1/nodes/o1/drain", origin=PAGE, token="ADMIN")
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (202, PAGE)
        await node.told(Drain)


@pytest.mark.parametrize("path", ["/v1/streams", "/v1/none", "/v1/nodes?page=0", "/openapi.json", "/v1/tokens"])
async def test_other_pages_may_read_nothing(start: StartApi, path: str) -> None:
    api = await start(tokens=TOKENS, cors_origins=(PAGE,))
    for origin in ("https://evil.example", "null", f"{PAGE}.evil.example"):
        answer = await api.ask("GET", path, origin=origin)
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert answer.headers["Vary"] == "Origin"
    assert "Access-Control-Allow-Origin" not in (await api.ask("OPTIONS", path, origin="null", headers=PREFLIGHT)).headers
    assert (await api.ask("GET", path, origin=PAGE)).headers["Access-Control-Allow-Origin"] == PAGE


async def test_any_page_may_ask_where_that_is_wanted_but_not_as_this_machine(start: StartApi) -> None:
    api = await start(cors_origins=("*",))
    answer = await api.ask("GET", "/v1/streams", origin=PAGE)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert (await api.ask("POST", "/v1/nodes/o1/drain", origin=PAGE)).status == 403
    assert (await api.ask("POST", "/v1/nodes/o1/drain")).status == 404


async def test_a_page_of_elsewhere_cannot_use_a_browser_of_this_machine(start: StartApi) -> None:
    api = await start()
    assert (await api.ask("POST", "/v1/nodes/o1/drain", origin=PAGE)).status == 403
    here = f"http://127.0.0.1:{api.app.http_port}"
    assert (await api.ask("POST", "/v1/nodes/o1/drain", origin=here)).status == 404


async def test_tokens_are_listed_to_admins_and_never_shown(start: StartApi) -> None:
    api = await start(tokens=TOKENS[1:])
    for token, status in (("", 401), ("VIEWER", 403), ("OPERATOR", 403)):
        assert (await api.ask("GET", "/v1/tokens", token=token)).status == status
    answer = await api.ask("GET", "/v1/tokens", token="ADMIN")
    text = await answer.text()
    assert [(each["name"], each["role"], each["is_own"]) for each in (await answer.json())["items"]] == [
        ("viewer", "viewer", False),
        ("operator", "operator", False),
        ("admin", "admin", True),
    ]
    assert "sha256" not in text


async def test_a_connection_goes_on_after_a_refusal(start: StartApi) -> None:
    api = await start(tokens=TOKENS)
    for _ in range(3):
        assert (await api.ask("POST", "/v1/recordings", json={"formats": ["flv"]})).status == 401
        assert (await api.ask("POST", "/v1/recordings", token="ADMIN", json={})).status == 400
    head = await api.ask("HEAD", "/v1/streams")
    assert (head.status, head.content_type) == (200, "application/json")
