"""``GET /v1/events``: what happens, as it happens, and what has happened not long ago (server-sent events)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus

from aiohttp import web
from pydantic import Field

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.api_tokens import ApiRole
from lalmesh.runtime.event_kinds import EventKind
from lalmesh.runtime.event_log import SHARDS, EventLog, LoggedEvent, shard_of
from lalmesh.runtime.http_gate import WaitingForAnswer, remote_of
from lalmesh.runtime.notify import ASKED_FOR
from lalmesh.runtime.rate_limit import network_of
from lalmesh.runtime.secrets_in_urls import without_secrets
from services.scheduler.api._model import ApiModel
from services.scheduler.api._operation import Answer, Asked, Operation
from services.scheduler.api._problem import ProblemError
from services.scheduler.api._stream import MAX_STREAM_CHARS, named_stream
from services.scheduler.api.event_models import event_models
from services.scheduler.event_hub import EventHub
from services.scheduler.notifying import as_json

PATH = "/v1/events"
MAX_LISTENERS = 100  #: of one replica: each reads the log for itself
MAX_OF_ADDRESS = 25  #: of those: a few consoles in one house
PAGE = 100  #: events that are read and sent at a time
GATHERED_S = 0.1  #: between two reads while events come: 100 listeners ask a thousand times a second at most
#: between two steps of all listeners together, each of which reads a page or sends a piece: up to 2 ms of the loop, which has to
#: answer nodes meanwhile. One listener alone still catches up on 10,000 events a second.
TURN_S = 0.001
PIECE_CHARS = 16 << 10  #: that are made JSON and sent in one go, or one event that is longer: 50 common ones, 2 ms
HEARTBEAT_S = 15.0  #: without an event a comment is sent: proxies close what is silent for a minute
SEND_S = 30.0  #: for a listener to take what was sent; one that does not is closed, and may go on where it was
LOG_AWAY_S = 0.5
NOTHING = (": there is nothing new\n\n",)  #: a comment
RETRY_MS = 2000  #: what a browser waits before it asks again
_POSITION = "[0-9]{1,16}-[0-9]{1,16}"
_ASKED_FOR = frozenset(kind.value for kind in ASKED_FOR)


class EventsHeaders(ApiModel):
    """Where who comes back had been."""

    last_event_id: str = Field(
        default="",
        alias="Last-Event-ID",
        pattern=f"^({_POSITION})?$",
        description="The id of the last event that was heard: go on behind it.",
        examples=["1767225600000-17"],
    )


class EventsQuery(ApiModel):
    """Which events are wanted."""

    kind: list[EventKind] = Field(
        default=[], max_length=len(EventKind), description="Of these kinds only; all but updates by default."
    )
    stream: str | None = Field(
        default=None,
        min_length=3,
        max_length=MAX_STREAM_CHARS,
        description="About this stream only, app/name.",
        examples=["live/cam"],
    )
    after: str | None = Field(
        default=None,
        pattern=f"^{_POSITION}$",
        description="Behind this position, the id of an event. The header Last-Event-ID beats it. By default from now on.",
        examples=["1767225600000-17"],
    )


def operations(hub: EventHub, key: Callable[[StreamKey], StreamKey]) -> list[Operation]:
    """What can be asked of `hub`; `key` gives what the cluster knows a stream by."""
    listeners = Listeners(hub, key)
    return [
        Operation(
            method="GET",
            path=PATH,
            tag="events",
            summary="Listen to events.",
            description="Server-sent events (text/event-stream): `id` is the position in the log, `event` the kind, `data` JSON as "
            "webhooks have it, of each kind as `x-itemSchema` says. Who comes back with the header Last-Event-ID, as browsers do, "
            "misses nothing that is still kept. "
            "An event may come twice, with the same id in its data. Secrets in queries are masked.",
            handler=listeners.listen,
            role=ApiRole.VIEWER,
            query=EventsQuery,
            headers=EventsHeaders,
            answers={HTTPStatus.OK: None},
            problems=frozenset({HTTPStatus.SERVICE_UNAVAILABLE}),
            media_type="text/event-stream",
            events=event_models,
            is_counted=False,
        )
    ]


class Listeners:
    """Those who listen at this replica."""

    def __init__(self, hub: EventHub, key: Callable[[StreamKey], StreamKey]) -> None:
        """Read the log of `hub`; `key` gives what the cluster knows a stream by."""
        self._hub = hub
        self._key = key
        self._by_address: Counter[str] = Counter()
        self._turns = asyncio.Lock()  # who comes first has its turn first

    async def listen(self, asked: Asked) -> Answer | web.StreamResponse:
        """Send what comes, for as long as somebody takes it."""
        query: EventsQuery = asked.query
        stream = named_stream(query.stream) if query.stream is not None else None
        headers: EventsHeaders = asked.headers
        after = headers.last_event_id or query.after or ""
        address = network_of(remote_of(asked.request).address)
        self._check_room(address)
        self._by_address[address] += 1  # before anything is waited for
        try:
            after = after or await newest_of(self._hub.log)
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
            response.headers["X-Accel-Buffering"] = "no"  # nginx would gather them
            gone_or_takes_nothing = contextlib.suppress(ConnectionError, TimeoutError)
            with gone_or_takes_nothing, WaitingForAnswer(asked.request):  # a listener has nothing to say
                await response.prepare(asked.request)
                await _send(response, f"retry: {RETRY_MS}\n\n")
                await self._serve(response, asked, after, None if stream is None else self._key(stream))
        finally:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]
        return response

    def _check_room(self, address: str) -> None:
        if self._by_address.total() >= MAX_LISTENERS:
            reason = f"{MAX_LISTENERS} listen already"
        elif self._by_address[address] >= MAX_OF_ADDRESS:
            reason = f"{MAX_OF_ADDRESS} of one address listen already"
        else:
            return
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, reason, retry_after_s=RETRY_MS / 1000)

    async def _serve(self, response: web.StreamResponse, asked: Asked, after: str, stream: StreamKey | None) -> None:
        kinds = frozenset(kind.value for kind in asked.query.kind)
        shards = range(SHARDS) if stream is None else [shard_of(stream, "")]
        loop = asyncio.get_running_loop()
        sent_at = loop.time()
        while self._hub.is_running and asked.may_still():
            await self._turn()
            mark = self._hub.deliveries.news.mark()
            try:
                page = await self._hub.log.read(shards, after, PAGE)
            except Unavailable:
                await asyncio.sleep(LOG_AWAY_S)
                continue
            after = page.position
            of_kinds = [each for each in page.events if (each.event.kind in kinds if kinds else each.event.kind not in _ASKED_FOR)]
            wanted = [each for each in of_kinds if stream in (None, each.event.stream)]
            is_silent = not wanted and loop.time() - sent_at >= HEARTBEAT_S
            for piece in NOTHING if is_silent else _pieces(wanted):
                await _send(response, piece)
                sent_at = loop.time()
                await self._turn()
            if not page.more:
                await asyncio.sleep(GATHERED_S)
                await self._hub.deliveries.news.more(mark)

    async def _turn(self) -> None:
        """Wait for a turn: neither a log in memory nor a socket that has room ever lets go of the loop, which others need too."""
        async with self._turns:
            await asyncio.sleep(TURN_S)


async def newest_of(events: EventLog) -> str:
    """The position behind all events that there are."""
    return await events.wait("0-0", 0.001)


def _pieces(wanted: Iterable[LoggedEvent]) -> Iterator[str]:
    """The events as text, some `PIECE_CHARS` at a time, each made when it is asked for."""
    piece = ""
    for each in wanted:
        piece += _text(each)
        if len(piece) >= PIECE_CHARS:
            yield piece
            piece = ""
    if piece:
        yield piece


def _text(logged: LoggedEvent) -> str:
    shown = as_json(logged.event)
    facts = shown["data"]
    if facts.get("query"):
        facts["query"] = without_secrets(str(facts["query"]))
    if "?" in str(facts.get("tc_url", "")):
        base, _, query = str(facts["tc_url"]).partition("?")
        facts["tc_url"] = f"{base}?{without_secrets(query)}"
    data = json.dumps(shown, separators=(",", ":"), ensure_ascii=False)
    return f"id: {logged.position}\nevent: {logged.event.kind}\ndata: {data}\n\n"


async def _send(response: web.StreamResponse, text: str) -> None:
    async with asyncio.timeout(SEND_S):
        await response.write(text.encode("utf-8", "replace"))
