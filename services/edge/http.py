"""HTTP and HTTPS on the edge: players of live streams, which then have their transports alone, and what hls nodes serve."""

from __future__ import annotations

import asyncio
import math
import ssl

from aiohttp import web

from lalmesh.errors import Unavailable
from lalmesh.runtime.authorisation import AccessRefused, Redirected
from lalmesh.runtime.cors import CorsPolicy
from lalmesh.runtime.http_port import SERVER, HttpPort, reading_app
from lalmesh.runtime.listener import ListenerLimits
from services.edge.entrance import Closed
from services.edge.hls_client import HlsClient
from services.edge.hls_counting import HlsCounting
from services.edge.hls_guard import HlsGuard
from services.edge.hls_proxy import HlsProxy, is_proxied
from services.edge.http_formats import format_of
from services.edge.http_play import StreamPlaying
from services.edge.http_refusal import Refusals
from services.edge.metrics import EdgeMetrics
from services.edge.player import EdgeContext
from services.edge.rtsp_service import RtspService
from services.edge.rtsp_websocket import RtspSockets, asks_for_rtsp
from services.edge.upstreams import PLAYLIST_SUFFIX


class HttpListener(HttpPort):
    """The HTTP or (with `tls`) HTTPS port of an edge."""

    def __init__(
        self,
        context: EdgeContext,
        limits: ListenerLimits,
        metrics: EdgeMetrics,
        cors: CorsPolicy,
        hls: HlsClient,
        tls: ssl.SSLContext | None = None,
        rtsp: RtspService | None = None,
        counting: HlsCounting | None = None,
        *,
        takes_headers: bool = False,
    ) -> None:
        """Prepare; `start` listens.

        With `rtsp`, WebSockets may carry RTSP; with `counting`, players of HLS are counted; `takes_headers` as `HttpPort`.
        """
        self.scheme = "https" if tls is not None else "http"
        super().__init__(self.scheme, reading_app(self._get, cors), limits, metrics, tls, takes_headers=takes_headers)
        self.hls_asked_at = -math.inf  #: when hls nodes were asked last for somebody here, by the time of the loop
        self._entrance = context.entrance
        self._loop = asyncio.get_running_loop()
        self._refusals = Refusals(metrics)
        self._playing = StreamPlaying(context, cors, self._refusals, SERVER, is_secure=tls is not None)
        self._proxy = HlsProxy(hls, context.access.edge_headers, counting)
        self._guard = HlsGuard(context.access, self.scheme, match_app=context.match_app)
        is_secure = tls is not None
        self._rtsp = RtspSockets(rtsp, cors, self._refusals, is_secure=is_secure) if rtsp is not None else None

    async def _get(self, request: web.Request) -> web.StreamResponse:
        if (closed := self._entrance.closed) is not None and (elsewhere := self._elsewhere(request, closed)):
            return self._refusals.send_elsewhere(request, self.scheme, elsewhere, closed.label)
        if self._rtsp is not None and asks_for_rtsp(request):
            return await self._rtsp.open(request)
        if is_proxied(request.path):
            return await self._proxied(request)
        form = format_of(request.path)
        if form is None:
            return self._refusals.refuse(request, self.scheme, 404, "not found", "nothing here")
        return await self._playing.play(request, form)

    def _elsewhere(self, request: web.Request, closed: Closed) -> str:
        """Where a request that begins or continues playing is to go instead; empty: nowhere, or its client would not follow.

        Players of HLS take none of its capacity, so that it may be full does not keep them out; and where the port is handed over
        they come to others at it by themselves.
        """
        is_playlist = request.path.endswith(PLAYLIST_SUFFIX) and closed is Closed.DRAINING and not self.is_handed_over
        if "Upgrade" in request.headers or not (is_playlist or format_of(request.path)):
            return ""
        return self._entrance.url(self.scheme, request.rel_url.raw_path_qs)

    async def _proxied(self, request: web.Request) -> web.StreamResponse:
        self.hls_asked_at = self._loop.time()
        try:
            passed = await self._guard.admit(request)
            if isinstance(passed, Redirected):
                return self._refusals.with_pass(f"{request.rel_url.raw_path}?{passed.query}")
            return await self._proxy.serve(request, passed)
        except (AccessRefused, Unavailable) as error:
            return self._refusals.for_error(request, f"{self.scheme}-hls", error)
