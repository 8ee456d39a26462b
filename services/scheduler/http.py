"""The HTTP face of the scheduler: health, metrics, and what the cluster carries. Reads only."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

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

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        """Keep the status and what is wrong."""
        self.status = status
        self.detail = detail
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
        return _page(request, self._service.directory.streams(), lambda stream: describe_stream(self._service, stream))

    async def nodes(self, request: web.Request) -> web.Response:
        """Every node of the cluster, a page at a time."""
        return _page(request, self._service.directory.nodes(), lambda record: describe_node(self._service, record))


def _page(request: web.Request, keys: Sequence[_Key], describe: Callable[[_Key], dict[str, Any]]) -> web.Response:
    """One page of `keys`, described. A page beyond the last is empty."""
    page = _number(request, "page", default=1, limit=None)
    size = _number(request, "items_per_page", default=DEFAULT_ITEMS, limit=MAX_ITEMS_PER_PAGE)
    shown = keys[(page - 1) * size : page * size]
    return web.json_response(
        {
            "page": page,
            "item_count": len(keys),
            "page_count": -(-len(keys) // size),
            "items": [describe(key) for key in shown],
        }
    )


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
        return _problem(exc.status, exc.detail)
    except web.HTTPException as exc:
        if exc.status < 400:
            raise
        return _problem(HTTPStatus(exc.status), exc.reason, exc.headers)
    except Exception:  # a bug of ours: the caller learns that there is one, the log which
        log.exception("%s %s failed", request.method, request.path)
        return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the request failed on this side")


def _problem(status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> web.Response:
    body = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
    kept = {"Allow": headers["Allow"]} if headers and "Allow" in headers else {}
    return web.Response(
        text=json.dumps(body),
        status=status.value,
        content_type="application/problem+json",
        headers={"X-Content-Type-Options": "nosniff", **kept},
    )
