"""Saying no over HTTP."""

from __future__ import annotations

import logging

from aiohttp import web

from lalmesh.errors import InvalidName, RelayLoop, ServiceError, StreamNotFound, Unavailable
from services.edge.metrics import EdgeMetrics

log = logging.getLogger(__name__)


class Refusals:
    """Answers that refuse: counted, logged, and the end of their connection."""

    def __init__(self, metrics: EdgeMetrics) -> None:
        """Count in `metrics`."""
        self._metrics = metrics

    def refuse(
        self, request: web.Request, protocol: str, status: int, reason: str, detail: str, *, retry_after_s: float | None = None
    ) -> web.Response:
        """The answer `status` with `detail` as its text; `reason` is what a metric counts it by, under `protocol`."""
        self._metrics.refused.labels(protocol, reason).inc()
        log.info("request refused: %s", detail, extra={"peer": request.remote or "?", "status": status})
        headers = {"X-Content-Type-Options": "nosniff"}
        if retry_after_s is not None:
            headers["Retry-After"] = str(max(1, round(retry_after_s)))
        response = web.Response(status=status, text=f"{detail}\n", headers=headers)
        response.force_close()
        return response

    def send_elsewhere(self, request: web.Request, protocol: str, url: str, reason: str) -> web.Response:
        """Have the client ask `url` instead; see `refuse`."""
        self._metrics.refused.labels(protocol, reason).inc()
        log.info("request sent elsewhere: %s", url.partition("?")[0], extra={"peer": request.remote or "?"})
        response = web.Response(status=302, headers={"Location": url, "Cache-Control": "no-store"})
        response.force_close()
        return response

    def for_error(self, request: web.Request, protocol: str, error: ServiceError) -> web.Response:
        """What a service's refusal is in HTTP."""
        match error:
            case InvalidName():
                return self.refuse(request, protocol, 400, "name", str(error))
            case StreamNotFound():
                return self.refuse(request, protocol, 404, "not found", str(error))
            case RelayLoop():
                return self.refuse(request, protocol, 508, "loop", str(error))
            case Unavailable():
                return self.refuse(request, protocol, 503, "unavailable", str(error), retry_after_s=error.retry_after_s)
            case _:
                return self.refuse(request, protocol, 503, "unavailable", str(error))
