"""``/healthz``, ``/readyz``, ``/metrics``: what whoever runs the scheduler asks."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from lalmesh.runtime.scrapes import Scrapes
from services.scheduler.api import ApiRole, Asked, Operation, ProblemError
from services.scheduler.service import SchedulerService

TEXT = "text/plain"


def operations(service: SchedulerService) -> list[Operation]:
    """What can be asked of `service`."""

    async def text() -> bytes:
        return service.metrics.text()

    scrapes = Scrapes(text)

    async def healthz(asked: Asked) -> web.StreamResponse:
        if not service.is_running:
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "the scheduler does not follow the registry")
        return web.Response(text="ok\n")

    async def readyz(asked: Asked) -> web.StreamResponse:
        if not service.is_ready:
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "the registry was not read yet")
        return web.Response(text="ok\n")

    async def metrics(asked: Asked) -> web.StreamResponse:
        return web.Response(body=await scrapes.text(), headers={"Content-Type": f"{TEXT}; version=0.0.4; charset=utf-8"})

    rows = (
        ("/healthz", "Whether the process does its work.", healthz),
        ("/readyz", "Whether it can answer: the term is known and the registry was read once.", readyz),
        ("/metrics", "Figures of this replica in the text format of Prometheus.", metrics),
    )
    return [
        Operation(
            method="GET",
            path=path,
            tag="health",
            summary=summary,
            handler=handler,
            role=ApiRole.ANYBODY,
            answers={HTTPStatus.OK: None},
            media_type=TEXT,
            is_counted=False,
            is_probe=True,
        )
        for path, summary, handler in rows
    ]
