"""Players over HTTP and WebSocket, once their connection is theirs alone."""

from __future__ import annotations

import asyncio

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import CloseConnection, Ping, Pong
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import RemoteProtocolError

from lalmesh.runtime.listener import go_on_reading, stop_reading
from services.edge.client import Client
from services.edge.joining import Joining
from services.edge.outputs import OutputFormat
from services.edge.player import EdgeContext, Playing, close_soon, playing_on
from services.edge.session import Session
from services.edge.window_count import WindowCount

GOODBYE_S = 1.0  #: for the peer's answer to our Close frame
MAX_CLIENT_BYTES = 64 << 10  #: what a player may send us in a while; it has nothing to say but that it is there
CLIENT_BYTES_S = 60.0  #: that while
FRAME_WEIGHT_BYTES = 64  #: what a frame counts for beside its bytes: an empty one has six, and takes 10 us


class HttpPlayer(asyncio.Protocol):
    """One player of an endless HTTP response."""

    _bound = f"{MAX_CLIENT_BYTES} bytes in {CLIENT_BYTES_S:g} s"

    def __init__(self, context: EdgeContext, joining: Joining, loop: asyncio.AbstractEventLoop) -> None:
        """The player of `joining`; `start` gives it its transport."""
        self._context = context
        self._joining = joining
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._playing: Playing | None = None
        self._session: Session | None = None
        self._closing = ""
        self._received = WindowCount(CLIENT_BYTES_S, loop.time)  # bytes

    @property
    def client(self) -> Client:
        """Who plays."""
        return self._joining.client

    def start(self, transport: asyncio.Transport, form: OutputFormat) -> None:
        """Let media come over `transport`, in `form`."""
        self._transport = transport
        sndbuf_bytes = self._context.player_sndbuf_bytes
        playing = self._playing = playing_on(transport, self._joining.take(), form, self.close, sndbuf_bytes)
        session = self._joining.session
        session.close = self.close
        session.bytes_moved = lambda: playing.sent_bytes
        session.media = playing.media
        self._session = session
        if self._joining.over:
            self.close(self._joining.over)
        else:
            playing.start()

    def data_received(self, data: bytes) -> None:
        """A player of HTTP has nothing to say; what it says is dropped, within a bound."""
        self._may_say(len(data))

    def _may_say(self, size_bytes: int) -> bool:
        """Count what the client says; gives whether that is within the bound, and closes where it is not."""
        if self._received.add(size_bytes) <= MAX_CLIENT_BYTES:
            return True
        self.close(f"sent over {self._bound}")
        return False

    def pause_writing(self) -> None:
        """The transport is full: what the client may say has to wait, since it takes no answers."""
        stop_reading(self._transport)
        if self._playing is not None:
            self._playing.pause()

    def resume_writing(self) -> None:
        """The transport has drained."""
        go_on_reading(self._transport)
        if self._playing is not None:
            self._playing.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._transport = None
        self._end(self._closing or (f"connection lost: {exc}" if exc else "closed by the peer"))

    def close(self, reason: str) -> None:
        """End the player."""
        self._closing = self._closing or reason
        self._end(reason)
        if self._transport is not None:
            self._say_goodbye(self._transport, reason)

    def _say_goodbye(self, transport: asyncio.Transport, reason: str) -> None:
        """HTTP ends with the connection."""
        close_soon(transport, self._loop)

    def _end(self, reason: str) -> None:
        if self._playing is not None and self._session is not None:
            self._playing.end()
            self._context.sessions.closed(self._session, reason)


class WebSocketPlayer(HttpPlayer):
    """One player over WebSocket: pings are answered, a close is answered, and every frame counts by its weight."""

    _bound = f"{HttpPlayer._bound}, a frame counting for {FRAME_WEIGHT_BYTES} more"

    def __init__(self, context: EdgeContext, joining: Joining, loop: asyncio.AbstractEventLoop) -> None:
        """The player of `joining`; `start` gives it its transport."""
        super().__init__(context, joining, loop)
        self._socket = Connection(ConnectionType.SERVER)
        self._said_goodbye = False

    def data_received(self, data: bytes) -> None:
        """Frames of the client."""
        transport = self._transport
        if transport is None or self._socket.state is ConnectionState.CLOSED:
            return
        if not self._may_say(len(data)):
            return
        self._socket.receive_data(data)
        try:
            for event in self._socket.events():
                if not self._may_say(FRAME_WEIGHT_BYTES):
                    return  # what is behind it is taken apart no more
                match event:
                    case Ping(payload=payload) if not self._said_goodbye:  # nothing goes out behind it (RFC 6455 §5.5.1)
                        transport.write(self._socket.send(Pong(payload=payload)))
                    case CloseConnection():
                        self._answer_goodbye(transport, event)
                        return
        except RemoteProtocolError as error:
            self.close(f"protocol error: {error}")

    def _answer_goodbye(self, transport: asyncio.Transport, goodbye: CloseConnection) -> None:
        """The peer ends it, or agrees to our end."""
        if not self._said_goodbye:
            self._said_goodbye = True
            transport.write(self._socket.send(goodbye.response()))
            self.close("closed by the peer")
        close_soon(transport, self._loop)

    def _say_goodbye(self, transport: asyncio.Transport, reason: str) -> None:
        """Say it in a frame, and let the peer answer before the connection ends (RFC 6455 §7.1.1)."""
        if not self._said_goodbye:
            self._said_goodbye = True
            close = CloseConnection(code=CloseReason.GOING_AWAY, reason=reason[:100])
            transport.write(self._socket.send(close))
            go_on_reading(transport)
            self._loop.call_later(GOODBYE_S, close_soon, transport, self._loop)
