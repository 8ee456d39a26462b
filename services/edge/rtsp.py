"""RTSP and RTSPS on the edge: publish and play. Moves bytes between sockets and dialogues."""

from __future__ import annotations

import asyncio
import ssl
import sys

from lalmesh.runtime.listener import (
    Admission,
    ListenerLimits,
    go_on_reading,
    listen,
    peer_of,
    socket_transport,
    stop_reading,
)
from services.edge.metrics import EdgeMetrics
from services.edge.player import close_soon
from services.edge.rtsp_dialogue import RtspDialogue
from services.edge.rtsp_service import RtspService

READ_BUFFER_BYTES = 256 << 10  #: one buffer a loop: each read is used up before the next begins


class RtspConnection(asyncio.BufferedProtocol):
    """One client's connection: the wire of a dialogue."""

    is_socket = False

    def __init__(self, listener: RtspListener) -> None:
        """A connection of `listener`."""
        self.transport: asyncio.Transport | None = None
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._buffer = listener.buffer if listener.share_buffer else memoryview(bytearray(READ_BUFFER_BYTES))

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is here."""
        listener = self._listener
        self.transport = socket_transport(transport)
        client = peer_of(transport)
        self._connection, refusal = listener.admission.admit(client[0], lambda reason: self._dialogue.expire(reason))
        self._dialogue = RtspDialogue(listener.service, self, self._connection, listener.protocol, client)
        self._dialogue.refusal = refusal

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next read goes. A view: asyncio's TLS slices it, and a slice of a bytearray would be a copy."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """`nbytes` have been read."""
        self._connection.last_read = self._loop.time()
        self._dialogue.feed(self._buffer[:nbytes])

    def eof_received(self) -> None:
        """The client is done."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self.transport = None
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


class RtspListener:
    """The RTSP or (with `tls`) RTSPS port of an edge."""

    def __init__(
        self, service: RtspService, limits: ListenerLimits, metrics: EdgeMetrics, tls: ssl.SSLContext | None = None
    ) -> None:
        """Prepare; `start` listens."""
        self.protocol = "rtsps" if tls is not None else "rtsp"
        self.service = service
        self.admission = Admission(self.protocol, limits, metrics)
        self.buffer = memoryview(bytearray(READ_BUFFER_BYTES))
        #: a completion-based loop reads into the buffers of all connections at once, so there each has its own
        self.share_buffer = sys.platform != "win32"
        self.port = 0
        self._limits = limits
        self._tls = tls
        self._server: asyncio.AbstractServer | None = None

    async def start(self, host: str, port: int) -> None:
        """Listen.

        Raises:
            OSError: the port cannot be bound.
        """
        timeout_s = self._limits.handshake_timeout_s
        self._server, self.port = await listen(lambda: RtspConnection(self), host, port, self._tls, handshake_timeout_s=timeout_s)

    def sweep(self) -> None:
        """Call once a second."""
        self.admission.sweep()

    def stop_accepting(self) -> None:
        """Take no new connections."""
        if self._server is not None:
            self._server.close()

    def close(self, reason: str) -> None:
        """Close all connections."""
        self.admission.expire_all(reason)
