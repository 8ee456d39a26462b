"""The goodbyes of players over WebSocket, without a socket."""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry
from support.edge_context import edge_context
from support.edge_fakes import STREAM, FakeLinks, FakeScheduler, gop, location, run_of
from support.fake_transport import FakeTransport
from support.virtual_time import in_virtual_time
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong

from services.edge.client import Client
from services.edge.http_formats import FORMATS
from services.edge.metrics import EdgeMetrics
from services.edge.player import CLOSE_FLUSH_S, close_soon
from services.edge.player_http import CLIENT_BYTES_S, GOODBYE_S, MAX_CLIENT_BYTES, WebSocketPlayer

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


@in_virtual_time
async def test_only_pings_that_are_answered_excuse_what_a_player_says_beside_them() -> None:
    socket = Socket()
    player = await socket.begin()
    much = socket.client.send(BytesMessage(data=bytes(MAX_CLIENT_BYTES // 2)))
    for _ in range(9):
        player.data_received(much + socket.ping)
    assert bytes(socket.wire.written) == PING * 9
    player.data_received(much * 2)
    assert b"sent over" in socket.wire.written


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
