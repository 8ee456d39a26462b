"""RTSP over WebSocket: an upgrade by HTTP, then the bytes of an RTSP connection in binary messages, in both directions.

Where a message begins or ends says nothing to either side: a message of RTSP may be spread over several, or several be in one.
"""

from __future__ import annotations

import asyncio

from aiohttp import web
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import RemoteProtocolError

from lalmesh.allowance import Allowance
from lalmesh.errors import LimitExceeded
from lalmesh.runtime.cors import CorsPolicy
from lalmesh.runtime.http_gate import Gate, gate_of
from lalmesh.runtime.http_port import HttpPort, reading_app
from lalmesh.runtime.listener import ListenerLimits, go_on_reading, stop_reading
from lalmesh.unread import unread
from services.edge.http_refusal import Refusals
from services.edge.metrics import EdgeMetrics
from services.edge.player import close_soon
from services.edge.rtsp_dialogue import RtspDialogue
from services.edge.rtsp_service import RtspService
from services.edge.takeover import TakenOver, take_over

SUBPROTOCOL = "rtsp"
GOODBYE_S = 1.0  #: for the peer's answer to our Close frame
FRAME_WEIGHT_BYTES = 64  #: what a frame costs, told in bytes of a long one; a packet of Opus in one of its own has about as many
FRAMES_OF_A_READ_BYTES = 16 * FRAME_WEIGHT_BYTES  #: requests, reports and pings come a few at a time
FRAMES_OF_A_BURST_BYTES = 128 << 10  #: a minute of packets of silence, after as long a gap


def asks_for_rtsp(request: web.Request) -> bool:
    """Whether a request wants a WebSocket that carries RTSP."""
    if not is_upgrade(request):
        return False
    offered = (name.strip() for header in request.headers.getall("Sec-WebSocket-Protocol", ()) for name in header.split(","))
    return SUBPROTOCOL in offered


def is_upgrade(request: web.Request) -> bool:
    """Whether a request wants a WebSocket."""
    return request.method == "GET" and request.headers.get("Upgrade", "").lower() == "websocket"


class RtspSockets:
    """Lets the requests of one HTTP listener become RTSP connections."""

    def __init__(self, service: RtspService, cors: CorsPolicy, refusals: Refusals, *, is_secure: bool) -> None:
        """For a listener under TLS where it `is_secure`."""
        self.protocol = "wss-rtsp" if is_secure else "ws-rtsp"
        self._service = service
        self._cors = cors
        self._refusals = refusals

    async def open(self, request: web.Request) -> web.StreamResponse:
        """Upgrade; whatever its path, as the RTSP inside names the stream."""
        if not self._cors.allows_socket(request.headers.get("Origin"), request.host):
            return self._refusals.refuse(request, self.protocol, 403, "origin", "this page may not open a WebSocket here")
        upgrade = web.WebSocketResponse(protocols=(SUBPROTOCOL,), compress=False, autoping=False, autoclose=False)
        gate = gate_of(request)
        if gate is None or not upgrade.can_prepare(request).ok:
            return self._refusals.refuse(request, self.protocol, 400, "upgrade", "not a WebSocket handshake")
        await upgrade.prepare(request)
        wire = RtspSocket()
        transport = take_over(request, wire)
        if transport is not None:
            wire.start(transport, self._service, gate, self.protocol)
        return TakenOver()


class RtspSocket(asyncio.Protocol):
    """One client's WebSocket: the wire of a dialogue."""

    is_socket = True

    def __init__(self) -> None:
        """Wait for `start`."""
        self.transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._socket = Connection(ConnectionType.SERVER)
        self._dialogue: RtspDialogue | None = None
        self._said_goodbye = False
        self._is_heard = True
        self._frames = Allowance("frames", of_a_read_bytes=FRAMES_OF_A_READ_BYTES, burst_bytes=FRAMES_OF_A_BURST_BYTES)

    def start(self, transport: asyncio.Transport, service: RtspService, gate: Gate, protocol: str) -> None:
        """Talk over `transport`, which `gate` counts."""
        self.transport = transport
        dialogue = self._dialogue = RtspDialogue(service, self, gate.connection, protocol, gate.remote)
        gate.connection.watch_idle, gate.connection.expire = True, dialogue.expire

    # asyncio

    def data_received(self, data: bytes) -> None:
        """Frames of the client."""
        dialogue = self._dialogue
        if self.transport is None or dialogue is None or not self._is_heard or self._socket.state is ConnectionState.CLOSED:
            return
        self._frames.read(len(data))
        self._socket.receive_data(data)
        received = bytearray()  # by all frames of one read: one run comes of them
        try:
            for event in self._socket.events():
                self._frames.take(FRAME_WEIGHT_BYTES)
                match event:
                    case BytesMessage(data=part):
                        received += part
                    case TextMessage(data=text):  # Interop: some players send their requests as text
                        received += text.encode()
                    case Ping(payload=payload) if not self._said_goodbye:  # nothing goes out behind it (RFC 6455 §5.5.1)
                        self.transport.write(self._socket.send(Pong(payload=payload)))
                    case CloseConnection():
                        dialogue.feed(bytes(received))
                        self._answer_goodbye(dialogue, event)
                        return
        except (RemoteProtocolError, LimitExceeded) as error:
            self._is_heard = not isinstance(error, LimitExceeded)  # in a flood nobody looks for the peer's goodbye
            dialogue.close(f"protocol error: {error}")
            return
        dialogue.feed(bytes(received))

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        try:
            if self.transport is not None:
                for data in unread(self.transport, exc):
                    self.data_received(bytes(data))
        finally:
            self.transport = None
            if self._dialogue is not None:
                self._dialogue.lost(f"connection lost: {exc}" if exc else "closed by the peer")

    def pause_writing(self) -> None:
        """The transport is full."""
        stop_reading(self.transport)
        if self._dialogue is not None:
            self._dialogue.full()

    def resume_writing(self) -> None:
        """The transport has drained."""
        go_on_reading(self.transport)
        if self._dialogue is not None:
            self._dialogue.drained()

    # what the dialogue asks

    def write(self, data: bytes) -> None:
        """Send as one binary message, unless either side has said goodbye: the peer then hears nothing more but ours."""
        if self.transport is not None and self._socket.state is ConnectionState.OPEN:
            self.transport.write(self._socket.send(BytesMessage(data=data)))

    def goodbye(self, reason: str) -> None:
        """Say it in a frame, and let the peer answer before the connection ends (RFC 6455 §7.1.1)."""
        transport = self.transport
        if transport is not None and not self._said_goodbye:
            self._said_goodbye = True
            transport.write(self._socket.send(CloseConnection(code=CloseReason.GOING_AWAY, reason=reason[:100])))
            go_on_reading(transport)
            self._loop.call_later(GOODBYE_S, close_soon, transport, self._loop)

    def abort(self) -> None:
        """Close now."""
        if self.transport is not None:
            self.transport.abort()

    def _answer_goodbye(self, dialogue: RtspDialogue, goodbye: CloseConnection) -> None:
        """The peer ends it, or agrees to our end."""
        transport = self.transport
        if transport is None:
            return
        if not self._said_goodbye:
            self._said_goodbye = True
            transport.write(self._socket.send(goodbye.response()))
            dialogue.close("closed by the peer")
        close_soon(transport, self._loop)


class RtspSocketListener(HttpPort):
    """The port of an edge that does nothing but RTSP over WebSocket."""

    def __init__(
        self,
        service: RtspService,
        limits: ListenerLimits,
        metrics: EdgeMetrics,
        cors: CorsPolicy,
        *,
        takes_headers: bool = False,
    ) -> None:
        """Prepare; `start` listens. With `takes_headers`, balancers begin with a PROXY header."""
        super().__init__("ws_rtsp", reading_app(self._get, cors), limits, metrics, takes_headers=takes_headers)
        self._refusals = Refusals(metrics)
        self._sockets = RtspSockets(service, cors, self._refusals, is_secure=False)

    async def _get(self, request: web.Request) -> web.StreamResponse:
        if is_upgrade(request):
            return await self._sockets.open(request)
        return self._refusals.refuse(request, self._sockets.protocol, 404, "not found", "only WebSockets that carry RTSP here")
