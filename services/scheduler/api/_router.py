"""From operations to an application: who may, what is asked, what is answered."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from http import HTTPStatus
from typing import Any

from aiohttp import web

from lalmesh.runtime.cors import CorsPolicy
from lalmesh.runtime.http_port import Answer as Handler
from lalmesh.runtime.turns import Turns
from services.scheduler.api._checking import check_body, check_headers, check_parts, check_query, read_body, refuse_query
from services.scheduler.api._openapi import make_document
from services.scheduler.api._operation import Answer, Asked, Operation
from services.scheduler.api._permission import Permission
from services.scheduler.api._problem import ProblemError, problem_of, problems
from services.scheduler.api._readable import POLICY, make_page
from services.scheduler.api._turnstile import TURN, Turnstile

log = logging.getLogger(__name__)

JSON = "application/json"
#: what a web page may send, beside what any may: the token and the type of a body, and where it was in a stream of events
PAGE_HEADERS = "Authorization, Content-Type, Last-Event-ID"
#: in each round of the loop, some 2 ms: among thousands who only ask whether it is alive, whoever has to know hears it soon
PROBES = 16
_PART = re.compile(r"\{(\w+)\}")


class Api:
    """The application of some operations."""

    def __init__(
        self, operations: Sequence[Operation], permission: Permission, cors: CorsPolicy, turnstile: Turnstile | None = None
    ) -> None:
        """Prepare.

        Args:
            operations: what can be asked for.
            permission: who may.
            cors: which web pages may.
            turnstile: how many requests at a time; one of its own by default.

        Raises:
            ValueError: two operations would be one.
        """
        #: who may
        self.permission = permission
        self._cors = cors
        self._turnstile = turnstile or Turnstile()
        self._probes = Turns(PROBES)
        self._paths: dict[str, dict[str, Operation]] = {}
        shapes: dict[str, str] = {}
        for operation in operations:
            shape = _PART.sub("{}", operation.path)
            methods = self._paths.setdefault(operation.path, {})
            if operation.method in methods or shapes.setdefault(shape, operation.path) != operation.path:
                raise ValueError(f"{operation.method} {operation.path} is there already")
            methods[operation.method] = operation
        self._operations = operations

    @cached_property
    def document(self) -> dict[str, Any]:
        """The OpenAPI document."""
        return make_document(self._operations)

    def take(self, permission: Permission, cors_origins: tuple[str, ...]) -> None:
        """Go by these from now on."""
        self.permission = permission
        self._cors.allow(cors_origins)

    def app(self) -> web.Application:
        """The application."""
        app = web.Application(middlewares=[problems, self._others_in_turn])
        for path, methods in self._paths.items():
            app.router.add_route("*", _pattern(path, methods), _Path(self, methods).answer)
        app.router.add_get("/openapi.json", _Described(lambda: json.dumps(self.document), JSON, {}).answer)
        page = _Described(lambda: make_page(self.document), "text/html", {"Content-Security-Policy": POLICY})
        app.router.add_get("/docs", page.answer)
        app.on_response_prepare.append(self._add_headers)
        return app

    async def answer(self, operation: Operation, request: web.Request) -> web.StreamResponse:
        """The answer to a request for `operation`."""
        try:
            weight = TURN if operation.is_heavy else 1
            if operation.is_counted:
                return await self._turnstile.let_in(weight, self._answer, operation, request)
            await (self._probes if operation.is_probe else self._turnstile).wait(weight)
            return await self._answer(operation, request)
        except Exception as exc:
            if operation.refusal is None or (isinstance(exc, web.HTTPException) and exc.status < 400):
                raise
            return operation.refusal(problem_of(exc, request))

    async def _answer(self, operation: Operation, request: web.Request) -> web.StreamResponse:
        asked = await self._check(operation, request)
        if request.method == "HEAD" and operation.media_type != JSON:
            return web.Response(content_type=operation.media_type)  # what streams would never end
        return _sent(operation, await operation.handler(asked))

    @web.middleware
    async def _others_in_turn(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let in what is asked for beside operations: documents, the console, what there is not, preflights."""
        path = getattr(request.match_info.handler, "__self__", None)
        if isinstance(path, _Path) and path.operation(request.method) is not None:
            return await handler(request)
        return await self._turnstile.let_in(1, handler, request)

    def preflight(self, request: web.Request, allowed: Sequence[str]) -> web.Response:
        """What may be asked for, also by a page of another origin that wants to know before it does."""
        said = {"Allow": ", ".join(allowed)}
        if "Access-Control-Request-Method" in request.headers:
            said |= self._cors.preflight(request.headers.get("Origin"), PAGE_HEADERS, said["Allow"])
        return web.Response(status=HTTPStatus.NO_CONTENT, headers=said)

    async def _check(self, operation: Operation, request: web.Request) -> Asked:
        """The request as it was checked: who asks comes first, so nobody learns more than he may."""
        granted = self.permission.check(request, operation.role)
        if operation.changes and granted.token:
            log.info("%s %s by token %s", request.method, request.path, granted.token)
        return Asked(
            request=request,
            path=_path(operation, request),
            query=_query(operation, request),
            headers=None if operation.headers is None else check_headers(operation.headers, request.headers),
            body=await _body(operation, request),
            role=granted.role,
            token=granted.token,
            may_still=lambda: self.permission.allows(request, operation.role),
            turn=self._turnstile.wait_for,
        )

    async def _add_headers(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        response.headers.setdefault("Cache-Control", "no-store")
        for name, value in self._cors.headers(request.headers.get("Origin")).items():
            known = response.headers.get(name)
            response.headers[name] = f"{known}, {value}" if known else value  # Vary may have been there


class _Described:
    """What is told of all operations: made when it is asked for first, in a thread.

    It takes 0.2 s: few schedulers are asked for it, and theirs have nodes to answer meanwhile.
    """

    def __init__(self, make: Callable[[], str], media_type: str, headers: Mapping[str, str]) -> None:
        self._make = make
        self._media_type = media_type
        self._headers = headers
        self._made: asyncio.Future[str] | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The same for everybody."""
        if self._made is None:
            self._made = asyncio.get_running_loop().run_in_executor(None, self._make)
        text = await asyncio.shield(self._made)  # the others go on where one that waits has gone
        return web.Response(text=text, content_type=self._media_type, headers=self._headers)


def _pattern(path: str, methods: Mapping[str, Operation]) -> str:
    """The path as the router takes it; a part may hold line breaks, to be refused like other names."""
    deep = {name for operation in methods.values() for name in operation.deep_parts}
    return _PART.sub(lambda part: f"{{{part[1]}:{'(?s:.+)' if part[1] in deep else '[^/]+'}}}", path)


class _Path:
    """The operations of one path."""

    def __init__(self, api: Api, methods: Mapping[str, Operation]) -> None:
        self._api = api
        self._methods = methods
        self._any = next((operation for operation in methods.values() if operation.any_method), None)
        self._allowed = sorted({*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"})

    def operation(self, method: str) -> Operation | None:
        """What is asked for by a method; None where nothing is."""
        found = self._methods.get("GET" if method == "HEAD" else method)
        return found if found is not None or method == "OPTIONS" else self._any

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The answer to a request of whatever method."""
        operation = self.operation(request.method)
        if operation is not None:
            return await self._api.answer(operation, request)
        if request.method == "OPTIONS":
            return self._api.preflight(request, self._allowed)
        raise ProblemError(
            HTTPStatus.METHOD_NOT_ALLOWED, f"{request.path[:50]} takes {', '.join(self._allowed)}", allow=self._allowed
        )


def _path(operation: Operation, request: web.Request) -> Mapping[str, str]:
    if operation.parts is not None:
        check_parts(operation.parts, request.match_info)
    return dict(request.match_info)


def _query(operation: Operation, request: web.Request) -> Any:
    if operation.query is not None:
        return check_query(operation.query, request.query.items())
    refuse_query(request.query)
    return None


async def _body(operation: Operation, request: web.Request) -> Any:
    if operation.body is None:
        return None
    body = await read_body(request, operation.max_body_bytes, any_type=operation.any_body_type)
    if body or operation.body_required:
        return check_body(operation.body, body)
    return operation.body()


def _sent(operation: Operation, answer: Answer | web.StreamResponse) -> web.StreamResponse:
    """The answer as it is sent, held to what the operation says of it."""
    if isinstance(answer, web.StreamResponse):
        return answer
    model = operation.answers.get(answer.status)
    if answer.status not in operation.answers or (answer.body is not None and not isinstance(answer.body, model or ())):
        raise TypeError(f"{operation.method} {operation.path} answers {answer.status.value} with {type(answer.body).__name__}")
    if answer.body is None:
        return web.Response(status=answer.status, headers=answer.headers)
    return web.Response(text=answer.body.model_dump_json(), status=answer.status, content_type=JSON, headers=answer.headers)
