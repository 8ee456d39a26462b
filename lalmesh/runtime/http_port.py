"""One HTTP or HTTPS port of a node: limits and deadlines around an application; and the application of those that only give."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

import lalmesh
from lalmesh.errors import RemoteProtocolError
from lalmesh.runtime.acceptor import Acceptor
from lalmesh.runtime.cors import METHODS, CorsPolicy
from lalmesh.runtime.forwarded import Remote
from lalmesh.runtime.http_gate import Gate, gate_of
from lalmesh.runtime.listener import BLACKLISTED, Admission, ListenerLimits, ListenerMetrics

log = logging.getLogger(__name__)

SERVER = f"lalmesh/{lalmesh.__version__}"
ALLOWED = (*METHODS.split(", "), "OPTIONS")
MAX_REQUEST_LINE_BYTES = 8_190
KEEPALIVE_S = 30.0  #: how long a connection without a request stays: between two requests of a player, a few segments
STOP_S = 1.0  #: for answers under way when the port closes
RETRY_AFTER_S = 1  #: what those over a limit are told

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def reading_app(answer: Answer, cors: CorsPolicy) -> web.Application:
    """An application that hands every GET and HEAD to `answer`, whose answers the pages may read that `cors` names."""

    async def route(request: web.Request) -> web.StreamResponse:
        match request.method:
            case "GET" | "HEAD":
                return await answer(request)
            case "OPTIONS":
                said = cors.preflight(request.headers.get("Origin"), request.headers.get("Access-Control-Request-Headers"))
                return web.Response(status=204, headers={"Allow": ", ".join(ALLOWED)} | said)
            case _:
                raise web.HTTPMethodNotAllowed(request.method, ALLOWED)

    async def add_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
        for name, value in cors.headers(request.headers.get("Origin")).items():
            known = response.headers.get(name)
            response.headers[name] = f"{known}, {value}" if known else value  # Vary may have been there

    app = web.Application()
    app.router.register_resource(_AnyPath(route))
    app.on_response_prepare.append(add_headers)
    return app


class _AnyPath(web.PlainResource):
    """Takes every request, whatever its path, without matching it against a pattern: it does so for every playlist."""

    def __init__(self, answer: Answer) -> None:
        super().__init__("/")  # where looking for a resource ends
        self._route = self.add_route("*", answer)

    async def resolve(self, request: web.Request) -> tuple[web.UrlMappingMatchInfo, set[str]]:
        return web.UrlMappingMatchInfo({}, self._route), set()


class HttpPort:
    """Takes connections for an application. `start` listens, `sweep` has to be called once a second."""

    def __init__(
        self,
        name: str,
        app: web.Application,
        limits: ListenerLimits,
        metrics: ListenerMetrics,
        tls: ssl.SSLContext | None = None,
        *,
        takes_headers: bool = False,
    ) -> None:
        """Prepare.

        Args:
            name: what metrics and logs call it: ``http``, ``https``.
            app: answers; it is of this port alone.
            limits: what is granted to clients.
            metrics: where those are counted that are refused.
            tls: how to encrypt.
            takes_headers: whether balancers begin with a PROXY header.
        """
        self.port = 0
        self.is_handed_over = False  #: to others that listen at it
        self.admission = Admission(name, limits, metrics, is_secure=tls is not None)
        self._acceptor = Acceptor(self.admission, self._gate, tls, takes_headers=takes_headers)
        app.middlewares.insert(0, _let_in)
        app.on_response_prepare.append(self._add_headers)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=_quiet_log(name, metrics),
            handle_signals=False,
            keepalive_timeout=KEEPALIVE_S,
            max_line_size=MAX_REQUEST_LINE_BYTES,
            shutdown_timeout=STOP_S,
        )

    async def start(self, host: str, port: int, *, is_shared: bool = False) -> None:
        """Listen on `host` and `port` (0: a free one), which other processes may share; see `Acceptor.start`.

        Raises:
            OSError: the port cannot be bound.
        """
        await self._runner.setup()
        self.port = await self._acceptor.start(host, port, is_shared=is_shared)

    def _gate(self, client: Remote | None) -> Gate:
        serve = self._runner.server
        assert serve is not None
        return Gate(self.admission, serve(), client)

    def sweep(self) -> None:
        """Close connections that never begin or fall silent."""
        self.admission.sweep()

    def hand_over(self) -> None:
        """Take no new connections, and close each that there is with its next answer: others listen at the port too."""
        self.is_handed_over = True
        self._acceptor.hand_over()

    def stop_accepting(self) -> None:
        """Take no new connections."""
        self._acceptor.close()

    async def close(self, reason: str) -> None:
        """Take no new connections, let answers under way have `STOP_S`, close what is left with `reason`."""
        self.stop_accepting()
        await self._runner.cleanup()
        self.admission.expire_all(reason)

    async def _add_headers(self, _: web.BaseRequest, response: web.StreamResponse) -> None:
        response.headers["Server"] = SERVER
        response.headers["X-Content-Type-Options"] = "nosniff"
        if self.is_handed_over:
            response.force_close()
            response.headers.setdefault("Connection", "close")


@web.middleware
async def _let_in(request: web.Request, handler: Answer) -> web.StreamResponse:
    """Note that the connection has come to a request; one over a limit is told so."""
    gate = gate_of(request)
    if gate is None:
        return await handler(request)
    gate.connection.begun = True
    if gate.is_of_proxy:
        return await _let_in_by_proxy(gate, request, handler)
    if gate.blocks(gate.peer.address):
        return _blocked()
    return _too_many(gate.refusal) if gate.refusal else await handler(request)


async def _let_in_by_proxy(gate: Gate, request: web.Request, handler: Answer) -> web.StreamResponse:
    """What holds for the client of a proxy holds while its request is answered, or to the end where that takes the connection."""
    try:
        remote = gate.remote = gate.admission.limits.proxies.client_of(gate.peer, request.headers)
    except RemoteProtocolError as error:
        return _broken(str(error))
    if gate.blocks(remote.address):
        return _blocked()
    is_known = not gate.admission.limits.proxies.trusts(remote.address)  # otherwise it is the proxy that asks
    if refusal := gate.refusal or (gate.admission.speaks_for(gate.connection, remote.address) if is_known else ""):
        return _too_many(refusal)
    try:
        return await handler(request)
    finally:
        if not gate.is_taken:
            gate.admission.falls_silent(gate.connection, gate.peer.address)


def _blocked() -> web.Response:
    response = web.Response(status=403, text=f"{BLACKLISTED}\n", headers={"Cache-Control": "no-store"})
    response.force_close()
    return response


def _broken(reason: str) -> web.Response:
    response = web.Response(status=400, text=f"{reason}\n", headers={"Cache-Control": "no-store"})
    response.force_close()
    return response


def _too_many(reason: str) -> web.Response:
    headers = {"Retry-After": str(RETRY_AFTER_S), "Cache-Control": "no-store"}
    response = web.Response(status=503, text=f"too many connections: {reason}\n", headers=headers)
    response.force_close()
    return response


def _quiet_log(name: str, metrics: ListenerMetrics) -> logging.Logger:
    """A log for aiohttp, which gives a traceback for every client that does not speak HTTP."""
    made = log.getChild(f"{metrics.role}-{name}")  # roles may share a process
    made.filters = [_NotHttp(metrics, name)]
    return made


class _NotHttp(logging.Filter):
    """Makes bytes that are no HTTP a count, and a line without a traceback."""

    def __init__(self, metrics: ListenerMetrics, name: str) -> None:
        super().__init__()
        self._errors = metrics.protocol_errors.labels(name)

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through, those of bytes that are no HTTP in few words."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            self._errors.inc()
            record.levelno, record.levelname = logging.WARNING, "WARNING"
            record.msg, record.args, record.exc_info = "peer broke the protocol: %s", (type(error).__name__,), None
        return True
