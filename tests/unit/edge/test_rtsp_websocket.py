"""The frames of a WebSocket that carries RTSP, without a socket."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
from support.fake_transport import FakeTransport
from support.rtsp_stage import ADDRESS, Stage
from support.socket_frames import EMPTY, READ_BYTES, count_frames, empty_frames
from support.virtual_time import in_virtual_time
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping

from lalmesh.runtime.forwarded import Remote
from lalmesh.runtime.http_gate import Gate
from services.edge.rtsp_dialogue import RtspDialogue
from services.edge.rtsp_websocket import (
    FRAME_WEIGHT_BYTES,
    FRAMES_OF_A_BURST_BYTES,
    FRAMES_OF_A_READ_BYTES,
    RtspSocket,
)

OPUS_BYTES = 4 + 12 + 40  #: interleaved: a short packet of 20 ms


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


class Listener:
    """In place of a dialogue: counts what it hears."""

    def __init__(self) -> None:
        self.heard_bytes = 0
        self.closed = ""

    def feed(self, data: bytes) -> None:
        """Count it."""
        self.heard_bytes += len(data)

    def close(self, reason: str) -> None:
        """Note the first reason."""
        self.closed = self.closed or reason


def listened_to() -> tuple[RtspSocket, Listener]:
    server, listener = RtspSocket(), Listener()
    server.transport, server._dialogue = FakeTransport(), cast(RtspDialogue, listener)
    return server, listener


@pytest.mark.parametrize("read_bytes", [2 * FRAMES_OF_A_READ_BYTES, READ_BYTES])
@pytest.mark.parametrize("kind", EMPTY)
@in_virtual_time
async def test_frames_of_nothing_have_an_end_within_a_bounded_number(
    kind: str, read_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, listener = listened_to()
    taken = count_frames(monkeypatch)
    for read in empty_frames(kind, read_bytes):
        server.data_received(read)
    assert "frames" in listener.closed
    assert len(taken) <= 1.1 * (FRAMES_OF_A_BURST_BYTES + read_bytes) / FRAME_WEIGHT_BYTES


@in_virtual_time
async def test_a_ping_now_and_then_is_answered_for_ever() -> None:
    socket = Socket()
    ping = socket.client.send(Ping(payload=b""))
    for _ in range(5000):
        socket.server.data_received(ping)
    assert bytes(socket.wire.written) == b"\x8a\x00" * 5000


@pytest.mark.parametrize("packets_of_a_read", [1, 10, READ_BYTES // (OPUS_BYTES + 6)])
@in_virtual_time
async def test_short_packets_in_frames_of_their_own_are_taken_for_ever(packets_of_a_read: int) -> None:
    server, listener = listened_to()
    frame = Connection(ConnectionType.CLIENT).send(BytesMessage(data=bytes(OPUS_BYTES)))
    reads = 1 + 20_000 // packets_of_a_read
    for _ in range(reads):
        server.data_received(frame * packets_of_a_read)
    assert (listener.closed, listener.heard_bytes) == ("", reads * packets_of_a_read * OPUS_BYTES)
