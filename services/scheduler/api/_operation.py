"""One operation of the API: a row of the table that requests are routed by and that the OpenAPI document is made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from http import HTTPStatus
from typing import Any

from aiohttp import web
from pydantic import BaseModel


class ApiRole(IntEnum):
    """Who may ask for it; each may what those before it may."""

    ANYBODY = 0
    VIEWER = 1  #: looks
    OPERATOR = 2  #: kicks, records, relays, drains
    ADMIN = 3  #: settings, tokens, profiles


@dataclass(slots=True, frozen=True, kw_only=True)
class Asked:
    """A request that has passed: of whom it may be, and as its models have it."""

    request: web.Request
    path: Mapping[str, str]  #: parts of the path by name, decoded
    query: Any = None  #: an instance of `Operation.query`
    body: Any = None  #: an instance of `Operation.body`
    role: ApiRole = ApiRole.ANYBODY  #: of the token


@dataclass(slots=True, frozen=True, kw_only=True)
class Answer:
    """What is answered, with the model that `Operation.answers` has for its status."""

    body: BaseModel | None = None
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Asked], Awaitable[Answer | web.StreamResponse]]


@dataclass(slots=True, frozen=True, kw_only=True)
class Operation:
    """What can be asked for. Handlers raise `ProblemError` for what they refuse."""

    method: str  #: ``GET`` ...
    path: str  #: such as ``/v1/streams/{app}/{name}``
    tag: str  #: group in the document: streams, nodes, sessions, relays ...
    summary: str  #: one line
    handler: Handler
    role: ApiRole
    description: str = ""
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    body_required: bool = True
    answers: Mapping[HTTPStatus, type[BaseModel] | None] = field(default_factory=dict)
    problems: frozenset[HTTPStatus] = frozenset()  #: besides those that every operation may answer
    media_type: str = "application/json"  #: of the answers, such as ``text/event-stream``
