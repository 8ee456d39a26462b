"""``/v1/recordings``: rules of recording, to be listed, added and removed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web

from lalmesh.errors import InvalidName, Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.recording import RecordRule, RuleError, make_rule
from services.scheduler.http import Page, ProblemError
from services.scheduler.permission import check_json, check_may_change
from services.scheduler.recording_rules import RuleRecord, describe_rule
from services.scheduler.recordings import Recordings, TooManyRulesError, pattern_of

PATH = "/v1/recordings"
MAX_BODY_BYTES = 64 << 10  #: a rule is under 2 KiB
CONFIGURED = "config-"  #: what the ids of rules of the configuration begin with
_FIELDS = frozenset({"stream", "pattern", "formats"})


def add_recordings(app: web.Application, recordings: Recordings, token: str) -> None:
    """Answer for `recordings` in `app`; changes need `token`, or to come from this machine where it is empty."""
    face = RecordingsFace(recordings, token)
    app.router.add_get(PATH, face.list)
    app.router.add_post(PATH, face.add)
    app.router.add_get(f"{PATH}/{{id}}", face.show)
    app.router.add_delete(f"{PATH}/{{id}}", face.remove)


class RecordingsFace:
    """The handlers."""

    def __init__(self, recordings: Recordings, token: str) -> None:
        """Answer for `recordings`."""
        self._recordings = recordings
        self._token = token

    async def list(self, request: web.Request) -> web.Response:
        """Every rule, a page at a time, in the order in which they are looked at."""
        page = Page.of(request, [*_configured(self._recordings), *map(_describe, self._recordings.known.records())])
        return page.answer(list(page.shown))

    async def show(self, request: web.Request) -> web.Response:
        """One rule."""
        rule_id = request.match_info["id"]
        record = self._recordings.known.record(rule_id)
        found = (
            _describe(record) if record else next((rule for rule in _configured(self._recordings) if rule["id"] == rule_id), None)
        )
        if found is None:
            raise _unknown(rule_id)
        return web.json_response(found)

    async def add(self, request: web.Request) -> web.Response:
        """One more rule."""
        check_may_change(request, self._token)
        check_json(request)
        asked = parse_body(await _body(request))
        try:
            record = await self._recordings.add(asked.rule, asked.stream)
        except TooManyRulesError as exc:
            raise ProblemError(HTTPStatus.CONFLICT, str(exc)) from exc
        except Unavailable as exc:
            raise _away(exc) from exc
        headers = {"Location": f"{PATH}/{record.id}"}
        return web.json_response(_describe(record), status=HTTPStatus.CREATED, headers=headers)

    async def remove(self, request: web.Request) -> web.Response:
        """One rule less."""
        check_may_change(request, self._token)
        rule_id = request.match_info["id"]
        if rule_id.startswith(CONFIGURED):
            raise ProblemError(HTTPStatus.CONFLICT, "a rule of the configuration goes when the configuration says so")
        try:
            found = await self._recordings.remove(rule_id)
        except Unavailable as exc:
            raise _away(exc) from exc
        if not found:
            raise _unknown(rule_id)
        return web.Response(status=HTTPStatus.NO_CONTENT)


@dataclass(slots=True, frozen=True)
class AskedRule:
    """What is to be recorded."""

    rule: RecordRule
    stream: StreamKey | None  #: where it is one alone


def parse_body(body: Mapping[str, Any]) -> AskedRule:
    """The rule in the body of a request.

    Raises:
        ProblemError: it is none.
    """
    stream, pattern, formats = body.get("stream"), body.get("pattern"), body.get("formats")
    if (stream is None) == (pattern is None):
        raise _bad("either stream or pattern is needed", "stream")
    for name, value in (("stream", stream), ("pattern", pattern)):
        if not isinstance(value, str | None):
            raise _bad(f"{name} has to be text", name)
    if not isinstance(formats, list) or not all(isinstance(name, str) for name in formats):
        raise _bad("formats has to be a list of names", "formats")
    limits = {name: value for name, value in body.items() if name not in _FIELDS}
    try:
        key = StreamKey.parse(stream) if stream is not None else None
        return AskedRule(make_rule(pattern_of(key) if key else str(pattern), formats, limits), key)
    except RuleError as exc:
        raise _bad(str(exc), exc.field) from exc
    except InvalidName as exc:
        raise _bad(str(exc), "stream") from exc


async def _body(request: web.Request) -> Mapping[str, Any]:
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body of {request.content_length} bytes, limit {MAX_BODY_BYTES}")
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError) as exc:
        raise _bad("the body is no JSON") from exc
    if not isinstance(body, dict):
        raise _bad("the body has to be an object")
    return body


def _bad(detail: str, field: str = "") -> ProblemError:
    return ProblemError(HTTPStatus.BAD_REQUEST, detail, field=field)


def _away(exc: Unavailable) -> ProblemError:
    return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, str(exc), retry_after_s=exc.retry_after_s)


def _unknown(rule_id: str) -> ProblemError:
    return ProblemError(HTTPStatus.NOT_FOUND, f"no rule {rule_id[:50]!r}")


def _describe(record: RuleRecord) -> dict[str, Any]:
    return _described(record.id, record.rule, source="api", stream=record.stream, created_us=record.created_us)


def _configured(recordings: Recordings) -> list[dict[str, Any]]:
    rules = enumerate(recordings.known.configured)
    return [_described(f"{CONFIGURED}{number}", rule, source="config") for number, rule in rules]


def _described(rule_id: str, rule: RecordRule, *, source: str, stream: str = "", created_us: int | None = None) -> dict[str, Any]:
    return {"id": rule_id, "source": source, "stream": stream or None, "created_us": created_us, **describe_rule(rule)}
