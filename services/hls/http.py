"""HTTP of an hls node: everything under ``/hls/``, and ``/record/`` where recordings are shown."""

from __future__ import annotations

import asyncio
import gzip
import logging
from typing import cast
from urllib.parse import parse_qsl

from aiohttp import web

import lalmesh
from lalmesh.errors import InvalidName, RemoteProtocolError
from lalmesh.protocol.hls import PlaylistName
from services.hls.answer import PLAYLIST_TYPE, Answer, refusal
from services.hls.cors import CorsPolicy
from services.hls.metrics import HlsMetrics
from services.hls.record_http import PREFIX as RECORD_PREFIX
from services.hls.record_http import RecordHttp
from services.hls.service import HlsService
from services.hls.sessions import PARAMETER, Players, is_session_id, new_session_id

log = logging.getLogger(__name__)

SERVER = f"lalmesh/{lalmesh.__version__}"
ANY_PATH = "/{path:(?s:.*)}"  #: one with a line break in it too, to be refused like other names
PREFLIGHT_MAX_AGE_S = 86_400
KEEPALIVE_S = 30.0  #: between two requests of a player: a few segments
STOP_S = 1.0  #: for answers under way when the listener stops
LISTEN_BACKLOG = 4096  #: connections that wait to be accepted: a burst of a thousand players in a second
GZIP_FROM_BYTES = 1000  #: smaller playlists fit one packet as they are
GZIP_LEVEL = 5  #: a playlist of 5 KB takes 0.1 ms and becomes a fifth
MAX_ZIPPED = 256  #: playlists that are kept zipped: the newest of some streams, with the queries of some players


class HlsHttp:
    """The HTTP listener of an hls node."""

    def __init__(
        self,
        service: HlsService,
        players: Players,
        metrics: HlsMetrics,
        cors: CorsPolicy,
        session_key: bytes = b"",
        *,
        connections: int = 20_000,
    ) -> None:
        """Answer with `service` on so many `connections` at a time; count `players` where there is a `session_key`."""
        self.port = 0
        self.records: RecordHttp | None = None  #: None: none are shown
        self._service = service
        self._players = players
        self._metrics = metrics
        self._cors = cors
        self._session_key = session_key
        self._zipped = ZippedPlaylists()
        self._connections = connections
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> None:
        """Listen on `host` and `port` (0: a free one).

        Raises:
            OSError: the port cannot be bound.
        """
        app = web.Application()
        app.router.add_route("OPTIONS", ANY_PATH, self._preflight)
        app.router.add_get(ANY_PATH, self._get)  # HEAD too
        app.on_response_prepare.append(self._add_headers)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=STOP_S, keepalive_timeout=KEEPALIVE_S
        )
        await self._runner.setup()
        self._listener = await asyncio.get_running_loop().create_server(self._accept, host, port, backlog=LISTEN_BACKLOG)
        self.port = int(self._listener.sockets[0].getsockname()[1])

    def _accept(self) -> asyncio.BaseProtocol:
        """What serves a new connection."""
        server = self._runner.server if self._runner is not None else None
        if server is None or len(server.connections) >= self._connections:
            self._metrics.requests.labels("503").inc()
            return _Refusal()
        handler: asyncio.BaseProtocol = server()
        return handler

    async def stop(self) -> None:
        """Stop listening; answers under way get a moment."""
        if self._listener is not None:
            self._listener.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _add_headers(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        response.headers["Server"] = SERVER
        response.headers["X-Content-Type-Options"] = "nosniff"
        for name, value in self._cors.headers(request.headers.get("Origin")).items():
            known = response.headers.get(name)
            response.headers[name] = f"{known}, {value}" if known else value  # Vary may have been there

    async def _preflight(self, request: web.Request) -> web.Response:
        headers = {"Allow": "GET, HEAD, OPTIONS"}
        if "Access-Control-Allow-Origin" in self._cors.headers(request.headers.get("Origin")):
            headers |= {"Access-Control-Allow-Methods": "GET, HEAD", "Access-Control-Max-Age": str(PREFLIGHT_MAX_AGE_S)}
            asked = request.headers.get("Access-Control-Request-Headers")
            if asked:
                headers["Access-Control-Allow-Headers"] = asked
        return web.Response(status=204, headers=headers)

    async def _get(self, request: web.Request) -> web.StreamResponse:
        path, query = request.rel_url.raw_path, request.rel_url.raw_query_string
        if self.records is not None and path.startswith(RECORD_PREFIX):
            response = await self.records.get(request)
            self._metrics.requests.labels(str(response.status)).inc()
            return response
        answer = self._session_answer(request, path, query) if self._session_key else None
        if answer is None:
            answer = await self._service.answer(path, query)
            self._count(request, path, query, answer)
        self._metrics.requests.labels(str(answer.status)).inc()
        return self._zipped.response(answer, request.headers.get("Accept-Encoding", ""))

    # players

    def _session_answer(self, request: web.Request, path: str, query: str) -> Answer | None:
        """A first playlist is asked for again with a session id; one with an id that was never given is not found."""
        try:
            found, stream = self._service.parse(path)
        except (InvalidName, RemoteProtocolError):
            return None
        session_id = _session_id(query)
        if session_id:
            return None if is_session_id(session_id, stream, self._session_key) else refusal(404, "unknown session")
        if not isinstance(found.resource, PlaylistName):
            return None
        added = f"{PARAMETER}={new_session_id(stream, self._session_key)}"
        where = f"{request.rel_url.raw_path}?{query}&{added}" if query else f"{request.rel_url.raw_path}?{added}"
        return Answer(302, b"", {"Location": where, "Cache-Control": "no-store"})

    def _count(self, request: web.Request, path: str, query: str, answer: Answer) -> None:
        session_id = _session_id(query) if self._session_key else ""
        if session_id and answer.status == 200:
            _, stream = self._service.parse(path)
            self._players.saw(stream, session_id, request.remote or "", len(answer.body))
        self._metrics.sent_bytes.inc(len(answer.body))


class _Refusal(asyncio.Protocol):
    """A connection over the limit: it is told so, whatever it wants."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say no, and close."""
        out = cast(asyncio.WriteTransport, transport)
        out.write(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        out.close()


def _session_id(query: str) -> str:
    return dict(parse_qsl(query)).get(PARAMETER, "")


class ZippedPlaylists:
    """Playlists as players that take gzip get them: zipped once for all who get the same."""

    def __init__(self) -> None:
        """Start with none."""
        self._zipped: dict[bytes, bytes] = {}

    def response(self, answer: Answer, accepted: str) -> web.Response:
        """The answer to a player that takes what its Accept-Encoding (`accepted`) says."""
        headers, body = dict(answer.headers), answer.body
        if len(body) >= GZIP_FROM_BYTES and headers.get("Content-Type") == PLAYLIST_TYPE:
            headers["Vary"] = "Accept-Encoding"
            if _takes_gzip(accepted):
                headers["Content-Encoding"] = "gzip"
                body = self._zip(body)
        return web.Response(status=answer.status, body=body, headers=headers)

    def _zip(self, body: bytes) -> bytes:
        zipped = self._zipped.get(body)
        if zipped is None:
            zipped = self._zipped[body] = gzip.compress(body, GZIP_LEVEL, mtime=0)
            if len(self._zipped) > MAX_ZIPPED:
                del self._zipped[next(iter(self._zipped))]
        return zipped


def _takes_gzip(accepted: str) -> bool:
    """Whether gzip is named, and not to be refused (RFC 9110 §12.5.3)."""
    for item in accepted.lower().split(","):
        coding, _, weight = item.partition(";")
        if coding.strip() in ("gzip", "x-gzip"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
