"""One operation of the API: a row of the table that requests are routed by and that the OpenAPI document is made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from aiohttp import web
from pydantic import BaseModel

from lalmesh.runtime.api_tokens import ApiRole
from services.scheduler.api._problem import ProblemError


@dataclass(slots=True, frozen=True, kw_only=True)
class Asked:
    """A request that has passed: of whom it may be, and as its models have it."""

    request: web.Request
    path: Mapping[str, str]  #: parts of the path by name, decoded
    query: Any = None  #: an instance of `Operation.query`
    headers: Any = None  #: an instance of `Operation.headers`
    body: Any = None  #: an instance of `Operation.body`
    role: ApiRole = ApiRole.ANYBODY  #: of whoever asks: of the token, or of a program on this machine where there are none
    token: str = ""  #: name of the token, for logs
    may_still: Callable[[], bool] = lambda: True  #: for what goes on for long: whether who asks still may, by the tokens of now


@dataclass(slots=True, frozen=True, kw_only=True)
class Answer:
    """What is answered, with the model that `Operation.answers` has for its status."""

    body: BaseModel | None = None
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Asked], Awaitable[Answer | web.StreamResponse]]
Refusal = Callable[[ProblemError], web.StreamResponse]

MAX_BODY_BYTES = 64 << 10  #: of a request; operations may allow less or more


@dataclass(slots=True, frozen=True, kw_only=True)
class Operation:
    """What can be asked for.

    Handlers raise `ProblemError` for what they refuse, and let `Unavailable` through: it is answered 503 with Retry-After. Those of
    ``GET`` answer ``HEAD`` too. They are called once the role, path, query and body were found to be right.
    """

    method: str  #: ``GET`` ...
    path: str  #: such as ``/v1/streams/{app}/{name}``
    tag: str  #: group in the document: streams, nodes, sessions, relays ...
    summary: str  #: one line
    handler: Handler
    role: ApiRole
    description: str = ""
    parts: type[BaseModel] | None = None  #: of the path, by name; None: each is any text
    deep_parts: frozenset[str] = frozenset()  #: names of parts that may hold slashes as they are
    query: type[BaseModel] | None = None  #: None: there can be none. A field that is a list may be given several times
    headers: type[BaseModel] | None = None  #: those of the request that mean something here, by alias
    body: type[BaseModel] | None = None
    body_required: bool = True  #: where not, its default is taken
    max_body_bytes: int = MAX_BODY_BYTES
    answers: Mapping[HTTPStatus, type[BaseModel] | None] = field(default_factory=dict)
    problems: frozenset[HTTPStatus] = frozenset()  #: besides those that every operation may answer
    media_type: str = "application/json"  #: of the answers, such as ``text/event-stream``
    events: Callable[[], Mapping[str, type[BaseModel]]] = dict  #: gives, of a stream of events, the data of each by its kind
    #: whether it is one of the requests that only so many may be under way of; not so for what whoever runs the scheduler asks, nor
    #: for what goes on as long as somebody listens, which has a bound of its own
    is_counted: bool = True
    any_method: bool = False  #: whether it is asked also by methods that its path has no operation for, as in the API of lal
    any_body_type: bool = False  #: whether the body is taken for JSON whatever type it says that it has, as there
    refusal: Refusal | None = None  #: how problems are answered where not by themselves, as in the API of lal

    @property
    def changes(self) -> bool:
        """Whether something is different afterwards."""
        return self.method not in ("GET", "HEAD")
