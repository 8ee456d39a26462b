"""One operation of the API: a row of the table that requests are routed by and that the OpenAPI document is made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel

from lalmesh.runtime.api_tokens import ApiRole
from services.scheduler.api._problem import ProblemError
from services.scheduler.api._turnstile import LOOKS, PART

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


async def _at_once(items: int) -> None:
    """Nobody else asks."""


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
    #: waits for a turn in which to do what has to be done of so many items, `PART` at most: see `Turnstile.wait_for`
    turn: Callable[[int], Awaitable[None]] = _at_once

    async def each(self, items: Sequence[_Item], make: Callable[[_Item], _Made]) -> list[_Made]:
        """What `make` gives of each item of a list. Of long ones a part has its turn after the other."""
        made: list[_Made] = []
        for part in parts(items):
            await self.turn(len(part))
            made += map(make, part)
        return made

    async def those(self, items: Sequence[_Item], is_wanted: Callable[[_Item], bool]) -> list[_Item]:
        """The items that are wanted. Where many are looked at, a part has its turn after the other."""
        found: list[_Item] = []
        for part in parts(items, LOOKS):
            await self.turn(len(part) * PART // LOOKS)
            found += filter(is_wanted, part)
        return found


def parts(items: Sequence[_Item], size: int = PART) -> Iterator[Sequence[_Item]]:
    """Items of a list, as many at a time as have a turn together."""
    return (items[start : start + size] for start in range(0, len(items), size))


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
    is_probe: bool = False  #: what whoever runs the scheduler asks, which has turns of its own and is always answered
    is_heavy: bool = False  #: whether answering takes a turn for itself, whatever is asked for
    any_method: bool = False  #: whether it is asked also by methods that its path has no operation for, as in the API of lal
    any_body_type: bool = False  #: whether the body is taken for JSON whatever type it says that it has, as there
    refusal: Refusal | None = None  #: how problems are answered where not by themselves, as in the API of lal

    @property
    def changes(self) -> bool:
        """Whether something is different afterwards."""
        return self.method not in ("GET", "HEAD")
