"""Saying no over HTTP."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from aiohttp import web

from lalmesh.errors import InvalidName, RelayLoop, ServiceError, StreamNotFound, Unavailable
from lalmesh.runtime.authorisation import HTTP_STATUS, AccessRefused, http_challenge
from lalmesh.runtime.http_gate import remote_of
from services.edge.metrics import EdgeMetrics

log = logging.getLogger(__name__)


class Refusals:
    """Answers that refuse: counted, logged, and the end of their connection."""

    def __init__(self, metrics: EdgeMetrics) -> None:
        """Count in `metrics`."""
        self._metrics = metrics

    def refuse(
        self,
        request: web.Request,
        protocol: str,
        status: int,
        reason: str,
        detail: str,
        *,
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> web.Response:
        """The answer `status` with `detail` as its text and `headers`; `reason` is what a metric counts it by, under `protocol`."""
        self._metrics.refused.labels(protocol, reason).inc()
        log.info("request refused: %s", detail, extra={"peer": remote_of(request).peer, "status": status})
        said = {"X-Content-Type-Options": "nosniff", **(headers or {})}
        if retry_after_s is not None:
            said["Retry-After"] = str(max(1, round(retry_after_s)))
        response = web.Response(status=status, text=f"{detail}\n", headers=said)
        response.force_close()
        return response

    def send_elsewhere(self, request: web.Request, protocol: str, url: str, reason: str) -> web.Response:
        """Have the client ask `url` instead; see `refuse`."""
        self._metrics.refused.labels(protocol, reason).inc()
        log.info("request sent elsewhere: %s", url.partition("?")[0], extra={"peer": remote_of(request).peer})
        response = web.Response(status=302, headers={"Location": url, "Cache-Control": "no-store"})
        response.force_close()
        return response

    def with_pass(self, url: str) -> web.Response:
        """Have a player that was let in ask `url`, which has a pass in it."""
        return web.Response(status=302, headers={"Location": url, "Cache-Control": "no-store"})

    def for_error(self, request: web.Request, protocol: str, error: ServiceError) -> web.Response:
        """What a service's refusal is in HTTP."""
        match error:
            case AccessRefused():
                return self._for_access(request, protocol, error)
            case InvalidName():
                return self.refuse(request, protocol, 400, "name", str(error))
            case StreamNotFound():
                return self.refuse(request, protocol, 404, "not found", str(error))
            case RelayLoop():
                return self.refuse(request, protocol, 508, "loop", str(error))
            case Unavailable():
                return self.refuse(request, protocol, 503, error.label, str(error), retry_after_s=error.retry_after_s)
            case _:
                return self.refuse(request, protocol, 503, "unavailable", str(error))

    def _for_access(self, request: web.Request, protocol: str, error: AccessRefused) -> web.Response:
        refused = error.refused
        return self.refuse(
            request,
            protocol,
            HTTP_STATUS[refused.reason],
            refused.reason.value,
            str(error),
            retry_after_s=refused.retry_after_s or None,
            headers={"Cache-Control": "no-store"} | http_challenge(refused),
        )
