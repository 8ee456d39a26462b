"""The goodbyes of players over WebSocket, without a socket."""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry
from support.edge_context import edge_context
from support.edge_fakes import STREAM, FakeLinks, FakeScheduler, gop, location, run_of
from support.fake_transport import FakeTransport
from support.virtual_time import in_virtual_time
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping

from services.edge.client import Client
from services.edge.http_formats import FORMATS
from services.edge.metrics import EdgeMetrics
from services.edge.player_http import GOODBYE_S, MAX_CLIENT_BYTES, WebSocketPlayer

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
async def test_a_goodbye_is_answered_and_what_comes_behind_both_is_not_read() -> None:
    socket = Socket()
    player = await socket.begin()
    player.data_received(socket.ping + socket.client.send(CloseConnection(code=1000)))
    assert bytes(socket.wire.written) == PING + b"\x88\x02\x03\xe8"
    player.data_received(socket.ping)
    assert (bytes(socket.wire.written), socket.wire.closed) == (PING + b"\x88\x02\x03\xe8", "close")
