"""The rows of lal's API. The answer is always 200 and JSON; whether something went wrong is in the body."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web

from lalmesh.errors import Unavailable
from services.scheduler.api import Answer, ApiRole, Asked, Operation, ProblemError
from services.scheduler.lal_api._bodies import BanBody, KickSessionBody, LalBody, PullBody, RecordBody, StreamBody
from services.scheduler.lal_api._control import LalControl
from services.scheduler.lal_api._errors import PAGE_NOT_FOUND, PARAM_MISSING, LalError
from services.scheduler.lal_api._groups import Groups
from services.scheduler.lal_api._models import (
    AnyParts,
    EndedReply,
    GroupReply,
    GroupsReply,
    InfoReply,
    LalInfo,
    LalQuery,
    PullReply,
    RecordReply,
    Reply,
    StreamQuery,
)

TAG = "lal"
POST_NEEDED = 405
CONSOLE = "/console/"
_DOCUMENT = "this is the API of lal, see docs/migration-from-lal.md"

#: of a request that is not as it has to be
_MISSING = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE})

_Work = Callable[[Asked], Awaitable[Reply | web.StreamResponse]]


def operations(groups: Groups, control: LalControl, info: Callable[[], LalInfo]) -> list[Operation]:
    """All of them; the last takes what no other does."""

    async def group(asked: Asked) -> Reply:
        query: StreamQuery = asked.query
        found = await groups.show(await groups.one(query.stream_name, query.app_name))
        await asked.turn(len(found.subs or ()))  # to be written
        return GroupReply(data=found)

    async def all_group(asked: Asked) -> web.StreamResponse:
        return web.Response(body=await groups.written_all(), content_type="application/json", charset="utf-8")

    async def lal_info(asked: Asked) -> Reply:
        return InfoReply(data=info())

    async def stop_relay_pull(asked: Asked) -> Reply:
        query: StreamQuery = asked.query
        return await control.stop_relay_pull(query.stream_name, query.app_name)

    async def missing(asked: Asked) -> Reply:
        raise LalError(PAGE_NOT_FOUND, f"page not found, check this document out: {_DOCUMENT}")

    async def page(asked: Asked) -> web.StreamResponse:
        return web.Response(status=HTTPStatus.FOUND, headers={"Location": CONSOLE})

    changes: list[tuple[str, type[LalBody], Callable[[Any], Awaitable[Reply]], type[Reply], str]] = [
        ("start_relay_pull", PullBody, control.start_relay_pull, PullReply, "Fetch a stream from elsewhere."),
        ("kick_session", KickSessionBody, control.kick_session, Reply, "End a session."),
        ("add_ip_blacklist", BanBody, control.add_ip_blacklist, Reply, "Let an address in nowhere for a while."),
        ("start_rtp_pub", StreamBody, control.start_rtp_pub, Reply, "GB28181, which is not built yet."),
        ("stop_rtp_pub", StreamBody, control.stop_rtp_pub, Reply, "GB28181, which is not built yet."),
        ("start_record", RecordBody, control.start_record, RecordReply, "Record one stream."),
        ("stop_record", StreamBody, control.stop_record, Reply, "Record one stream no longer."),
    ]
    viewer, operator = ApiRole.VIEWER, ApiRole.OPERATOR
    return [
        _row("GET", "/api/stat/group", "One stream.", group, viewer, GroupReply, query=StreamQuery),
        _row("GET", "/api/stat/all_group", "All streams.", all_group, viewer, GroupsReply, is_heavy=True),
        _row("GET", "/api/stat/lal_info", "The server.", lal_info, viewer, InfoReply),
        *(
            _row("POST", f"/api/ctrl/{name}", text, _with_body(work), operator, reply, body=body)
            for name, body, work, reply, text in changes
        ),
        _row("POST", "/api/ctrl/stop_relay_pull", "End a relay.", stop_relay_pull, operator, EndedReply, query=StreamQuery),
        Operation(
            method="GET",
            path="/lal.html",
            tag=TAG,
            summary="Leads to the console.",
            handler=page,
            role=ApiRole.ANYBODY,
            query=LalQuery,
            answers={HTTPStatus.FOUND: None},
        ),
        _row("GET", "/api/", "What there is not.", missing, ApiRole.ANYBODY, Reply),
        _row("GET", "/api/{rest}", "What there is not.", missing, ApiRole.ANYBODY, Reply, parts=AnyParts),
    ]


def _row(
    method: str,
    path: str,
    summary: str,
    work: _Work,
    role: ApiRole,
    reply: type[Reply],
    *,
    query: type[LalQuery] = LalQuery,
    body: type[LalBody] | None = None,
    parts: type[AnyParts] | None = None,
    is_heavy: bool = False,
) -> Operation:
    async def handler(asked: Asked) -> Answer | web.StreamResponse:
        try:
            if role > ApiRole.VIEWER and asked.request.method in ("GET", "HEAD") and not asked.token:
                raise LalError(POST_NEEDED, "without a token this needs POST")  # any web page can have a browser ask by GET
            made = await work(asked)
            return made if isinstance(made, web.StreamResponse) else Answer(body=made)
        except LalError as exc:
            return Answer(body=reply(error_code=exc.code, desp=exc.text))
        except TimeoutError:
            raise Unavailable("the session directory does not answer", retry_after_s=1.0) from None

    return Operation(
        method=method,
        path=path,
        tag=TAG,
        summary=summary,
        description="As in the API of lal: any method will do, the answer is 200 whatever happens, error_code says what did.",
        handler=handler,
        role=role,
        query=query,
        body=body,
        parts=parts,
        deep_parts=frozenset(parts.model_fields if parts is not None else ()),
        answers={HTTPStatus.OK: reply},
        is_heavy=is_heavy,
        any_method=True,
        any_body_type=True,
        refusal=_refused,
    )


def _with_body(work: Callable[[Any], Awaitable[Reply]]) -> _Work:
    async def handler(asked: Asked) -> Reply:
        return await work(asked.body)

    return handler


def _refused(problem: ProblemError) -> web.StreamResponse:
    """A problem in lal's words: a code of its own where it has one, else the status, as lalmax has it for tokens."""
    if problem.status in _MISSING:
        body = {"error_code": PARAM_MISSING, "desp": f"param missing: {problem.detail}"}
    else:
        body = {"error_code": problem.status.value, "desp": problem.detail}
    return web.Response(text=json.dumps(body), status=HTTPStatus.OK, content_type="application/json")
