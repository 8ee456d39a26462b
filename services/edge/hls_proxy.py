"""``/hls/`` and ``/record/`` on an edge: passed on to the hls nodes, so that one port serves everything.

What players of live streams ask for at the same time is asked once, and what may be kept is kept for a while. Recordings, ranges
and what is too large to be kept go straight through, as fast as the client takes them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Iterator

import aiohttp
from aiohttp import web

from services.edge.answer_cache import Answer
from services.edge.hls_client import HlsClient, Wanted, passed_on
from services.edge.listener import peer_of
from services.edge.takeover import gate_of

HLS, RECORDINGS = "/hls/", "/record/"
SLOW_CLIENT_S = 30.0  #: for a client to take 64 KiB; as long as a player of a live stream may lag
CHUNK_BYTES = 64 << 10


def is_proxied(path: str) -> bool:
    """Whether hls nodes answer for `path`. Of streams in an application ``hls``, FLV is the edge's own: nothing in HLS ends so."""
    return path.startswith(RECORDINGS) or (path.startswith(HLS) and not path.endswith(".flv"))


class HlsProxy:
    """Answers the HTTP requests for HLS and recordings that come to one listener."""

    def __init__(self, client: HlsClient, scheme: str) -> None:
        """Answer requests of `scheme` (``http`` or ``https``) by asking through `client`."""
        self._client = client
        self._scheme = scheme

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer a request; who leaves while he waits is waited for no longer, and takes nothing from others.

        Raises:
            Unavailable: no hls node answers.
        """
        wanted = Wanted(request.rel_url.raw_path_qs, self._headers(request), request.method)
        with _waiting(request):
            if request.method == "HEAD":
                return await self._head(request, wanted)
            if "Range" in request.headers or request.path.startswith(RECORDINGS):
                return await self._pass_through(request, wanted)
            answer = await self._client.answer(wanted)
            if answer is None:
                return await self._pass_through(request, wanted)
            with self._client.held.using(answer.body) as has_room:
                return await (self._whole(request, answer) if has_room else self._pass_through(request, wanted))

    def _headers(self, request: web.Request) -> dict[str, str]:
        """What a node is told of the request. Who is behind the peer nobody here can vouch for: what it says of that is dropped."""
        headers = {"X-Forwarded-Proto": self._scheme, "X-Forwarded-Host": request.host, "Accept-Encoding": "identity"}
        if request.transport is not None:
            headers["X-Forwarded-For"] = peer_of(request.transport)[0]
        for name in ("User-Agent", "Range", "If-Range"):
            if name in request.headers:
                headers[name] = request.headers[name]
        return headers

    async def _whole(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        headers = dict(answer.headers)
        if answer.fresh_s:
            headers["Age"] = str(max(0, int(self._client.now() - answer.fetched_at)))  # caches below have to know (RFC 9111 §4.2.3)
        if len(answer.body) <= CHUNK_BYTES:
            return web.Response(status=answer.status, headers=headers, body=answer.body)
        response = web.StreamResponse(status=answer.status, headers=headers)
        response.content_length = len(answer.body)
        await _send(request, response, _chunks(answer.body))
        return response

    async def _head(self, request: web.Request, wanted: Wanted) -> web.StreamResponse:
        """Hand on what a node says that it would answer."""
        async with self._client.opened(wanted) as upstream:
            response = web.StreamResponse(status=upstream.status, headers=passed_on(upstream))
            length = upstream.headers.get("Content-Length", "")
            response.content_length = int(length) if length.isascii() and length.isdigit() else None
            await response.prepare(request)
            return response

    async def _pass_through(self, request: web.Request, wanted: Wanted) -> web.StreamResponse:
        """Hand on what comes, as it comes, as fast as the client takes it."""
        async with self._client.opened(wanted) as upstream:
            response = web.StreamResponse(status=upstream.status, headers=passed_on(upstream))
            response.content_length = upstream.content_length
            if not await _send(request, response, upstream.content.iter_chunked(CHUNK_BYTES)):
                upstream.close()
            return response


async def _send(request: web.Request, response: web.StreamResponse, chunks: AsyncIterable[bytes | memoryview]) -> bool:
    """Send an answer as fast as the client takes it. Gives whether that worked; else its connection is gone."""
    await response.prepare(request)
    try:
        async for chunk in chunks:
            async with asyncio.timeout(SLOW_CLIENT_S):
                await response.write(chunk)
        await response.write_eof()
    except (aiohttp.ClientError, TimeoutError, ConnectionError):
        if request.transport is not None:
            request.transport.abort()  # so that nobody takes the half for the whole
        return False
    return True


async def _chunks(body: bytes) -> AsyncIterator[memoryview]:
    view = memoryview(body)
    for at in range(0, len(body), CHUNK_BYTES):
        yield view[at : at + CHUNK_BYTES]


@contextlib.contextmanager
def _waiting(request: web.Request) -> Iterator[None]:
    """While it is answered, the connection's silence is no reason to end it, and its end ends the request."""
    gate = gate_of(request)
    if gate is None:
        yield
        return
    gate.waiting, gate.connection.watch_idle = asyncio.current_task(), False
    try:
        yield
    finally:
        gate.waiting = None
        gate.connection.last_read = asyncio.get_running_loop().time()
        gate.connection.watch_idle = True
