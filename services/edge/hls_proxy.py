"""``/hls/`` and ``/record/`` on an edge: passed on to the hls nodes, so that one port serves everything.

What is asked for at the same time is asked once, and what may be kept is kept for a while. Ranges, conditional requests and what is
too large to be kept go straight through, as fast as the client takes them.
"""

from __future__ import annotations

from aiohttp import web

from lalmesh.runtime.http_gate import CHUNK_BYTES, answer_with, remote_of, send, waiting_for_answer
from lalmesh.runtime.record_paths import RECORDINGS
from services.edge.answer_cache import Answer
from services.edge.hls_client import HlsClient, passed_on
from services.edge.hls_guard import Passed, header_of
from services.edge.hls_nodes import Wanted

HLS = "/hls/"
#: what makes an answer one for this request alone (RFC 9110 §13.1, §14.2); the node decides
CONDITIONS = ("Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")


def is_proxied(path: str) -> bool:
    """Whether hls nodes answer for `path`. Of streams in an application ``hls``, FLV is the edge's own: nothing in HLS ends so."""
    return path.startswith(RECORDINGS) or (path.startswith(HLS) and not path.endswith(".flv"))


class HlsProxy:
    """Answers the HTTP requests for HLS and recordings that come to one listener."""

    def __init__(self, client: HlsClient, scheme: str) -> None:
        """Answer requests of `scheme` (``http`` or ``https``) by asking through `client`."""
        self._client = client
        self._scheme = scheme

    async def serve(self, request: web.Request, passed: Passed) -> web.StreamResponse:
        """Answer a request that was `passed`; who leaves while he waits is waited for no longer, and takes nothing from others.

        Raises:
            Unavailable: no hls node answers.
        """
        conditions = {name: request.headers[name] for name in CONDITIONS if name in request.headers}
        wanted = Wanted(passed.target, self._headers(request) | header_of(passed) | conditions, request.method)
        with waiting_for_answer(request):
            if request.method == "HEAD":
                return await self._head(request, wanted)
            if conditions or not passed.is_checked:
                return await self._pass_through(request, wanted)
            answer = await self._client.answer(wanted)
            if answer is None:
                return await self._pass_through(request, wanted)
            with self._client.held.using(answer.body) as has_room:
                return await (self._whole(request, answer) if has_room else self._pass_through(request, wanted))

    def _headers(self, request: web.Request) -> dict[str, str]:
        """What a node is told of the request. What its client said itself of whom it speaks for is dropped."""
        remote = remote_of(request)
        headers = {"X-Forwarded-Proto": remote.scheme, "X-Forwarded-Host": request.host, "Accept-Encoding": "identity"}
        if remote.address:
            headers["X-Forwarded-For"] = remote.address
        if "User-Agent" in request.headers:
            headers["User-Agent"] = request.headers["User-Agent"]
        return headers

    async def _whole(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        headers = dict(answer.headers)
        if answer.fresh_s:
            headers["Age"] = str(max(0, int(self._client.now() - answer.fetched_at)))  # caches below have to know (RFC 9111 §4.2.3)
        return await answer_with(request, answer.status, headers, answer.body)

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
            if not await send(request, response, upstream.content.iter_chunked(CHUNK_BYTES)):
                upstream.close()
            return response
