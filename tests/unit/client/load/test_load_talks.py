"""What players and publishers say, back to back with our own server cores."""

import os
from fractions import Fraction

import pytest

from lalmesh.client import InvalidUrl, RefusedNotFound
from lalmesh.client.load._http_reading import HttpUrl
from lalmesh.client.load._logins import with_login
from lalmesh.client.load._media import made_media
from lalmesh.client.load._talks import ACKNOWLEDGE_BYTES, SIGN_OF_LIFE_S, HttpTalk, RtmpTalk, Talk
from lalmesh.client.load._tape import RtmpTape
from lalmesh.client.load._websocket import SIGN_OF_LIFE, websocket_accept
from lalmesh.container.flv import BodyMuxer
from lalmesh.errors import RemoteProtocolError
from lalmesh.media import AccessUnit
from lalmesh.protocol.rtmp import (
    DEFAULT_OUT_CHUNK_SIZE,
    Connected,
    MediaMessage,
    PlayRequested,
    PublishRequested,
    RtmpServer,
    ServerEvent,
)
from lalmesh.remux import FlvPackager, RtmpPackager

MEDIA = made_media(bitrate_bps=200_000, frame_rate=Fraction(25), key_s=1.0, audio_bps=32_000)
TAPE = RtmpTape(MEDIA, chunk_size=DEFAULT_OUT_CHUNK_SIZE, stream_id=1)
OK = b"HTTP/1.1 200 OK\r\n\r\n"


def flv(units: int) -> bytes:
    """The beginning of the media as a FLV stream."""
    packager, parts = FlvPackager(BodyMuxer()), list[bytes | memoryview]()
    head = packager.start(MEDIA.tracks, 0)
    for unit in MEDIA.units[:units]:
        packager.package(unit, MEDIA.tracks, parts)
    return head + b"".join(parts)


def pump(talk: Talk, server: RtmpServer, *, lets_in: bool = True) -> list[ServerEvent]:
    """Carry bytes to and fro until neither has anything to say; what the server has heard."""
    heard: list[ServerEvent] = []
    while data := talk.data_to_send():
        for event in server.feed(data):
            heard.append(event)
            match event:
                case Connected():
                    server.accept_connect()
                case PublishRequested(stream_id=stream_id) if lets_in:
                    server.accept_publish(stream_id)
                case PlayRequested(stream_id=stream_id) if lets_in:
                    server.accept_play(stream_id)
        talk.feed(server.data_to_send(), 0.0)
    return heard


def test_a_player_over_http_begins_with_its_first_unit() -> None:
    talk = HttpTalk(HttpUrl.parse("http://me:pw@h:8080/live/a.flv?x=1"))
    asked = talk.data_to_send().decode()
    assert asked.startswith("GET /live/a.flv?x=1 HTTP/1.1\r\nHost: h:8080\r\n")
    assert "Authorization: Basic bWU6cHc=\r\n" in asked
    assert "Connection: close\r\n" in asked  # who throws away what comes could not tell the end of an answer from a stall
    wire = OK + flv(3)
    first = wire[:200]
    talk.feed(first, 0.0)
    assert not talk.has_begun
    events = talk.feed(wire[200:], 0.0)
    assert talk.has_begun
    assert sum(isinstance(event, AccessUnit) for event in events) == 3
    assert talk.sign_of_life(10**9, 10**6) == b""


def test_a_player_is_sent_elsewhere_and_refused_in_the_words_of_the_server() -> None:
    talk = HttpTalk(HttpUrl.parse("http://h/live/a.flv"))
    talk.feed(b"HTTP/1.1 302 Found\r\nLocation: //other:8080/live/a.flv\r\nContent-Length: 0\r\n\r\n", 0.0)
    assert talk.redirect == "http://other:8080/live/a.flv"
    talk = HttpTalk(HttpUrl.parse("http://h/live/a.flv"))
    talk.feed(b"HTTP/1.1 404 Not Found\r\nContent-Length: 12\r\n\r\nnobody ", 0.0)
    with pytest.raises(RefusedNotFound, match="nobody here"):
        talk.feed(b"here\n", 0.0)


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("http://h:8080/other?t=1", "http://me:p%40w@h:8080/other?t=1"),
        ("/live/b.flv?next=http://x/", "http://me:p%40w@h:8080/live/b.flv?next=http://x/"),
        ("//h:8081/live/a.flv", "http://h:8081/live/a.flv"),
        ("http://you@other/live/a.flv", "http://you:@other/live/a.flv"),
    ],
)
def test_a_login_goes_along_to_the_same_server_only(location: str, leads_to: str) -> None:
    talk = HttpTalk(HttpUrl.parse("http://me:p%40w@h:8080/live/a.flv"))
    talk.feed(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode(), 0.0)
    assert talk.redirect == leads_to


def test_a_refusal_that_ends_by_closing_has_its_status() -> None:
    talk = HttpTalk(HttpUrl.parse("http://h/live/a.flv"))
    talk.feed(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\nno such stream", 0.0)
    with pytest.raises(RefusedNotFound, match="no such stream"):
        talk.no_more()
    talk = HttpTalk(HttpUrl.parse("http://h/live/a.flv"))
    talk.no_more()  # the connection says what that is
    talk.feed(OK, 0.0)
    talk.no_more()


def test_an_answer_that_ends_is_the_end() -> None:
    talk = HttpTalk(HttpUrl.parse("http://h/live/a.flv"))
    body = flv(2)
    talk.feed(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body, 0.0)
    assert (talk.has_begun, talk.ended) == (True, "end of the response")


def test_a_player_over_a_websocket_upgrades_and_gives_signs_of_life() -> None:
    talk = HttpTalk(HttpUrl.parse("ws://h/live/a.flv"))
    asked = dict(line.split(": ", 1) for line in talk.data_to_send().decode().splitlines()[1:-1])
    accept = websocket_accept(asked["Sec-WebSocket-Key"])
    head = f"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode()
    body = flv(2)
    talk.feed(head + b"\x82\x7f" + len(body).to_bytes(8, "big") + body + b"\x89\x00", 0.0)
    assert talk.has_begun
    assert talk.data_to_send() == b"\x8a\x80\0\0\0\0"
    assert talk.sign_of_life(0, 100.0) == SIGN_OF_LIFE
    assert talk.sign_of_life(0, 101.0) == b""
    assert talk.sign_of_life(0, 100.0 + SIGN_OF_LIFE_S) == SIGN_OF_LIFE


@pytest.mark.parametrize("head", [OK, b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: other\r\n\r\n"])
def test_what_is_no_upgrade_is_refused(head: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        HttpTalk(HttpUrl.parse("ws://h/live/a.flv")).feed(head, 0.0)


def test_what_is_played_is_told_by_its_ending() -> None:
    with pytest.raises(InvalidUrl, match=r"\.flv, \.ts, \.mp4"):
        HttpTalk(HttpUrl.parse("http://h/live/a.avi"))


def test_a_publisher_by_rtmp_sends_the_tape() -> None:
    talk, server = RtmpTalk("rtmp://h/live/a", "publish"), RtmpServer(os.urandom)
    pump(talk, server)
    assert (talk.has_begun, talk.stream_id) == (True, 1)
    talk.send_first(TAPE.head())
    heard = pump(talk, server)
    heard += server.feed(b"".join(TAPE.at(number) for number in range(10)))
    assert [event.type_id for event in heard if isinstance(event, MediaMessage)][:4] == [18, 9, 8, 9]
    assert len(heard) == 3 + 10


def test_a_player_by_rtmp_begins_with_its_first_unit_and_acknowledges() -> None:
    talk, server = RtmpTalk("rtmp://h/live/a", "play"), RtmpServer(os.urandom)
    pump(talk, server)
    packager, parts = RtmpPackager(BodyMuxer(), chunk_size=DEFAULT_OUT_CHUNK_SIZE), list[bytes | memoryview]()
    talk.feed(packager.start(MEDIA.tracks, 0), 0.0)
    assert not talk.has_begun
    packager.package(MEDIA.units[0], MEDIA.tracks, parts)
    talk.feed(b"".join(parts), 0.0)
    assert talk.has_begun
    assert talk.sign_of_life(ACKNOWLEDGE_BYTES - 1, 1.0) == b""
    said = talk.sign_of_life(ACKNOWLEDGE_BYTES, 1.0)
    assert said == b"\x02\0\0\0\0\0\x04\x03\0\0\0\0" + ACKNOWLEDGE_BYTES.to_bytes(4, "big")
    assert talk.sign_of_life(ACKNOWLEDGE_BYTES, 1.0 + SIGN_OF_LIFE_S) == said
    assert list(server.feed(said)) == []


def test_a_player_by_rtmp_is_refused_in_the_words_of_the_server() -> None:
    talk, server = RtmpTalk("rtmp://h/live/a", "play"), RtmpServer(os.urandom)
    pump(talk, server, lets_in=False)
    server.reject_play(1)
    with pytest.raises(RefusedNotFound):
        talk.feed(server.data_to_send(), 0.0)


def test_logins_go_into_urls() -> None:
    assert with_login("rtmp://h/a/b", "me", "p@ss/word") == "rtmp://me:p%40ss%2Fword@h/a/b"
    assert with_login("rtmp://h/a/b", "", "") == "rtmp://h/a/b"
