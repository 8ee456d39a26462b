"""RTSP and RTSPS on the edge: publish and play. Moves bytes between sockets and dialogues."""

from __future__ import annotations

import asyncio
import ssl

from lalmesh.runtime.forwarded import Remote
from lalmesh.runtime.listener import ListenerLimits, go_on_reading, peer_of, socket_transport, stop_reading
from lalmesh.unread import unread
from services.edge.metrics import EdgeMetrics
from services.edge.player import close_soon
from services.edge.rtsp_dialogue import RtspDialogue
from services.edge.rtsp_service import RtspService
from services.edge.stream_listener import StreamListener


class RtspConnection(asyncio.BufferedProtocol):
    """One client's connection: the wire of a dialogue."""

    is_socket = False

    def __init__(self, listener: RtspListener, client: Remote | None) -> None:
        """A connection of `listener`; of `client`, or of whoever its socket says."""
        self.transport: asyncio.Transport | None = None
        self._listener = listener
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._buffer = listener.buffer()

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is here."""
        listener = self._listener
        self.transport = socket_transport(transport)
        client = self._client or peer_of(transport)
        self._connection, refusal = listener.admission.admit(client.address, lambda reason: self._dialogue.expire(reason))
        self._dialogue = RtspDialogue(listener.service, self, self._connection, listener.protocol, client)
        self._dialogue.refusal = refusal

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next read goes."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """`nbytes` have been read."""
        self._connection.last_read = self._loop.time()
        self._dialogue.feed(self._buffer[:nbytes])

    def eof_received(self) -> None:
        """The client is done."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        transport, self.transport = self.transport, None
        try:
            for data in unread(transport, exc) if transport is not None else ():
                self._dialogue.feed(data)
        finally:  # whatever becomes of its last words, the connection has gone
            self._listener.admission.leave(self._connection)
            self._dialogue.lost(f"connection lost: {exc}" if exc else "closed by the peer")

    def pause_writing(self) -> None:
        """The transport is full: a player lags, and what the client may ask for has to wait, since it takes no answers."""
        stop_reading(self.transport)
        self._dialogue.full()

    def resume_writing(self) -> None:
        """The transport has drained."""
        go_on_reading(self.transport)
        self._dialogue.drained()

    # what the dialogue asks

    def write(self, data: bytes) -> None:
        """Send."""
        if self.transport is not None:
            self.transport.write(data)

    def goodbye(self, reason: str) -> None:
        """RTSP ends with the connection."""
        if self.transport is not None:
            close_soon(self.transport, self._loop)

    def abort(self) -> None:
        """Close now."""
        if self.transport is not None:
            self.transport.abort()


class RtspListener(StreamListener):
    """The RTSP or (with `tls`) RTSPS port of an edge."""

    def __init__(
        self,
        service: RtspService,
        limits: ListenerLimits,
        metrics: EdgeMetrics,
        tls: ssl.SSLContext | None = None,
        *,
        takes_headers: bool = False,
    ) -> None:
        """Prepare; see `StreamListener`."""
        super().__init__("rtsp", limits, metrics, tls, takes_headers=takes_headers)
        self.service = service

    def connection(self, client: Remote | None) -> RtspConnection:
        """A client has come."""
        return RtspConnection(self, client)
