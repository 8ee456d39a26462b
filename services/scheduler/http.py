"""The HTTP face of the scheduler: health, metrics, and what the cluster carries. Reads only."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Generic, TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler

from services.scheduler.listing import describe_node, describe_stream
from services.scheduler.service import SchedulerService

log = logging.getLogger(__name__)

DEFAULT_ITEMS = 100
MAX_ITEMS_PER_PAGE = 1000  #: some 600 KB of JSON, and a few milliseconds of the loop

_Key = TypeVar("_Key")


class ProblemError(Exception):
    """A request that is answered with a problem (RFC 9457)."""

    def __init__(self, status: HTTPStatus, detail: str, *, field: str = "", retry_after_s: float = 0) -> None:
        """Keep the status and what is wrong, with which `field` of the body, and when another try may do (0: not known)."""
        self.status = status
        self.detail = detail
        self.field = field
        self.retry_after_s = retry_after_s
        super().__init__(detail)


def make_app(service: SchedulerService) -> web.Application:
    """The application that answers for `service`."""
    face = HttpFace(service)
    app = web.Application(middlewares=[problems])
    app.router.add_get("/healthz", face.healthz)
    app.router.add_get("/readyz", face.readyz)
    app.router.add_get("/metrics", face.metrics)
    app.router.add_get("/v1/streams", face.streams)
    app.router.add_get("/v1/nodes", face.nodes)
    return app


class HttpFace:
    """The handlers."""

    def __init__(self, service: SchedulerService) -> None:
        """Answer for `service`."""
        self._service = service

    async def healthz(self, request: web.Request) -> web.Response:
        """Whether the process does its work."""
        if not self._service.is_running:
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "the scheduler does not follow the registry")
        return web.Response(text="ok\n")

    async def readyz(self, request: web.Request) -> web.Response:
        """Whether it can answer: the term is known and the registry was listed once."""
        if not self._service.is_ready:
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "the registry was not read yet")
        return web.Response(text="ok\n")

    async def metrics(self, request: web.Request) -> web.Response:
        """Prometheus' text format."""
        return web.Response(body=self._service.metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def streams(self, request: web.Request) -> web.Response:
        """Every stream of the cluster, a page at a time."""
        page = Page.of(request, self._service.directory.streams())
        players = await self._service.count_sessions(page.shown)
        shown = zip(page.shown, players, strict=True)
        return page.answer([describe_stream(self._service, stream, count) for stream, count in shown])

    async def nodes(self, request: web.Request) -> web.Response:
        """Every node of the cluster, a page at a time."""
        page = Page.of(request, self._service.directory.nodes())
        return page.answer([describe_node(self._service, record) for record in page.shown])


@dataclass(slots=True, frozen=True)
class Page(Generic[_Key]):
    """Some of many. A page beyond the last is empty."""

    number: int
    size: int
    count: int  #: of all
    shown: Sequence[_Key]

    @classmethod
    def of(cls, request: web.Request, keys: Sequence[_Key]) -> Page[_Key]:
        """The page of `keys` that was asked for."""
        number = _number(request, "page", default=1, limit=None)
        size = _number(request, "items_per_page", default=DEFAULT_ITEMS, limit=MAX_ITEMS_PER_PAGE)
        return cls(number, size, len(keys), keys[(number - 1) * size : number * size])

    def answer(self, items: list[dict[str, Any]]) -> web.Response:
        """The page with its `items`, one for each that is shown."""
        pages = -(-self.count // self.size)
        return web.json_response({"page": self.number, "item_count": self.count, "page_count": pages, "items": items})


def _number(request: web.Request, name: str, *, default: int, limit: int | None) -> int:
    """A query parameter that is a number from 1 to `limit`."""
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) < 1:
        raise ProblemError(HTTPStatus.BAD_REQUEST, f"{name} must be a whole number from 1, not {text[:50]!r}")
    if limit is not None and int(text) > limit:
        raise ProblemError(HTTPStatus.BAD_REQUEST, f"{name} of {text}, limit {limit}")
    return int(text)


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer what goes wrong as ``application/problem+json``."""
    try:
        return await handler(request)
    except ProblemError as exc:
        return _problem(exc.status, exc.detail, _headers(exc), exc.field)
    except web.HTTPException as exc:
        if exc.status < 400:
            raise
        return _problem(HTTPStatus(exc.status), exc.reason, {"Allow": exc.headers["Allow"]} if "Allow" in exc.headers else {})
    except Exception:  # a bug of ours: the caller learns that there is one, the log which
        log.exception("%s %s failed", request.method, request.path)
        return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the request failed on this side")


def _headers(exc: ProblemError) -> dict[str, str]:
    headers = {"Retry-After": str(math.ceil(exc.retry_after_s))} if exc.retry_after_s else {}
    if exc.status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"  # RFC 9110 §11.6.1, RFC 6750 §3
    return headers


def _problem(status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None, field: str = "") -> web.Response:
    body = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
    return web.Response(
        text=json.dumps(body | ({"field": field} if field else {})),
        status=status.value,
        content_type="application/problem+json",
        headers={"X-Content-Type-Options": "nosniff", **(headers or {})},
    )
