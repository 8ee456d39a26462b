"""``/v1/nodes/{name}``, one node by name, and ``POST`` to ``/drain`` below it: it is to give everything away, then to end.

A replica of the scheduler is found by its name too, where no node has that.
"""

from __future__ import annotations

import json
import math
from http import HTTPStatus
from typing import Any

from aiohttp import web

from lalmesh.errors import Unavailable
from services.scheduler.http import ProblemError
from services.scheduler.listing import describe_node
from services.scheduler.permission import check_json, check_may_change
from services.scheduler.records import NodeRecord
from services.scheduler.replicas import RETRY_S, Replica
from services.scheduler.service import SchedulerService

PATH = "/v1/nodes/{name}"
MAX_BODY_BYTES = 4 << 10  #: one number
MAX_DEADLINE_S = 86_400  #: a day: whoever wants longer wants to tell the players first


def add_drain(app: web.Application, service: SchedulerService, token: str) -> None:
    """Answer for `service` in `app`, to those who have `token`, or who are on this machine where it is empty."""

    async def show(request: web.Request) -> web.Response:
        """What it is now; nothing where it has left."""
        name = request.match_info["name"]
        node = next((record for record in service.directory.nodes() if record.node.name == name), None)
        return web.json_response(_describe(service, name, node or service.replicas.named(name)))

    async def drain(request: web.Request) -> web.Response:
        """Have it told; it may be at another replica, or be one."""
        check_may_change(request, token)
        deadline_s, name = await _deadline_s(request), request.match_info["name"]
        try:
            told = await service.drains.ask(name, deadline_s) or await service.replicas.ask(name, deadline_s)
        except Unavailable as exc:
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, str(exc), retry_after_s=exc.retry_after_s) from exc
        return web.json_response(_describe(service, name, told), status=HTTPStatus.ACCEPTED)

    app.router.add_get(PATH, show)
    app.router.add_post(f"{PATH}/drain", drain)


def _describe(service: SchedulerService, name: str, found: NodeRecord | Replica | None) -> dict[str, Any]:
    match found:
        case None if not service.is_ready:
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "the registry was not read yet", retry_after_s=RETRY_S)
        case None:
            raise ProblemError(HTTPStatus.NOT_FOUND, f"no node {name[:50]!r}")
        case Replica(node, is_draining, is_here):
            shown = {"name": node.name, "incarnation": node.incarnation.hex(), "role": "scheduler", "is_here": is_here}
            return shown | {"state": "draining" if is_draining else "joined"}
        case NodeRecord():
            return describe_node(service, found)


async def _deadline_s(request: web.Request) -> float:
    """What the body says, 0 without one: as the node is configured."""
    if not request.body_exists:
        return 0.0
    check_json(request)
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body of {request.content_length} bytes, limit {MAX_BODY_BYTES}")
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError) as exc:
        raise ProblemError(HTTPStatus.BAD_REQUEST, "the body is no JSON") from exc
    if not isinstance(body, dict) or not body.keys() <= {"deadline_s"}:
        raise ProblemError(HTTPStatus.BAD_REQUEST, "the body has to be an object with deadline_s, or empty")
    deadline_s = body.get("deadline_s", 0)
    if isinstance(deadline_s, bool) or not isinstance(deadline_s, int | float) or not _is_deadline(deadline_s):
        raise ProblemError(HTTPStatus.BAD_REQUEST, f"deadline_s has to be a number from 0 to {MAX_DEADLINE_S}", field="deadline_s")
    return float(deadline_s)


def _is_deadline(number: float) -> bool:
    return math.isfinite(number) and 0 <= number <= MAX_DEADLINE_S
