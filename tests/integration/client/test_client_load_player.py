"""A player of a load, and a publisher, whose server leaves them when it is the least expected."""

from __future__ import annotations

import asyncio
import socket
from fractions import Fraction

import pytest
from support.adobe_server import AdobeServer
from support.http_thread import HttpThread, QuietHandler

from lalmesh.client import ClientOptions, ConnectionFailed
from lalmesh.client.load import made_media
from lalmesh.client.load._crowd import Crowd
from lalmesh.client.load._pacing import Lateness
from lalmesh.client.load._player import StreamPlayer
from lalmesh.client.load._publisher import RtmpLoadPublisher
from lalmesh.client.load._websocket import websocket_accept
from lalmesh.client.load._wire import Dialler, Wire
from lalmesh.container.flv import BodyMuxer
from lalmesh.remux import FlvPackager

OPTIONS = ClientOptions()
MEDIA = made_media(bitrate_bps=100_000, frame_rate=Fraction(5), key_s=1, audio_bps=0)
LIMIT_S = 30.0


class Pair(Dialler):
    """Dials nobody: the other end of the connection is `server`."""

    def __init__(self) -> None:
        super().__init__(OPTIONS)
        self._client, self.server = socket.socketpair()
        self._client.setblocking(False)

    async def dial(self, host: str, port: int, *, tls: bool) -> Wire:
        return Wire(self._client)


def first_unit() -> bytes:
    packager, parts = FlvPackager(BodyMuxer()), list[bytes | memoryview]()
    head = packager.start(MEDIA.tracks, 0)
    packager.package(MEDIA.units[0], MEDIA.tracks, parts)
    return head + b"".join(parts)


def upgrade(asked: str) -> bytes:
    key = next(line.partition(": ")[2] for line in asked.split("\r\n") if line.startswith("Sec-WebSocket-Key"))
    return f"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {websocket_accept(key)}\r\n\r\n".encode()


def handler(stream: bytes) -> type[QuietHandler]:
    """Sends players elsewhere, to who they are; there they are asked for it."""

    class Handler(QuietHandler):
        def do_GET(self) -> None:  # noqa: N802 - its name
            if self.path == "/live/a.flv":
                self.send_response(302)
                self.send_header("Location", f"http://{self.headers['Host']}/x?token=1")
                self.end_headers()
            elif self.path == "/x?token=1" and self.headers["Authorization"]:
                self.answer(200, stream)
            else:
                self.send_response(404)
                self.end_headers()
                self.wfile.write(b"no such stream")

    return Handler


async def played(url: str) -> StreamPlayer:
    crowd = Crowd(OPTIONS, None, udp=False, stall_s=1.0)
    player = StreamPlayer(url, 0, crowd, looks=True)
    try:
        async with asyncio.timeout(LIMIT_S):
            await player.run()
    finally:
        crowd.close()
    return player


async def test_a_player_goes_where_it_is_sent_as_who_it_is_and_knows_what_it_plays() -> None:
    with HttpThread(handler(first_unit())) as server:
        player = await played(server.root.replace("//", "//me:pw@") + "/live/a.flv")
        refused = await played(server.root + "/live/b.flv")
    assert (player.refused, player.lost) == ("", "end of the response")
    assert player.looked is not None
    assert player.looked.units == 1
    assert refused.refused == "refused: HTTP 404 (no such stream)"


async def test_a_publisher_that_is_left_as_it_begins_leaves_no_connection_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[Wire] = []

    def fails(publisher: RtmpLoadPublisher) -> None:
        raise ConnectionFailed("closed by the server")

    def close(wire: Wire) -> None:
        closed.append(wire)
        closes(wire)

    closes = Wire.close
    monkeypatch.setattr(RtmpLoadPublisher, "_send_first", fails)
    monkeypatch.setattr(Wire, "close", close)
    crowd = Crowd(OPTIONS, MEDIA, udp=False, stall_s=1.0)
    async with AdobeServer("cam", "pw") as server:
        publisher = RtmpLoadPublisher(server.url("cam:pw"), crowd, Lateness())
        await publisher.run()
    crowd.close()
    assert publisher.refused == "closed by the server"
    assert publisher.published.is_set()
    assert len(closed) == server.connects


async def test_a_player_that_is_lost_as_it_joins_keeps_nobody_waiting() -> None:
    crowd = Crowd(OPTIONS, None, udp=False, stall_s=1.0)
    crowd.dialler = pair = Pair()
    player = StreamPlayer("ws://h/live/a.flv", 0, crowd, looks=False)
    running = asyncio.ensure_future(player.run())
    await asyncio.sleep(0)
    try:
        async with asyncio.timeout(LIMIT_S):
            asked = (await asyncio.to_thread(pair.server.recv, 4096)).decode()
            body = first_unit()
            frames = b"\x89\x00\x82\x7f" + len(body).to_bytes(8, "big") + body  # a ping, whose answer nobody takes
            pair.server.sendall(upgrade(asked) + frames)
            pair.server.close()
            await player.settled.wait()
            await running
    finally:
        crowd.close()
    assert player.joined_s is not None
    assert (player.refused, player.lost) == ("", "closed by the server")
