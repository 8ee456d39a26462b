"""HTTP and HTTPS on the edge: aiohttp routes and upgrades; players of live streams then have their transports alone."""

from __future__ import annotations

import asyncio
import logging
import ssl

from aiohttp import web

import lalmesh
from lalmesh.errors import Unavailable
from services.edge.cors import CorsPolicy
from services.edge.hls_client import HlsClient
from services.edge.hls_proxy import HlsProxy, is_proxied
from services.edge.http_formats import format_of
from services.edge.http_noise import NotHttp
from services.edge.http_play import StreamPlaying
from services.edge.http_refusal import Refusals
from services.edge.listener import Admission, ListenerLimits, listen
from services.edge.metrics import EdgeMetrics
from services.edge.player import EdgeContext
from services.edge.takeover import Gate, gate_of

log = logging.getLogger(__name__)

SERVER = f"lalmesh/{lalmesh.__version__}"
ANY_PATH = "/{path:(?s:.*)}"  #: one with a line break in it too, to be refused like other names
PREFLIGHT_MAX_AGE_S = 86_400
MAX_REQUEST_LINE_BYTES = 8_190
KEEPALIVE_S = 15.0  #: how long a connection without a request stays


class HttpListener:
    """The HTTP or (with `tls`) HTTPS port of an edge."""

    def __init__(
        self,
        context: EdgeContext,
        limits: ListenerLimits,
        metrics: EdgeMetrics,
        cors: CorsPolicy,
        hls: HlsClient,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Prepare; `start` listens."""
        self.scheme = "https" if tls is not None else "http"
        self.port = 0
        self.admission = Admission(self.scheme, limits, metrics)
        self._limits = limits
        self._cors = cors
        self._tls = tls
        self._refusals = Refusals(metrics)
        self._playing = StreamPlaying(context, cors, self._refusals, SERVER, is_secure=tls is not None)
        self._proxy = HlsProxy(hls, self.scheme)
        self._server: asyncio.AbstractServer | None = None
        self._runner = self._make_runner(metrics)

    def _make_runner(self, metrics: EdgeMetrics) -> web.AppRunner:
        app = web.Application()
        app.router.add_route("OPTIONS", ANY_PATH, self._preflight)
        app.router.add_get(ANY_PATH, self._get, allow_head=False)
        app.router.add_head(ANY_PATH, self._head)
        app.on_response_prepare.append(self._add_headers)
        aiohttp_log = log.getChild(self.scheme)
        aiohttp_log.filters = [NotHttp(metrics, self.scheme)]
        return web.AppRunner(
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
            return self._refusals.refuse(request, self.scheme, 503, "limit", f"too many connections: {refusal}")
        if is_proxied(request.path):
            return await self._proxied(request)
        form = format_of(request.path)
        if form is None:
            return self._refusals.refuse(request, self.scheme, 404, "not found", "nothing here")
        return await self._playing.play(request, form)

    async def _head(self, request: web.Request) -> web.StreamResponse:
        """Of a live stream there is nothing but the stream; what hls nodes have has a head too."""
        if not is_proxied(request.path):
            self._begin(request)
            raise web.HTTPMethodNotAllowed("HEAD", ["GET", "OPTIONS"])
        return await self._get(request)

    async def _proxied(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._proxy.serve(request)
        except Unavailable as error:
            return self._refusals.for_error(request, f"{self.scheme}-hls", error)
