"""RTMP and RTMPS on the edge: publish and play. Moves bytes between sockets and dialogues."""

from __future__ import annotations

import asyncio
import socket
import ssl

from lalmesh.runtime.forwarded import Remote
from lalmesh.runtime.listener import ListenerLimits, go_on_reading, peer_of, socket_transport, stop_reading
from lalmesh.unread import unread
from services.edge.direct import direct_socket
from services.edge.metrics import EdgeMetrics
from services.edge.player import EdgeContext
from services.edge.rtmp_dialogue import RtmpDialogue
from services.edge.stream_listener import StreamListener


class RtmpConnection(asyncio.BufferedProtocol):
    """One client's connection: the wire of a dialogue."""

    def __init__(self, listener: RtmpListener, client: Remote | None) -> None:
        """A connection of `listener`; of `client`, or of whoever its socket says."""
        self._listener = listener
        self._client = client
        self._loop = listener.loop
        self._transport: asyncio.Transport | None = None
        self._buffer = listener.buffer()
        self._turns = listener.context.read_turns
        self._waits = False  # to be read
        self._own: socket.socket | None = None  # read from while it waits and goes on, turn by turn

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is here."""
        listener = self._listener
        self._transport = made = socket_transport(transport)
        client = self._client or peer_of(transport)
        self._connection, refusal = listener.admission.admit(client.address, lambda reason: self._dialogue.expire(reason))
        self._dialogue = RtmpDialogue(listener.context, listener.metrics, made, self._connection, listener.protocol, client)
        self._dialogue.refusal = refusal

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next read goes."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """`nbytes` have been read."""
        self._take(nbytes)
        if self._waits:
            stop_reading(self._transport)

    def _take(self, nbytes: int) -> None:
        self._connection.last_read = self._loop.time()
        dialogue = self._dialogue
        dialogue.feed(self._buffer[:nbytes])
        if dialogue.publishes and not self._waits and nbytes < len(self._buffer):  # one that was full has more to come
            self._waits = self._turns.waits(dialogue.slack_s, self._go_on)

    def _go_on(self) -> None:
        self._waits = False
        transport = self._transport
        if transport is None or self._dialogue.is_full:
            return
        if self._own is None:
            self._own = direct_socket(transport)
        if (self._own is None or not self._read(self._own, transport)) and not self._dialogue.is_full:
            go_on_reading(transport)

    def _read(self, sock: socket.socket, transport: asyncio.Transport) -> bool:
        """Read what has come meanwhile, which costs half of what it does through the loop; whether it waits for the next turn.

        Where nothing has come, or the end, the loop is to look.
        """
        try:
            nbytes = 0 if transport.is_closing() else sock.recv_into(self._buffer)
        except OSError:  # nothing is there, or nothing will ever be
            return False
        if nbytes:
            try:
                self._take(nbytes)
            except BaseException:
                transport.abort()  # as the loop does where what it has read cannot be taken
                raise
        return self._waits

    def eof_received(self) -> None:
        """The client is done."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        transport, self._transport = self._transport, None
        self._dialogue.transport = None
        if self._own is not None:
            self._own.close()
            self._own = None
        try:
            for data in unread(transport, exc) if transport is not None else ():
                self._dialogue.feed(data)
        finally:  # whatever becomes of its last words, the connection has gone
            self._listener.admission.leave(self._connection)
            self._dialogue.lost(f"connection lost: {exc}" if exc else "closed by the peer")

    def pause_writing(self) -> None:
        """The transport is full: its players lag, and what the client may ask for has to wait, since it takes no answers."""
        stop_reading(self._transport)
        self._dialogue.full()

    def resume_writing(self) -> None:
        """The transport has drained."""
        if not self._waits:
            go_on_reading(self._transport)
        self._dialogue.drained()


class RtmpListener(StreamListener):
    """The RTMP or (with `tls`) RTMPS port of an edge."""

    def __init__(
        self,
        context: EdgeContext,
        limits: ListenerLimits,
        metrics: EdgeMetrics,
        tls: ssl.SSLContext | None = None,
        *,
        takes_headers: bool = False,
    ) -> None:
        """Prepare; see `StreamListener`."""
        super().__init__("rtmp", limits, metrics, tls, takes_headers=takes_headers)
        self.context = context
        self.metrics = metrics
        self.loop = asyncio.get_running_loop()

    def connection(self, client: Remote | None) -> RtmpConnection:
        """A client has come."""
        return RtmpConnection(self, client)
