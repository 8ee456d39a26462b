"""The API of some operations, asked without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import Mock

from aiohttp import StreamReader, web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from services.scheduler.api import ApiSettings, Operation, problems

#: where requests come in: made once, since a mock costs more than an answer does
_CONNECTION = make_mocked_request("GET", "/", app=web.Application())
_READ_BY = Mock(_reading_paused=False)


class Web:
    """Asks an API."""

    def __init__(self, *operations: Operation, remote: str = "192.0.2.1", **settings: Any) -> None:
        """Ask for `operations` from the address `remote`."""
        self._remote = remote
        self._app = ApiSettings(**settings).build(operations).app()

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> web.StreamResponse:
        """The answer; headers have underscores for hyphens."""
        sent = CIMultiDict({"Host": "localhost"} | {name.replace("_", "-"): value for name, value in headers.items()})
        if body:
            sent.setdefault("Content-Type", "application/json")
            sent["Content-Length"] = str(len(body))
        payload = StreamReader(_READ_BY, 2**16, loop=asyncio.get_running_loop())
        payload.feed_data(body)
        payload.feed_eof()
        request = make_mocked_request(
            method,
            path,
            headers=sent,
            payload=payload,
            app=self._app,
            protocol=_CONNECTION.protocol,
            transport=_CONNECTION.transport,
            writer=_CONNECTION.writer,
        ).clone(remote=self._remote)
        request._match_info = found = await self._app.router.resolve(request)
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]] = found.handler
        return await problems(request, handler)

    async def told(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
        """Status and body of the answer."""
        answer = await self.ask(method, path, body, **headers)
        assert isinstance(answer, web.Response)
        return answer.status, json.loads(answer.text or "null")
