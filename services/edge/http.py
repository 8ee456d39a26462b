"""HTTP and HTTPS on the edge: HTTP-FLV and WebSocket-FLV. aiohttp routes and upgrades; players then have their transports alone."""

from __future__ import annotations

import asyncio
import logging
import ssl
from urllib.parse import unquote, urlsplit

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

import lalmesh
from lalmesh.errors import InvalidName, ServiceError, StreamNotFound, Unavailable
from lalmesh.names import StreamKey
from lalmesh.remux import FlvPackager, WebSocketFlvPackager
from services.edge.listener import Admission, ListenerLimits, listen
from services.edge.metrics import EdgeMetrics
from services.edge.player import EdgeContext
from services.edge.player_http import HttpPlayer, WebSocketPlayer
from services.edge.relay import Relay
from services.edge.takeover import Gate, TakenOver, gate_of, take_over

log = logging.getLogger(__name__)

SERVER = f"lalmesh/{lalmesh.__version__}"
FLV_TYPE = "video/x-flv"
ANY_PATH = "/{path:(?s:.*)}"  #: one with a line break in it too, to be refused like other names
PREFLIGHT_MAX_AGE_S = 86_400
MAX_REQUEST_LINE_BYTES = 8_190
KEEPALIVE_S = 15.0  #: how long a connection without a request stays


class _NotHttp(logging.Filter):
    """What aiohttp says of bytes that are no HTTP: it counts, as a line without the traceback that it gives to each of them."""

    def __init__(self, metrics: EdgeMetrics, scheme: str) -> None:
        super().__init__()
        self._errors = metrics.protocol_errors.labels(scheme)

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            self._errors.inc()
            record.levelno, record.levelname = logging.WARNING, "WARNING"
            record.msg, record.args, record.exc_info = "peer broke the protocol: %s", (type(error).__name__,), None
        return True


class CorsPolicy:
    """Which web pages may read streams."""

    def __init__(self, origins: tuple[str, ...]) -> None:
        """Allow the listed origins, ``scheme://host[:port]``; ``*`` any, without credentials."""
        self._any = "*" in origins
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)

    def headers(self, origin: str | None) -> dict[str, str]:
        """The headers of an answer to a page of `origin`."""
        if self._any:
            return {"Access-Control-Allow-Origin": "*"}
        if origin is None or origin.lower() not in self._origins:
            return {"Vary": "Origin"} if self._origins else {}
        return {"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true", "Vary": "Origin"}

    def allows_socket(self, origin: str | None, host: str) -> bool:
        """Whether a page of `origin` may open a WebSocket here; a client that is no browser sends no origin."""
        if origin is None or self._any or origin.lower() in self._origins:
            return True
        try:
            return urlsplit(origin).netloc.lower() == host.lower()
        except ValueError:
            return False


class HttpListener:
    """The HTTP or (with `tls`) HTTPS port of an edge."""

    def __init__(
        self,
        context: EdgeContext,
        limits: ListenerLimits,
        metrics: EdgeMetrics,
        cors: CorsPolicy,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Prepare; `start` listens."""
        self.scheme = "https" if tls is not None else "http"
        self.metrics = metrics
        self.context = context
        self.port = 0
        self.loop = asyncio.get_running_loop()
        self.admission = Admission(self.scheme, limits, metrics)
        self._limits = limits
        self._cors = cors
        self._tls = tls
        self._server: asyncio.AbstractServer | None = None
        app = web.Application()
        app.router.add_route("OPTIONS", ANY_PATH, self._preflight)
        app.router.add_get(ANY_PATH, self._get, allow_head=False)
        app.on_response_prepare.append(self._add_headers)
        aiohttp_log = log.getChild(self.scheme)
        aiohttp_log.filters = [_NotHttp(metrics, self.scheme)]
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=aiohttp_log,
            handle_signals=False,
            keepalive_timeout=KEEPALIVE_S,
            max_line_size=MAX_REQUEST_LINE_BYTES,
            shutdown_timeout=1.0,
        )

    async def start(self, host: str, port: int) -> None:
        """Listen.

        Raises:
            OSError: the port cannot be bound.
        """
        await self._runner.setup()
        factory = self._runner.server
        assert factory is not None
        timeout_s = self._limits.handshake_timeout_s
        self._server, self.port = await listen(
            lambda: Gate(self.admission, factory()), host, port, self._tls, handshake_timeout_s=timeout_s
        )

    def sweep(self) -> None:
        """Call once a second."""
        self.admission.sweep()

    def stop_accepting(self) -> None:
        """Take no new connections."""
        if self._server is not None:
            self._server.close()

    async def close(self, reason: str) -> None:
        """Close all connections."""
        self.admission.expire_all(reason)
        await self._runner.cleanup()

    # requests

    async def _add_headers(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        response.headers["Server"] = SERVER
        response.headers.update(self._cors.headers(request.headers.get("Origin")))

    async def _preflight(self, request: web.Request) -> web.Response:
        """Say what a page may do; do nothing."""
        self._begin(request)
        headers = {"Allow": "GET, OPTIONS"}
        if "Access-Control-Allow-Origin" in self._cors.headers(request.headers.get("Origin")):
            headers |= {"Access-Control-Allow-Methods": "GET", "Access-Control-Max-Age": str(PREFLIGHT_MAX_AGE_S)}
            asked = request.headers.get("Access-Control-Request-Headers")
            if asked:
                headers["Access-Control-Allow-Headers"] = asked
        return web.Response(status=204, headers=headers)

    def _begin(self, request: web.Request) -> str:
        """The connection has a request; gives the reason to refuse it, empty where there is none."""
        gate = gate_of(request)
        if gate is None:
            return ""
        gate.connection.begun = True
        return gate.refusal

    async def _get(self, request: web.Request) -> web.StreamResponse:
        refusal = self._begin(request)
        if refusal:
            return self._refuse(request, 503, "limit", f"too many connections: {refusal}")
        if not request.path.endswith(".flv"):
            return self._refuse(request, 404, "not found", "nothing here")
        is_socket = request.headers.get("Upgrade", "").lower() == "websocket"
        if is_socket and not self._cors.allows_socket(request.headers.get("Origin"), request.host):
            return self._refuse(request, 403, "origin", "this page may not open a WebSocket here")
        try:
            stream = self._stream_key(request)
            relay = await self._acquire(request, stream)
        except InvalidName as error:
            return self._refuse(request, 400, "name", str(error))
        except StreamNotFound as error:
            return self._refuse(request, 404, "not found", str(error))
        except ServiceError as error:
            return self._refuse(request, 503, "unavailable", str(error), error)
        return await (self._play_socket(request, stream, relay) if is_socket else self._play_flv(request, stream, relay))

    async def _acquire(self, request: web.Request, stream: StreamKey) -> Relay:
        """The relay of the stream; who leaves while he waits for it is waited for no longer.

        Raises:
            StreamNotFound: nobody publishes it.
        """
        gate = gate_of(request)
        if gate is not None:
            gate.waiting = asyncio.current_task()
        try:
            return await self.context.relays.acquire(stream, self.context.wait_publisher_s)
        finally:
            if gate is not None:
                gate.waiting = None

    def _refuse(
        self, request: web.Request, status: int, reason: str, detail: str, error: ServiceError | None = None
    ) -> web.Response:
        self.metrics.refused.labels(f"{self.scheme}-flv", reason).inc()
        log.info("request refused: %s", detail, extra={"peer": request.remote or "?", "status": status})
        headers = {"X-Content-Type-Options": "nosniff"}
        if isinstance(error, Unavailable):
            headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
        response = web.Response(status=status, text=f"{detail}\n", headers=headers)
        response.force_close()
        return response

    def _stream_key(self, request: web.Request) -> StreamKey:
        """The stream that the path names.

        Raises:
            InvalidName: it names none that is allowed.
        """
        raw = request.rel_url.raw_path.strip("/").removesuffix(".flv")
        try:
            parts = [unquote(part, errors="strict") for part in raw.split("/")]
        except UnicodeDecodeError:
            raise InvalidName("stream name is not UTF-8") from None
        if any("/" in part for part in parts):
            raise InvalidName("encoded slash in a stream name")
        return self.context.stream_key("/".join(parts[:-1]), parts[-1])

    async def _play_flv(self, request: web.Request, stream: StreamKey, relay: Relay) -> web.StreamResponse:
        player = HttpPlayer(self.context, f"{self.scheme}-flv", stream, self.loop)
        with relay.given_back_unless_taken() as take:
            transport = take_over(request, player)
            if transport is not None:
                transport.write(self._flv_head(request))
                player.start(transport, take(), "http-flv", lambda: FlvPackager(self.context.body_muxer()))
        return TakenOver()

    def _flv_head(self, request: web.Request) -> bytes:
        headers = {
            "Server": SERVER,
            "Content-Type": FLV_TYPE,
            "Cache-Control": "no-store",
            "Connection": "close",
        } | self._cors.headers(request.headers.get("Origin"))
        lines = ["HTTP/1.1 200 OK", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        return "\r\n".join(lines).encode("latin-1")

    async def _play_socket(self, request: web.Request, stream: StreamKey, relay: Relay) -> web.StreamResponse:
        upgrade = web.WebSocketResponse(compress=False, autoping=False, autoclose=False)
        with relay.given_back_unless_taken() as take:
            if not upgrade.can_prepare(request).ok:
                return self._refuse(request, 400, "upgrade", "not a WebSocket handshake")
            await upgrade.prepare(request)
            player = WebSocketPlayer(self.context, "wss-flv" if self._tls else "ws-flv", stream, self.loop)
            transport = take_over(request, player)
            if transport is not None:
                player.start(transport, take(), "ws-flv", lambda: WebSocketFlvPackager(self.context.body_muxer()))
        return TakenOver()
