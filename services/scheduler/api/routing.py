"""``/v1/route/play`` and ``/v1/route/publish``: where a client is to go. ``/play/...``: it is sent there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from http import HTTPStatus

from aiohttp import web
from pydantic import ConfigDict, Field, IPvAnyAddress

from lalmesh.names import StreamKey
from lalmesh.runtime import telemetry
from lalmesh.runtime.http_gate import remote_of
from lalmesh.runtime.telemetry import Attribute, Span, SpanName
from lalmesh.runtime.zones import Address
from services.scheduler.api import MAX_STREAM_CHARS, Answer, ApiModel, ApiRole, Asked, Operation, ProblemError, named_stream
from services.scheduler.expected import EXPECTED_S
from services.scheduler.route_urls import PLAYED, PROTOCOLS, RouteProtocol
from services.scheduler.routes import Purpose, Routes
from services.scheduler.routing import Choice, NotListenedFor, Route, ZoneMatch

ClientOf = Callable[[web.Request], str]
PlayProtocol = Enum("PlayProtocol", {name: name for name in PROTOCOLS})  # type: ignore[misc]  # made of the one table
PublishProtocol = Enum(  # type: ignore[misc]
    "PublishProtocol", {name: name for name, protocol in PROTOCOLS.items() if protocol.publishes}
)

_UNRECORDED = Span(None)
_STREAM = Field(min_length=3, max_length=MAX_STREAM_CHARS, description="The stream, as app/name.", examples=["live/cam"])
_CLIENT = Field(
    default=None,
    description="Address of the client, whose zone counts; by default whoever asks. Needs a token, or a program on this machine.",
    examples=["192.0.2.7"],
)
_ZONE = Field(
    default="",
    max_length=253,
    pattern=r"^[A-Za-z0-9._-]*$",
    description="Zone of the client; empty: as the scheduler's table has its address.",
)


class PlayQuery(ApiModel):
    """Who wants to play what."""

    stream: str = _STREAM
    protocol: PlayProtocol = Field(description="How it is to be played.", examples=["http-flv"])
    client: IPvAnyAddress | None = _CLIENT
    zone: str = _ZONE


class PublishQuery(ApiModel):
    """Who wants to publish what."""

    stream: str = _STREAM
    protocol: PublishProtocol = Field(description="How it is to be published.", examples=["rtmp"])
    client: IPvAnyAddress | None = _CLIENT
    zone: str = _ZONE


class PlayedParts(ApiModel):
    """The path of what is played."""

    app: str = Field(max_length=MAX_STREAM_CHARS, description="Application of the stream; it may have slashes.")
    name: str = Field(
        max_length=300,
        pattern=r"\.(flv|ts|mp4|m3u8)$",
        description="Name of the stream with the ending of a format: .flv, .ts, .mp4, .m3u8; index.m3u8: low-latency HLS of `app`.",
        examples=["cam.flv"],
    )


class AnyQuery(ApiModel):
    """What the edge is to be given, such as a token. All of it goes along."""

    model_config = ConfigDict(frozen=True, extra="allow")


class RouteModel(ApiModel):
    """Where to go, and why."""

    url: str = Field(description="What the client is to ask for. A query of its own, such as a token, may be put behind it.")
    stream: str = Field(description="The stream, as app/name.")
    protocol: str = Field(description="As it was asked for.")
    edge: str | None = Field(description="Name of the edge; null where several share the address, and any of them may be met.")
    edge_zone: str = Field(description="Zone of the edge; empty: none is stated.")
    origin: str | None = Field(description="Name of the origin that has the stream; null where nobody publishes it.")
    shared: bool = Field(description="Whether edges share the address of the URL: a balancer in front of them picks one.")
    shared_by: int = Field(ge=1, description="Edges that are reached by that address.")
    choice: Choice = Field(
        description="Why this edge: it is the only one with room; the least_used of two that were drawn by what they can carry; "
        "it has_stream, so that no other has to fetch it; it publishes the stream, which comes back."
    )
    client_zone: str = Field(description="Zone of the client; empty: not known.")
    zone_match: ZoneMatch = Field(
        description="Whether the edge is in the client's zone: same; other, where no edge of that has room; unknown."
    )
    used: float = Field(ge=0, description="Share of the edge that is used, of what is used most; 1 is full.")
    used_of: str = Field(description="What that is: sessions, bit/s, processor, memory.")
    reason: str = Field(description="All of that in words.")
    traceparent: str | None = Field(
        description="The trace of this answer, where it is recorded (W3C Trace Context): as a header of that name, or a parameter "
        "of the query where there are no headers, it makes the session a part of it."
    )
    ttl_s: float = Field(gt=0, description="Seconds within which the client should come: for so long a place is kept for it.")


class RoutingApi:
    """The handlers."""

    def __init__(self, routes: Routes, is_ready: Callable[[], bool], client_of: ClientOf) -> None:
        """Answer from `routes` once it `is_ready`; `client_of` gives the address of whoever asks."""
        self._routes = routes
        self._client_of = client_of
        self._is_ready = is_ready

    async def play(self, asked: Asked) -> Answer:
        """Where a player goes."""
        return self._answer(asked, Purpose.PLAY)

    async def publish(self, asked: Asked) -> Answer:
        """Where a publisher goes."""
        return self._answer(asked, Purpose.PUBLISH)

    async def redirect(self, asked: Asked) -> Answer:
        """Send a player there."""
        path = f"{asked.path['app']}/{asked.path['name']}"
        suffix = next(ending for ending in PLAYED if path.endswith(ending))
        stream = named_stream(path.removesuffix(suffix), "name")
        zone = self._routes.zone_of(self._client_of(asked.request))
        is_secure, client = remote_of(asked.request).scheme == "https", self._counted_for(asked, None)
        with _span(asked.request, stream, Purpose.PLAY) as span:
            protocol, route = self._route_http(stream, PLAYED[suffix], zone, client, is_secure=is_secure)
            _describe(span, protocol, route)
        query = _traced(asked.request.rel_url.raw_query_string, span)
        location = protocol.url(route.edge.endpoint, stream) + (f"?{query}" if query else "")
        return Answer(status=HTTPStatus.FOUND, headers={"Location": location, "Cache-Control": "no-store"})

    def _route_http(
        self, stream: StreamKey, names: tuple[str, str], zone: str, client: str, *, is_secure: bool
    ) -> tuple[RouteProtocol, Route]:
        """With TLS where it was asked so and edges have it, and where they have nothing else."""
        first, second = (PROTOCOLS[name] for name in (reversed(names) if is_secure else names))
        protocol = second if self._routes.is_listened_for(second) and not self._routes.is_listened_for(first) else first
        return protocol, self._route(stream, protocol, Purpose.PLAY, zone, client)

    def _answer(self, asked: Asked, purpose: Purpose) -> Answer:
        query: PlayQuery | PublishQuery = asked.query
        stream, protocol = named_stream(query.stream), PROTOCOLS[query.protocol.value]
        zone = query.zone or self._routes.zone_of(self._client(asked, query))
        with _span(asked.request, stream, purpose) as span:
            route = self._route(stream, protocol, purpose, zone, self._counted_for(asked, query.client))
            _describe(span, protocol, route)
        return Answer(body=self._model(stream, protocol, zone, route, span))

    def _client(self, asked: Asked, query: PlayQuery | PublishQuery) -> str | Address:
        if query.client is None:
            return self._client_of(asked.request)
        if asked.role < ApiRole.VIEWER:
            raise ProblemError(HTTPStatus.FORBIDDEN, "for others only who has a token may ask, or a program here", field="client")
        return query.client

    def _counted_for(self, asked: Asked, named: Address | None) -> str:
        """The client for whose network a route counts; empty where a balancer or a program here asks, and does not say for whom."""
        if asked.role >= ApiRole.VIEWER:
            return "" if named is None else str(named)
        return self._client_of(asked.request)

    def _route(self, stream: StreamKey, protocol: RouteProtocol, purpose: Purpose, zone: str, client: str) -> Route:
        if not self._is_ready():
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "the registry was not read yet")
        try:
            return self._routes.route(stream, protocol, purpose, zone, client)
        except NotListenedFor as exc:
            raise ProblemError(HTTPStatus.NOT_FOUND, str(exc)) from exc

    def _model(self, stream: StreamKey, protocol: RouteProtocol, zone: str, route: Route, span: Span) -> RouteModel:
        record, usage = route.edge.record, route.usage
        return RouteModel(
            url=protocol.url(route.edge.endpoint, stream),
            stream=str(stream),
            protocol=protocol.name,
            edge=record.node.name if route.shared == 1 else None,
            edge_zone=record.zone,
            origin=self._routes.origin_of(stream),
            shared=route.shared > 1,
            shared_by=route.shared,
            choice=route.choice,
            client_zone=zone,
            zone_match=route.zone_match,
            used=round(usage.share, 4),
            used_of=usage.dimension,
            reason=route.reason,
            traceparent=str(span.context) if _is_recorded(span) else None,
            ttl_s=EXPECTED_S,
        )


def _span(request: web.Request, stream: StreamKey, purpose: Purpose) -> AbstractContextManager[Span]:
    if not telemetry.is_on():
        return nullcontext(_UNRECORDED)
    asked = telemetry.from_outside(request.headers.get(telemetry.HEADER, ""))
    return telemetry.span(SpanName.ROUTE, asked, {Attribute.STREAM: str(stream), Attribute.PURPOSE: purpose.value})


def _describe(span: Span, protocol: RouteProtocol, route: Route) -> None:
    if _is_recorded(span):
        edge, choice = route.edge.record.node.name, route.choice.value
        span.set({Attribute.PROTOCOL: protocol.name, Attribute.EDGE: edge, Attribute.CHOICE: choice})


def _is_recorded(span: Span) -> bool:
    return span.context is not None and span.context.is_sampled


def _traced(query: str, span: Span) -> str:
    """The query that a client goes on with, which takes the trace along: who follows a redirection sends no header of ours."""
    return telemetry.with_context(telemetry.context_in(query)[1], str(span.context)) if _is_recorded(span) else query


def _address_of(request: web.Request) -> str:
    return remote_of(request).address


def operations(routes: Routes, is_ready: Callable[[], bool], client_of: ClientOf = _address_of) -> list[Operation]:
    """What can be asked for; see `RoutingApi`."""
    api = RoutingApi(routes, is_ready, client_of)
    problems = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE})
    where = {HTTPStatus.OK: RouteModel}
    asking = "404 where no edge listens for the protocol, 503 with Retry-After where none that does has room."
    return [
        Operation(
            method="GET",
            path="/v1/route/play",
            tag="routing",
            summary="Where a player is to go",
            description=f"Also where the stream is not there yet: edges wait for it, or fetch it, as they are configured. {asking}",
            handler=api.play,
            role=ApiRole.ANYBODY,
            query=PlayQuery,
            answers=where,
            problems=problems,
        ),
        Operation(
            method="GET",
            path="/v1/route/publish",
            tag="routing",
            summary="Where a publisher is to go",
            description=f"One that comes back goes where its stream is published still. {asking}",
            handler=api.publish,
            role=ApiRole.ANYBODY,
            query=PublishQuery,
            answers=where,
            problems=problems,
        ),
        Operation(
            method="GET",
            path="/play/{app}/{name}",
            tag="routing",
            summary="Send a player to an edge",
            description=f"A redirect, with the query as it is. {asking}",
            handler=api.redirect,
            role=ApiRole.ANYBODY,
            parts=PlayedParts,
            deep_parts=frozenset({"app"}),
            query=AnyQuery,
            answers={HTTPStatus.FOUND: None},
            problems=problems - {HTTPStatus.FORBIDDEN},
        ),
    ]
