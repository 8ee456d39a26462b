"""Whether a request is as the models of its operation say. Nothing is converted: a number in quotes is no number.

A query has no types, so each of its values is read as its field has it and then checked as JSON would be, like a body.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from http import HTTPStatus
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from services.scheduler.api._problem import FieldError, ProblemError

JSON = "application/json"
BODY_S = 10.0  #: for a body to be here
MAX_NUMBER_CHARS = 30  #: of a number in a query: more digits than any field takes
MAX_ERRORS = 20  #: that are told of one request
MAX_DETAIL_CHARS = 500  #: of what is told of one field: the longest list of what may be said has 300

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)  # RFC 8259 §6
_BOOLEANS = {"true": True, "false": False}
_Model = TypeVar("_Model", bound=BaseModel)


async def read_body(request: web.Request, limit_bytes: int, *, any_type: bool = False) -> bytes:
    """The body of a request that has to say that it is JSON, but for `any_type`; empty where there is none.

    Raises:
        ProblemError: it is of another type, too long, or does not come.
    """
    if not request.body_exists:
        return b""
    # JSON is what a web page of another origin cannot send unasked (Fetch Standard §3.2)
    if request.content_type != JSON and not any_type:
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the body has to be {JSON}")
    if (request.content_length or 0) > limit_bytes:
        raise _too_long(request.content_length or 0, limit_bytes)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            while chunk := await request.content.readany():
                body += chunk
                if len(body) > limit_bytes:
                    raise _too_long(len(body), limit_bytes)
    except TimeoutError:
        raise ProblemError(HTTPStatus.REQUEST_TIMEOUT, f"the body did not come within {BODY_S:g} s") from None
    return bytes(body)


def _too_long(size: int, limit_bytes: int) -> ProblemError:
    return ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body of {size} bytes, limit {limit_bytes}")


def check_body(model: type[_Model], body: bytes) -> _Model:
    """The body as `model` has it.

    Raises:
        ProblemError: it is not as that says.
    """
    return _checked(model, lambda: model.model_validate_json(body, strict=True))


def check_query(model: type[_Model], query: Iterable[tuple[str, str]]) -> _Model:
    """The query, names and values in order, as `model` has it.

    Raises:
        ProblemError: it is not as that says.
    """
    kinds, values = _kinds(model), dict[str, Any]()
    for name, text in query:
        kind = kinds.get(name, _UNKNOWN)
        if kind.is_list:
            values.setdefault(name, []).append(kind.read(text))
        elif name in values:
            raise ProblemError(HTTPStatus.BAD_REQUEST, f"{name[:50]} is given more than once", field=name[:50])
        else:
            values[name] = kind.read(text)
    return _checked(model, lambda: model.model_validate_json(json.dumps(values), strict=True))


def check_parts(model: type[_Model], parts: Mapping[str, str]) -> _Model:
    """The parts of the path as `model` has them.

    Raises:
        ProblemError: they are not as that says.
    """
    return check_query(model, parts.items())


def check_headers(model: type[_Model], headers: Mapping[str, str]) -> _Model:
    """The headers that `model` has, by alias, of all; others mean nothing.

    Raises:
        ProblemError: they are not as that says.
    """
    names = (field.alias or name for name, field in model.model_fields.items())
    return check_query(model, ((name, headers[name]) for name in names if name in headers))


def refuse_query(query: Mapping[str, str]) -> None:
    """Refuse a query where none is known.

    Raises:
        ProblemError: there is one.
    """
    if query:
        name = next(iter(query))[:50]
        raise ProblemError(HTTPStatus.BAD_REQUEST, f"{name!r}: nothing can be asked for in the query here", field=name)


def _types(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterable[str]:
    """The JSON types that a schema allows, those of the items of its lists too."""
    if "$ref" in schema:
        yield from _types(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    for each in (*schema.get("anyOf", ()), *schema.get("allOf", ())):
        yield from _types(each, definitions)
    if "type" in schema:
        yield schema["type"]
    if "items" in schema:
        yield from _types(schema["items"], definitions)


class _Kind:
    """How the values of one field are written in a query."""

    def __init__(self, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> None:
        types = set(_types(schema, definitions))
        self.is_list = "array" in types
        self._is_number = "string" not in types and bool(types & {"integer", "number"})
        self._is_boolean = "string" not in types and "boolean" in types

    def read(self, text: str) -> Any:
        """The value that `text` writes down, itself where it is none of the field's."""
        if self._is_boolean and text in _BOOLEANS:
            return _BOOLEANS[text]
        if self._is_number and len(text) <= MAX_NUMBER_CHARS and _NUMBER.fullmatch(text):
            return json.loads(text)
        return text


_UNKNOWN = _Kind({}, {})


@cache  # as many as there are operations
def _kinds(model: type[BaseModel]) -> Mapping[str, _Kind]:
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})
    return {name: _Kind(field, definitions) for name, field in schema.get("properties", {}).items()}


def _checked(model: type[_Model], check: Callable[[], _Model]) -> _Model:
    try:
        return check()
    except ValidationError as exc:
        found = exc.errors(include_url=False, include_context=False, include_input=False)
        errors = [_field_error(each["type"], each["loc"], each["msg"]) for each in found[:MAX_ERRORS]]
    raise ProblemError(HTTPStatus.BAD_REQUEST, _in_words(errors, len(found)), errors=errors)


def _field_error(kind: str, where: tuple[int | str, ...], message: str) -> FieldError:
    detail = "this is no JSON" if kind == "json_invalid" else message.removeprefix("Value error, ")
    return FieldError(field=_cut(".".join(map(str, where))), detail=_cut(detail))


def _cut(text: str) -> str:
    """Not longer than may be told, and said so where something is left out."""
    if len(text) <= MAX_DETAIL_CHARS:
        return text
    kept = text[: MAX_DETAIL_CHARS - 2]
    return f"{kept.rpartition(' ')[0] or kept} …"


def _in_words(errors: list[FieldError], count: int) -> str:
    first = errors[0]
    told = f"{first.field}: {first.detail}" if first.field else f"the body: {first.detail}"
    return told if count == 1 else f"{told}; {count - 1} more"
