"""RTSP over WebSocket, back to back with our own server core behind a WebSocket of another."""

import os
from fractions import Fraction

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection

from lalmesh.client import ConnectionFailed, RefusedNotFound
from lalmesh.client.load._media import made_media
from lalmesh.client.load._rtsp_talk import RtspSocketTalk, is_rtsp_socket, rtsp_player, rtsp_publisher
from lalmesh.client.load._tape import SocketTape
from lalmesh.client.load._websocket import websocket_accept
from lalmesh.errors import RemoteProtocolError
from lalmesh.media import AccessUnit
from lalmesh.protocol.rtsp import (
    AnnounceRequested,
    DescribeRequested,
    PacketReceived,
    PlayRequested,
    RecordRequested,
    RtspServer,
    ServerEvent,
    SetupRequested,
    TornDown,
)

MEDIA = made_media(bitrate_bps=200_000, frame_rate=Fraction(25), key_s=1.0, audio_bps=32_000)
URL = "ws://me:p%40w@h:5566/live/a?t=1"


class Server:
    """Answers one upgrade, and lets whoever asks inside publish or play the media."""

    def __init__(self) -> None:
        self.asked: dict[str, str] = {}
        self.uris: list[str] = []
        self.socket = Connection(ConnectionType.SERVER)
        self.rtsp = RtspServer(os.urandom)
        self.tape = SocketTape(MEDIA, os.urandom, wall_us=0)

    def upgrade(self, request: bytes, *fields: str) -> bytes:
        head, *lines = request.decode().splitlines()
        self.asked = {"request": head} | dict(line.split(": ", 1) for line in lines if line)
        accept = websocket_accept(self.asked["Sec-WebSocket-Key"])
        return "\r\n".join(("HTTP/1.1 101 Switching Protocols", f"Sec-WebSocket-Accept: {accept}", *fields, "", "")).encode()

    def feed(self, data: bytes) -> tuple[list[ServerEvent], bytes]:
        """What is heard in messages, and the answer in one."""
        heard = []
        for event in self.rtsp.feed(carried(self.socket, data), 0.0):
            heard.append(event)
            match event:
                case AnnounceRequested(request=request):
                    self.uris.append(request.uri)
                    self.rtsp.accept_announce(self.tape.controls)
                case DescribeRequested():
                    self.rtsp.accept_describe(self.tape.description, self.tape.controls)
                case SetupRequested(transports=transports):
                    self.rtsp.accept_setup(transports[0])
                case PlayRequested():
                    self.rtsp.accept_play()
                case RecordRequested():
                    self.rtsp.accept_record()
        answer = self.rtsp.data_to_send()
        return heard, self.socket.send(BytesMessage(data=answer)) if answer else b""


def carried(socket: Connection, data: bytes) -> bytes:
    """What is in the messages."""
    socket.receive_data(data)
    return b"".join(bytes(event.data) for event in socket.events() if isinstance(event, BytesMessage))


def pump(talk: RtspSocketTalk, server: Server) -> list[ServerEvent]:
    """Carry bytes to and fro until neither has anything to say; what the server has heard."""
    heard: list[ServerEvent] = []
    while data := talk.data_to_send():
        events, answer = server.feed(data)
        heard += events
        for at in range(0, len(answer), 7):
            talk.feed(answer[at : at + 7], 0.0)
    return heard


def publisher(server: Server) -> RtspSocketTalk:
    talk = rtsp_publisher(URL, server.tape.description, server.tape.controls, None)
    assert isinstance(talk, RtspSocketTalk)
    return talk


def test_a_publisher_upgrades_and_sends_the_tape_in_messages() -> None:
    server = Server()
    talk = publisher(server)
    talk.feed(server.upgrade(talk.data_to_send(), "Sec-WebSocket-Protocol: rtsp"), 0.0)
    assert (server.asked["request"], server.asked["Host"]) == ("GET /live/a?t=1 HTTP/1.1", "h:5566")
    assert (server.asked["Sec-WebSocket-Protocol"], "Authorization" in server.asked) == ("rtsp", False)
    pump(talk, server)
    assert talk.has_begun
    assert server.uris == ["rtsp://h:5566/live/a?t=1"]
    heard = [event for number in range(20) for event in server.feed(server.tape.at(number))[0]]
    assert sum(isinstance(event, PacketReceived) for event in heard) > 20
    heard, _ = server.feed(talk.goodbye())
    assert isinstance(heard[-1], TornDown)


def test_a_player_has_units_however_messages_are_cut() -> None:
    server = Server()
    talk = rtsp_player(URL, None)
    assert isinstance(talk, RtspSocketTalk)
    talk.feed(server.upgrade(talk.data_to_send()), 0.0)  # a server that names no subprotocol
    pump(talk, server)
    assert not talk.has_begun
    inner = b"".join(carried(server.socket, server.tape.at(number)) for number in range(40))
    wire = b"".join(server.socket.send(BytesMessage(data=inner[at : at + 1000])) for at in range(0, len(inner), 1000))
    units = [unit for at in range(0, len(wire), 777) for unit in talk.feed(wire[at : at + 777], 0.1)]
    assert talk.has_begun
    assert sum(isinstance(unit, AccessUnit) for unit in units) > 20
    talk.feed(server.socket.send(CloseConnection(code=1001, reason="draining")), 0.2)
    assert talk.ended == "closed by the server: 1001 draining"


def test_an_upgrade_leads_elsewhere() -> None:
    talk = publisher(Server())
    talk.feed(b"HTTP/1.1 302 Found\r\nLocation: //h:5567/live/b\r\nContent-Length: 0\r\n\r\n", 0.0)
    assert talk.redirect == "ws://h:5567/live/b"
    assert is_rtsp_socket(talk.redirect)


def test_an_upgrade_is_refused_in_the_words_of_the_server() -> None:
    talk = publisher(Server())
    with pytest.raises(RefusedNotFound, match="only media here"):
        talk.feed(b"HTTP/1.1 404 Not Found\r\nContent-Length: 16\r\n\r\nonly media here\n", 0.0)


def test_another_subprotocol_is_not_spoken() -> None:
    server = Server()
    talk = publisher(server)
    with pytest.raises(RemoteProtocolError, match="subprotocol 'chat', asked for 'rtsp'"):
        talk.feed(server.upgrade(talk.data_to_send(), "Sec-WebSocket-Protocol: chat"), 0.0)


def test_a_server_that_closes_before_it_has_let_us_in_is_a_failure() -> None:
    server = Server()
    talk = publisher(server)
    talk.feed(server.upgrade(talk.data_to_send()), 0.0)
    with pytest.raises(ConnectionFailed, match="closed by the server: 1008 no"):
        talk.feed(server.socket.send(CloseConnection(code=1008, reason="no")), 0.0)


@pytest.mark.parametrize(
    ("url", "carries_rtsp"),
    [
        ("ws://h/live/a", True),
        ("wss://h/live/a.1?x=.flv", True),
        ("ws://h/live/a.flv", False),
        ("ws://h/live/a.m3u8", False),
        ("http://h/live/a", False),
    ],
)
def test_what_a_websocket_carries_is_told_by_the_ending(url: str, carries_rtsp: bool) -> None:
    assert is_rtsp_socket(url) is carries_rtsp
