"""What players over WebSocket say, and their goodbyes, without a socket."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from prometheus_client import CollectorRegistry
from support.edge_context import edge_context
from support.edge_fakes import STREAM, FakeLinks, FakeScheduler, gop, location, run_of
from support.fake_transport import FakeTransport
from support.socket_frames import EMPTY, READ_BYTES, count_frames, empty_frames
from support.virtual_time import in_virtual_time
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong

from services.edge.client import Client
from services.edge.http_formats import FORMATS
from services.edge.joining import Joining
from services.edge.metrics import EdgeMetrics
from services.edge.player import CLOSE_FLUSH_S, EdgeContext, close_soon
from services.edge.player_http import (
    CLIENT_BYTES_S,
    FRAME_WEIGHT_BYTES,
    GOODBYE_S,
    MAX_CLIENT_BYTES,
    HttpPlayer,
    WebSocketPlayer,
)

CLIENT = Client(protocol="ws-flv", address="192.0.2.7", peer="192.0.2.7:9")
PING = b"\x8a\x06there?"  #: the answer to one


class Socket:
    """Both ends of a player's WebSocket; what the server says stays unread."""

    def __init__(self) -> None:
        self.client = Connection(ConnectionType.CLIENT)
        self.wire = FakeTransport()
        self.ping = self.client.send(Ping(payload=b"there?"))

    async def begin(self) -> WebSocketPlayer:
        """A player of a stream, whose first bytes are gone."""
        scheduler, links = FakeScheduler(), FakeLinks()
        context = edge_context(EdgeMetrics(CollectorRegistry()), scheduler, links)
        scheduler.put(location(1))
        joined = asyncio.create_task(context.join(STREAM, CLIENT))
        (await links.opened(1)).serve(run_of(gop(0, 1)))
        player = WebSocketPlayer(context, await joined, asyncio.get_running_loop())
        player.start(self.wire, FORMATS[0].output(context, is_socket=True))
        self.wire.written.clear()
        return player


@in_virtual_time
async def test_a_ping_is_answered_until_we_have_said_goodbye() -> None:
    socket = Socket()
    player = await socket.begin()
    player.data_received(socket.ping)
    assert bytes(socket.wire.written) == PING
    player.close("over")
    said = bytes(socket.wire.written)
    player.data_received(socket.ping * 2)
    assert bytes(socket.wire.written) == said
    await asyncio.sleep(GOODBYE_S * 2)
    assert socket.wire.closed


@pytest.mark.parametrize("read_bytes", [100, 16 << 10, READ_BYTES])
@pytest.mark.parametrize("kind", EMPTY)
@in_virtual_time
async def test_frames_of_nothing_have_an_end_within_a_bounded_number(
    kind: str, read_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket = Socket()
    player = await socket.begin()
    taken = count_frames(monkeypatch)
    for read in empty_frames(kind, read_bytes):
        player.data_received(read)
    assert b"sent over" in socket.wire.written
    assert len(taken) <= 1 + MAX_CLIENT_BYTES // FRAME_WEIGHT_BYTES


@in_virtual_time
async def test_pings_excuse_nothing_that_a_player_says_beside_them() -> None:
    socket = Socket()
    player = await socket.begin()
    much = socket.client.send(BytesMessage(data=bytes(MAX_CLIENT_BYTES // 2)))
    player.data_received(much + socket.ping)
    assert bytes(socket.wire.written) == PING
    player.data_received(much + socket.ping)
    assert b"sent over" in socket.wire.written


@in_virtual_time
async def test_a_ping_each_second_with_all_that_it_may_carry_closes_nobody() -> None:
    socket = Socket()
    player = await socket.begin()
    ping = socket.client.send(Ping(payload=bytes(125)))
    for _ in range(3600):
        await asyncio.sleep(1.0)
        player.data_received(ping)
    assert bytes(socket.wire.written) == (b"\x8a\x7d" + bytes(125)) * 3600


@in_virtual_time
async def test_what_a_player_over_http_says_is_bounded() -> None:
    player = HttpPlayer(cast(EdgeContext, None), cast(Joining, None), asyncio.get_running_loop())
    wire = player._transport = FakeTransport()
    for _ in range(2):
        player.data_received(bytes(MAX_CLIENT_BYTES))
        await asyncio.sleep(CLIENT_BYTES_S)
    assert not wire.closed
    player.data_received(bytes(MAX_CLIENT_BYTES + 1))
    assert wire.closed


@in_virtual_time
async def test_who_says_that_it_is_there_now_and_then_may_do_so_for_ever() -> None:
    socket = Socket()
    player = await socket.begin()
    pong = socket.client.send(Pong(payload=b"there"))
    for _ in range(2 * MAX_CLIENT_BYTES // len(pong)):
        await asyncio.sleep(CLIENT_BYTES_S / 30)
        player.data_received(pong)
    assert not socket.wire.written
    player.data_received(pong * (1 + MAX_CLIENT_BYTES // len(pong)))
    assert b"sent over" in socket.wire.written


@in_virtual_time
async def test_who_ends_it_with_much_unread_is_cut_off() -> None:
    wire = FakeTransport()
    wire.stuck_bytes = 1
    wire.close()
    close_soon(wire, asyncio.get_running_loop())
    await asyncio.sleep(CLOSE_FLUSH_S * 0.9)
    assert wire.closed == "close"
    await asyncio.sleep(CLOSE_FLUSH_S * 0.2)
    assert wire.closed == "abort"


@in_virtual_time
async def test_a_goodbye_is_answered_and_what_comes_behind_both_is_not_read() -> None:
    socket = Socket()
    player = await socket.begin()
    player.data_received(socket.ping + socket.client.send(CloseConnection(code=1000)))
    assert bytes(socket.wire.written) == PING + b"\x88\x02\x03\xe8"
    player.data_received(socket.ping)
    assert (bytes(socket.wire.written), socket.wire.closed) == (PING + b"\x88\x02\x03\xe8", "close")
