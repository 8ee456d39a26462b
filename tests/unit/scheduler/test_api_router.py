"""Operations as routes, without a socket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import pytest
from aiohttp import web
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import Field
from support.api_web import Web

from lalmesh.errors import Unavailable
from lalmesh.runtime.api_tokens import ApiRole, ApiToken, hash_token
from services.scheduler.api import Answer, ApiModel, ApiSettings, Asked, Operation, ProblemError, _router
from services.scheduler.api._openapi import make_document

ADMIN, VIEWER = (
    ApiToken(name=role.name.lower(), role=role, hash=hash_token(role.name)) for role in (ApiRole.ADMIN, ApiRole.VIEWER)
)


class Thing(ApiModel):
    """A thing."""

    name: str = Field(description="Its name.", examples=["a"])


class Parts(ApiModel):
    name: str = Field(description="Which.", min_length=1, max_length=5)


async def echo(asked: Asked) -> Answer:
    return Answer(body=Thing(name=asked.path.get("name", "")))


SHOW = Operation(
    method="GET", path="/things/{name}", tag="things", summary="Show.", handler=echo, role=ApiRole.VIEWER, parts=Parts,
    answers={HTTPStatus.OK: Thing},
)  # fmt: skip
MAKE = Operation(
    method="PUT", path="/things/{name}", tag="things", summary="Make.", handler=echo, role=ApiRole.ADMIN, parts=Parts,
    body=Thing, max_body_bytes=100, answers={HTTPStatus.OK: Thing},
)  # fmt: skip


@pytest.mark.parametrize(
    ("path", "name"), [("a", "a"), ("a%2Fb", "a/b"), ("%25", "%"), ("%7Bx%7D", "{x}"), ("%0A", "\n"), ("ü", "ü")]
)
async def test_parts_of_the_path_are_decoded(path: str, name: str) -> None:
    assert await Web(SHOW).told("GET", f"/things/{path}") == (200, {"name": name})


@pytest.mark.parametrize("path", ["/things/", "/things", "/things/a/b", "/other"])
async def test_what_is_not_there_is_a_problem(path: str) -> None:
    status, problem = await Web(SHOW).told("GET", path)
    assert (status, problem["status"]) == (404, 404)


async def test_a_part_that_may_be_deep_holds_slashes() -> None:
    deep = replace(SHOW, path="/things/{name}.txt", deep_parts=frozenset({"name"}))
    assert await Web(deep).told("GET", "/things/a/b.txt") == (200, {"name": "a/b"})


async def test_parts_and_query_are_checked() -> None:
    status, problem = await Web(SHOW).told("GET", "/things/abcdef")
    assert (status, problem["field"], problem["errors"][0]["field"]) == (400, "name", "name")
    assert (await Web(SHOW).told("GET", "/things/a?x=1"))[0] == 400


async def test_other_methods_are_told_which_there_are() -> None:
    answer = await Web(SHOW, MAKE).ask("DELETE", "/things/a")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD, OPTIONS, PUT")
    answer = await Web(SHOW).ask("OPTIONS", "/things/a")
    assert (answer.status, answer.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")
    assert (await Web(SHOW).ask("HEAD", "/things/a")).status == 200


@pytest.mark.parametrize(
    ("token", "role", "status"),
    [("", ApiRole.VIEWER, 200), ("", ApiRole.OPERATOR, 401), ("x", ApiRole.OPERATOR, 401), ("VIEWER", ApiRole.OPERATOR, 403),
     ("ADMIN", ApiRole.OPERATOR, 200), ("VIEWER", ApiRole.VIEWER, 200), ("", ApiRole.ANYBODY, 200)],
)  # fmt: skip
async def test_roles_are_needed(token: str, role: ApiRole, status: int) -> None:
    tokens = Web(replace(SHOW, role=role), tokens=(ADMIN, VIEWER))
    assert (await tokens.told("GET", "/things/a", Authorization=f"Bearer {token}"))[0] == status


async def test_looking_may_need_a_token_too() -> None:
    closed = Web(SHOW, tokens=(VIEWER,), open_reads=False)
    answer = await closed.ask("GET", "/things/a")
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert (await closed.told("GET", "/things/a", Authorization="Bearer VIEWER"))[0] == 200


async def test_without_tokens_changes_are_for_this_machine_only() -> None:
    assert (await Web(MAKE).told("PUT", "/things/a", b'{"name": "a"}'))[0] == 403


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [(b'{"name": "a"}', "application/json", 200), (b'{"name": "a"}', "application/json; charset=utf-8", 200),
     (b'{"name": "a"}', "text/plain", 415), (b"", "application/json", 400), (b"[]", "application/json", 400),
     (b" " * 101, "application/json", 413)],
)  # fmt: skip
async def test_bodies_are_json_and_bounded(body: bytes, kind: str, status: int) -> None:
    made = Web(MAKE, tokens=(ADMIN,))
    assert (await made.told("PUT", "/things/a", body, Authorization="Bearer ADMIN", Content_Type=kind))[0] == status


async def test_who_may_not_is_not_told_what_is_wrong_with_the_body() -> None:
    assert (await Web(MAKE, tokens=(ADMIN,)).told("PUT", "/things/abcdef", b"{"))[0] == 401


@pytest.mark.parametrize(
    ("error", "status", "retry"),
    [(Unavailable("away", retry_after_s=0.2), 503, "1"), (ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "away"), 503, "1"),
     (ProblemError(HTTPStatus.CONFLICT, "no"), 409, None), (ZeroDivisionError(), 500, None)],
)  # fmt: skip
async def test_what_goes_wrong_is_a_problem(error: Exception, status: int, retry: str | None) -> None:
    async def fail(asked: Asked) -> Answer:
        raise error

    answer = await Web(replace(SHOW, handler=fail)).ask("GET", "/things/a")
    assert (answer.status, answer.headers.get("Retry-After")) == (status, retry)
    assert answer.content_type == "application/problem+json"


async def test_problems_can_take_another_shape() -> None:
    def shaped(problem: ProblemError) -> web.Response:
        return web.json_response({"error_code": problem.status})

    assert await Web(replace(SHOW, refusal=shaped)).told("GET", "/things/abcdef") == (200, {"error_code": 400})


async def test_an_answer_that_was_not_promised_is_a_bug() -> None:
    async def surprise(asked: Asked) -> Answer:
        return Answer(body=Parts(name="a"))

    assert (await Web(replace(SHOW, handler=surprise)).told("GET", "/things/a"))[0] == 500


def test_two_operations_are_not_one() -> None:
    for other in (SHOW, replace(MAKE, path="/things/{id}")):
        with pytest.raises(ValueError, match="there already"):
            ApiSettings().build([SHOW, other])


def test_the_document_is_valid_and_says_what_is_answered() -> None:
    document = ApiSettings().build([SHOW, MAKE]).document
    OpenAPIV31SpecValidator(document).validate()
    put = document["paths"]["/things/{name}"]["put"]
    assert list(put["responses"]) == ["200", "400", "401", "403", "408", "413", "415", "429", "503"]
    assert put["parameters"][0] == {
        "name": "name", "in": "path", "required": True, "description": "Which.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 5},
    }  # fmt: skip
    assert put["security"] == [{"token": []}]
    assert sorted(document["components"]["schemas"]) == ["FieldError", "ProblemModel", "Thing"]


async def test_the_document_is_made_once_when_it_is_asked_for_and_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    makers: list[threading.Thread] = []

    def make(operations: Sequence[Operation]) -> dict[str, Any]:
        makers.append(threading.current_thread())
        return make_document(operations)

    monkeypatch.setattr(_router, "make_document", make)
    made = Web(SHOW, MAKE)
    assert not makers
    paths = ("/openapi.json", "/docs", "/openapi.json", "/docs")
    assert [answer.status for answer in await asyncio.gather(*(made.ask("GET", path) for path in paths))] == [200] * 4
    assert len(makers) == 1
    assert makers[0] is not threading.main_thread()


async def test_the_document_can_be_had_and_read() -> None:
    made = Web(SHOW, MAKE, tokens=(ADMIN,), open_reads=False)
    status, document = await made.told("GET", "/openapi.json")
    assert (status, document["openapi"]) == (200, "3.1.0")
    page = await made.ask("GET", "/docs")
    assert isinstance(page, web.Response)
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
    text = page.text or ""
    assert "<b>PUT</b> /things/{name}" in text
    assert "Its name." in text
    assert not any(outside in text for outside in ("<script", "src=", "@import", "url("))
