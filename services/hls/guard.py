"""Who may have what an hls node serves: edges say whom they let in, and who comes by himself is asked here."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from lalmesh.errors import InvalidName, RemoteProtocolError, Unavailable
from lalmesh.names import StreamKey
from lalmesh.protocol.hls import PlaylistName
from lalmesh.runtime import telemetry
from lalmesh.runtime.addresses import host_port
from lalmesh.runtime.authorisation import (
    CLIENT_HEADER,
    HTTP_STATUS,
    Access,
    AccessRefused,
    Action,
    FromEdge,
    HlsAccess,
    Redirected,
    Request,
    basic_login,
    bearer_of,
    http_challenge,
)
from lalmesh.runtime.forwarded import Remote
from lalmesh.runtime.http_gate import WaitingForAnswer, remote_of
from lalmesh.runtime.record_paths import RECORDINGS, parse_record_path
from services.hls.answer import UNCACHED, Answer, refusal
from services.hls.naming import StreamNames


@dataclass(slots=True, frozen=True)
class LetIn:
    """A request that is answered."""

    query: str  #: without credentials
    peer: str  #: address and port of the client, as the edge says that it came by; the address alone where that says no more
    base: str  #: scheme and host that it was asked by, there
    is_counted: bool = False  #: by the edge: its player is no business of this node
    traceparent: str = ""  #: of the query, which `query` has no more; empty where there was none
    trace: telemetry.TraceContext | None = None  #: what its client says that it is a part of
    asked_us: int = 0  #: when it arrived, Unix microseconds
    is_by_edge: bool = False  #: whether an edge passed it on


Serve = Callable[[web.Request, LetIn], Awaitable[web.StreamResponse]]


class Guard:
    """Stands before what answers."""

    def __init__(self, access: Access, names: StreamNames, serve: Serve, *, match_app: bool = True) -> None:
        """Let `serve` answer whom `access` lets in; `names` tells which stream a URL without application names."""
        self._access = HlsAccess(access)
        self._headers = access.edge_headers
        self._names = names
        self._serve = serve
        self._match_app = match_app

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a GET or HEAD."""
        asked_us = time.time_ns() // 1000
        trace, traceparent, query = telemetry.from_request(request.headers, request.rel_url.raw_query_string)
        said = self._headers.read_all(request.headers, request.rel_url.raw_path_qs, time.time())
        remote = remote_of(request)
        address = said.address if said is not None else remote.address
        if self._access.is_guarded and not (said is not None and said.is_checked):
            try:
                with WaitingForAnswer(request):
                    admitted = await self._admitted(request, query, address)
            except AccessRefused as error:
                return _refusal(error)
            if isinstance(admitted, web.Response):
                return admitted
            if isinstance(admitted, Redirected):
                where = f"{request.rel_url.raw_path}?{telemetry.with_context(admitted.query, traceparent)}"
                return web.Response(status=302, headers={"Location": where, "Cache-Control": UNCACHED})
            query = admitted
        base, is_counted = _base(request, remote, is_by_edge=said is not None), said is not None and said.is_counted
        peer = _peer(request, said) if said is not None else remote.peer
        return await self._serve(request, LetIn(query, peer, base, is_counted, traceparent, trace, asked_us, said is not None))

    async def _admitted(self, request: web.Request, query: str, address: str) -> str | Redirected | web.Response:
        if request.path.startswith(RECORDINGS):
            wanted = self._wanted(request, query, address, self._recorded(request), "record")
            return (await self._access.recording(wanted)).query
        try:
            found, stream = await self._names.resolve(request.rel_url.raw_path)
        except InvalidName as error:
            return _said(refusal(400, str(error)))
        except RemoteProtocolError as error:
            return _said(refusal(400 if error.section else 404, error.reason))
        except Unavailable as error:
            return _said(refusal(503, str(error)))  # not served unasked, be it known by the time that it would be
        wanted = self._wanted(request, query, address, stream, "hls")
        if wanted is None:
            return query
        admitted = await self._access.hls(wanted, is_playlist=isinstance(found.resource, PlaylistName))
        return admitted if isinstance(admitted, Redirected) else admitted.query

    def _wanted(self, request: web.Request, query: str, address: str, stream: StreamKey | None, family: str) -> Request | None:
        if stream is None:
            return None
        shown = request.headers.get("Authorization", "")
        return Request(
            action=Action.PLAY,
            stream=stream,
            protocol=f"{request.scheme}-{family}",
            address=address,
            query=query,
            user_agent=request.headers.get("User-Agent", ""),
            login=basic_login(shown),
            bearer=bearer_of(shown),
        )

    def _recorded(self, request: web.Request) -> StreamKey | None:
        """The stream whose recordings are wanted; None for those of all, or of none that can be."""
        try:
            return parse_record_path(request.rel_url.raw_path, match_app=self._match_app).stream
        except InvalidName:
            return None


def as_it_came(request: web.Request) -> LetIn:
    """A request that nobody guards and no edge passed on."""
    remote = remote_of(request)
    trace, traceparent, query = telemetry.from_request(request.headers, request.rel_url.raw_query_string)
    base = _base(request, remote, is_by_edge=False)
    return LetIn(query, remote.peer, base, traceparent=traceparent, trace=trace, asked_us=time.time_ns() // 1000)


def _peer(request: web.Request, said: FromEdge) -> str:
    """Address and port of the client that an edge speaks for: the port is not signed, and decides nothing."""
    peer = request.headers.get(CLIENT_HEADER, "")
    port = peer.rpartition(":")[2]
    is_port = port.isascii() and port.isdigit() and int(port[:6]) < 1 << 16
    return peer if is_port and peer == host_port(said.address, int(port[:6])) else said.address


def _base(request: web.Request, remote: Remote, *, is_by_edge: bool) -> str:
    """Scheme and host that a client asked by: of an edge, where that says so."""
    if not is_by_edge:
        return f"{remote.scheme}://{request.host}"
    headers = request.headers
    return f"{headers.get('X-Forwarded-Proto', remote.scheme)}://{headers.get('X-Forwarded-Host', request.host)}"


def _said(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body)


def _refusal(error: AccessRefused) -> web.Response:
    refused = error.refused
    headers = {"Cache-Control": UNCACHED} | http_challenge(refused)
    if refused.retry_after_s:
        headers["Retry-After"] = str(max(1, round(refused.retry_after_s)))
    return web.Response(status=HTTP_STATUS[refused.reason], text=f"{error}\n", headers=headers)
