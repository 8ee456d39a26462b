"""The frames of a WebSocket that carries RTSP, without a socket."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from support.fake_transport import FakeTransport
from support.rtsp_stage import ADDRESS, Stage
from support.virtual_time import in_virtual_time
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping

from lalmesh.runtime.forwarded import Remote
from lalmesh.runtime.http_gate import Gate
from services.edge.rtsp_websocket import RtspSocket


class Socket:
    """Both ends; the server's answers stay unread."""

    def __init__(self) -> None:
        stage = Stage()
        self.client = Connection(ConnectionType.CLIENT)
        self.wire = FakeTransport()
        self.server = RtspSocket()
        gate = cast(Gate, SimpleNamespace(connection=stage.connection, remote=Remote(ADDRESS, f"{ADDRESS}:5")))
        self.server.start(self.wire, stage.service, gate, "ws-rtsp")


@in_virtual_time
async def test_a_ping_behind_our_goodbye_is_not_answered() -> None:
    socket = Socket()
    ping = socket.client.send(Ping(payload=b"there?"))
    socket.server.data_received(ping)
    assert bytes(socket.wire.written) == b"\x8a\x06there?"
    socket.server.goodbye("over")
    said = bytes(socket.wire.written)
    socket.server.data_received(ping)
    assert bytes(socket.wire.written) == said


@in_virtual_time
async def test_what_comes_behind_both_goodbyes_is_not_read() -> None:
    socket = Socket()
    message = socket.client.send(BytesMessage(data=b"OPTIONS"))
    socket.server.goodbye("over")
    socket.server.data_received(socket.client.send(CloseConnection(code=1000)))
    said = bytes(socket.wire.written)
    socket.server.data_received(message)
    assert bytes(socket.wire.written) == said


@in_virtual_time
async def test_a_goodbye_behind_a_request_in_one_read_is_answered_and_nothing_else_is() -> None:
    socket = Socket()
    request = b"OPTIONS rtsp://host/live/cam RTSP/1.0\r\nCSeq: 1\r\n\r\n"
    socket.server.data_received(socket.client.send(BytesMessage(data=request)) + socket.client.send(CloseConnection(code=1000)))
    assert (bytes(socket.wire.written), socket.wire.closed) == (b"\x88\x02\x03\xe8", "close")
