"""Taking a connection away from aiohttp once it has routed the request.

A player is one transport and one small protocol behind the gate of its connection: no task, no parser and no request object stay
behind for it, and what is written goes straight to the transport.
"""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from lalmesh.runtime.http_gate import gate_of
from lalmesh.runtime.listener import go_on_reading, socket_transport


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
