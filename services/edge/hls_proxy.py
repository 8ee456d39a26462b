"""``/hls/`` and ``/record/`` on an edge: passed on to the hls nodes, so that one port serves everything.

What is asked for at the same time is asked once, and what may be kept is kept for a while: players that are counted here get the
same playlists. Ranges, conditional requests and what is too large to be kept go straight through, as fast as the client takes them.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from functools import partial
from http import HTTPStatus

from aiohttp import web

from lalmesh.runtime import telemetry
from lalmesh.runtime.authorisation import CLIENT_HEADER, EdgeHeaders, FromEdge
from lalmesh.runtime.forwarded import Remote
from lalmesh.runtime.hls_sessions import HlsPlayer
from lalmesh.runtime.http_gate import CHUNK_BYTES, WaitingForAnswer, answer_with, remote_of, send
from lalmesh.runtime.record_paths import RECORDINGS
from services.edge.answer_cache import Answer
from services.edge.hls_client import HlsClient, passed_on
from services.edge.hls_counting import AskAgain, Counted, Ended, HlsCounting, Uncounted
from services.edge.hls_guard import Passed
from services.edge.hls_nodes import Wanted

HLS = "/hls/"
#: what makes an answer one for this request alone (RFC 9110 §13.1, §14.2); the node decides
CONDITIONS = ("Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")


def is_proxied(path: str) -> bool:
    """Whether hls nodes answer for `path`. Of streams in an application ``hls``, FLV is the edge's own: nothing in HLS ends so."""
    return path.startswith(RECORDINGS) or (path.startswith(HLS) and not path.endswith(".flv"))


class HlsProxy:
    """Answers the HTTP requests for HLS and recordings that come to one listener."""

    def __init__(self, client: HlsClient, headers: EdgeHeaders, counting: HlsCounting | None = None) -> None:
        """Answer by asking through `client`, whose nodes believe `headers`; count players where there is `counting`."""
        self._client = client
        self._says = headers
        self._counting = counting

    async def serve(self, request: web.Request, passed: Passed) -> web.StreamResponse:
        """Answer a request that was `passed`; who leaves while he waits is waited for no longer, and takes nothing from others.

        Raises:
            Unavailable: no hls node answers.
        """
        with WaitingForAnswer(request):
            if self._counting is None or passed.asked is None:
                return await self._uncounted(request, passed, passed.query)
            match self._counting.decide(passed.asked, passed.query):
                case AskAgain(query):
                    where = f"{request.rel_url.raw_path}?{telemetry.with_context(query, passed.traceparent)}"
                    return web.Response(status=302, headers={"Location": where, "Cache-Control": "no-store"})
                case Ended():
                    return web.Response(status=410, text="the session was ended\n", headers={"Cache-Control": "no-store"})
                case Uncounted(query):
                    return await self._uncounted(request, passed, query)
                case Counted() as counted:
                    return await self._counted(request, passed, counted, self._counting)

    async def _uncounted(self, request: web.Request, passed: Passed, query: str) -> web.StreamResponse:
        conditions = {name: request.headers[name] for name in CONDITIONS if name in request.headers}
        wanted = self._wanted(request, passed, query, conditions)
        if request.method == "HEAD":
            return await self._head(request, wanted, passed)
        if conditions or not passed.is_checked:
            return await self._pass_through(request, wanted, passed)
        answer = await self._client.answer(wanted)
        if answer is None:
            return await self._pass_through(request, wanted, passed)
        if answer.status == HTTPStatus.FOUND:
            answer = replace(answer, headers=_with_trace(answer.headers, passed))
        with self._client.held.using(answer.body) as has_room:
            return await (self._whole(request, answer, answer.body) if has_room else self._pass_through(request, wanted, passed))

    async def _counted(self, request: web.Request, passed: Passed, counted: Counted, counting: HlsCounting) -> web.StreamResponse:
        """The answer that all players have, who are counted; conditions mean nothing where no answer has a validator or ranges.

        A HEAD is no player, and answered as a GET would be.
        """
        wanted = self._wanted(request, passed, counted.query, {}, is_counted=True)
        answer = await self._client.answer(wanted if wanted.method == "GET" else replace(wanted, method="GET"))
        if answer is None:
            return await self._counted_through(request, passed, counted, counting, wanted)
        if answer.status == HTTPStatus.FOUND and (as_it_came := counting.redirected(counted, answer)) is not None:
            return await self._uncounted(request, passed, as_it_came.query)
        if answer.status != HTTPStatus.OK:
            return await self._whole(request, replace(answer, headers=_with_trace(answer.headers, passed)), answer.body)
        with self._client.held.using(answer.body) as has_room:
            if not has_room:
                return await self._counted_through(request, passed, counted, counting, wanted)
            body = counted.for_player(answer.body)
            if request.method == "GET":
                counting.answered(counted, partial(_player, request, passed), len(body), answer.codecs, answer.played)
            return await self._whole(request, answer, body)

    async def _counted_through(
        self, request: web.Request, passed: Passed, counted: Counted, counting: HlsCounting, wanted: Wanted
    ) -> web.StreamResponse:
        """The same for an answer that cannot be kept in memory."""
        if request.method == "HEAD":
            return await self._head(request, wanted, passed)
        response = await self._pass_through(request, wanted, passed)
        if response.status == HTTPStatus.OK:
            counting.answered(counted, partial(_player, request, passed), response.content_length or 0)
        return response

    def _wanted(
        self, request: web.Request, passed: Passed, query: str, conditions: Mapping[str, str], *, is_counted: bool = False
    ) -> Wanted:
        path = request.rel_url.raw_path
        target = f"{path}?{query}" if query else path

        def headers() -> Mapping[str, str]:
            remote = remote_of(request)
            said = FromEdge(remote.address, passed.is_checked, is_counted)
            told = {**self._says.of(target, said, time.time()), CLIENT_HEADER: remote.peer}
            return {**_about(request, remote), **told, **telemetry.carried(passed.trace), **conditions}

        return Wanted(target, headers, request.method)

    async def _whole(self, request: web.Request, answer: Answer, body: bytes) -> web.StreamResponse:
        headers = dict(answer.headers)
        if request.method != "HEAD":
            self._client.counters.sent_bytes += len(body)
        if answer.fresh_s:
            headers["Age"] = str(max(0, int(self._client.now() - answer.fetched_at)))  # caches below have to know (RFC 9111 §4.2.3)
        return await answer_with(request, answer.status, headers, body)

    async def _head(self, request: web.Request, wanted: Wanted, passed: Passed) -> web.StreamResponse:
        """Hand on what a node says that it would answer."""
        async with self._client.opened(wanted) as upstream:
            response = web.StreamResponse(status=upstream.status, headers=_with_trace(passed_on(upstream), passed))
            length = upstream.headers.get("Content-Length", "")
            response.content_length = int(length) if length.isascii() and length.isdigit() else None
            await response.prepare(request)
            return response

    async def _pass_through(self, request: web.Request, wanted: Wanted, passed: Passed) -> web.StreamResponse:
        """Hand on what comes, as it comes, as fast as the client takes it."""
        async with self._client.opened(wanted) as upstream:
            response = web.StreamResponse(status=upstream.status, headers=_with_trace(passed_on(upstream), passed))
            response.content_length = upstream.content_length
            if not await send(request, response, self._handed_on(upstream.content.iter_chunked(CHUNK_BYTES))):
                upstream.close()
            return response

    async def _handed_on(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            self._client.counters.sent_bytes += len(chunk)
            yield chunk


def _with_trace(headers: Mapping[str, str], passed: Passed) -> Mapping[str, str]:
    """Where a node sends a player, with the `traceparent` of its query: the node was asked without, as for all players."""
    if not passed.traceparent or "Location" not in headers:
        return headers
    path, _, query = headers["Location"].partition("?")
    return {**headers, "Location": f"{path}?{telemetry.with_context(query, passed.traceparent)}"}


def _about(request: web.Request, remote: Remote) -> Mapping[str, str]:
    """What a node is told of the request. What its client said itself of whom it speaks for is dropped."""
    headers = {"X-Forwarded-Proto": remote.scheme, "X-Forwarded-Host": request.host, "Accept-Encoding": "identity"}
    if remote.address:
        headers["X-Forwarded-For"] = remote.address
    if "User-Agent" in request.headers:
        headers["User-Agent"] = request.headers["User-Agent"]
    return headers


def _player(request: web.Request, passed: Passed) -> HlsPlayer:
    remote = remote_of(request)
    base = f"{remote.scheme}://{request.host}"
    agent = request.headers.get("User-Agent", "")
    return HlsPlayer.asking(remote.peer, base, request.path, passed.query, agent, passed.trace, passed.asked_us)
