"""Taking a connection away from aiohttp once it has routed the request.

A `Gate` stands between each HTTP connection and whoever serves it: first aiohttp, then perhaps a player. A player is one transport
and one small protocol: no task, no parser and no request object stay behind for it, and what is written goes straight to the
transport.
"""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from services.edge.listener import Admission, Connection, go_on_reading, peer_of, socket_transport


class Gate(asyncio.Protocol):
    """Counts a connection and hands its events to the protocol that serves it now."""

    __slots__ = ("_admission", "_inner", "connection", "refusal", "waiting")

    connection: Connection
    refusal: str  #: why the first request is to be refused, empty where it is not

    def __init__(self, admission: Admission, inner: asyncio.Protocol) -> None:
        """Begin with `inner`."""
        self._admission = admission
        self._inner = inner
        self.waiting: asyncio.Task[object] | None = None  # a request that need not be answered once the client has gone

    def serve(self, inner: asyncio.Protocol) -> None:
        """Hand everything to `inner` from now on."""
        self._inner = inner

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is here."""
        made = socket_transport(transport)
        self.connection, self.refusal = self._admission.admit(peer_of(transport)[0], lambda _reason: made.abort())
        self.connection.watch_idle = True
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self.connection.last_read = asyncio.get_running_loop().time()
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """The client is done."""
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._admission.leave(self.connection)
        if self.waiting is not None:
            self.waiting.cancel()
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """The transport is full."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """The transport has drained."""
        self._inner.resume_writing()


def gate_of(request: web.BaseRequest) -> Gate | None:
    """The gate of the request's connection, None where the client has gone."""
    protocol = request.transport.get_protocol() if request.transport is not None else None
    return protocol if isinstance(protocol, Gate) else None


class TakenOver(web.StreamResponse):
    """What a handler returns after it has taken its connection over: nothing is sent, nothing is closed."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send nothing."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Send nothing."""


def take_over(request: web.BaseRequest, protocol: asyncio.Protocol) -> asyncio.Transport | None:
    """Let `protocol` have the connection of `request`; None where the client has gone. The handler then returns `TakenOver`."""
    handler, gate = request.protocol, gate_of(request)
    if gate is None or request.transport is None or request.transport.is_closing():
        return None
    transport = socket_transport(request.transport)
    gate.serve(protocol)
    gate.connection.watch_idle = False  # a player has nothing to say
    go_on_reading(transport)  # aiohttp may have stopped it
    handler.transport = None  # so that letting go does not close it
    handler.connection_lost(None)
    return transport
