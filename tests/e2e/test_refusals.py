"""What must be refused is refused in the protocol's own words, and nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
from support import wire
from support.cluster import Node, Standalone
from support.ffmpeg import Publisher
from support.operator_api import change_setting
from support.wire import Mode

from lalmesh.container.flv import TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO, Tag
from lalmesh.protocol.rtmp import ChunkWriter, Message, PlayStarted, PublishStarted, RtmpUrl, StatusFailed

Media = Callable[[str], Path]
StartStandalone = Callable[..., Standalone]

PAGE = "https://page.example"
HANDSHAKE = "edge.limits.handshake_timeout_s"
HANDSHAKE_S = 1.5  #: for those that do not begin; others have `WAIT_S`
WAIT_S = 60.0  #: for a publisher, and for who does begin
MESSAGE_BYTES = 100_000
SOON_S = 20.0  #: much less than `WAIT_S`, and more than a busy machine needs
SETTINGS = {
    "edge.http.cors_origins": [PAGE],
    HANDSHAKE: WAIT_S,
    "edge.limits.message_bytes": MESSAGE_BYTES,
    "edge.play.wait_publisher_s": WAIT_S,
}
SEED = 17
HANDSHAKE_BYTES = 1536
PICTURES = 3  #: that a watched stream has to go on for
OUR_BUGS = re.compile(r"Traceback|internal error|request failed|\"level\": \"(error|critical)\"")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    """A server that has to stay alive through all of this."""
    with Standalone(tmp_path_factory.mktemp("refusals"), SETTINGS) as server:
        yield server


@pytest.fixture(scope="module")
def running(node: Node, media: Media, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A stream that has to go on."""
    log = tmp_path_factory.mktemp("push") / "push.log"
    with Publisher(media("h264_aac"), node.rtmp_url("live/cam"), log=log, loops=-1, limit_s=300):
        yield "live/cam"


@pytest.fixture
async def watched(node: Node, running: str) -> AsyncIterator[None]:
    """During the test somebody watches the stream; after it, he has missed nothing and the server has no complaint about itself."""
    async with wire.flv(node.flv_url(running)) as player:
        tags = await wire.collect(player, lambda got: len(wire.pictures(got)) > 0)
        yield
        after = await wire.collect(player, lambda got: len(wire.pictures(got)) >= PICTURES)
        tags += after
    times = [tag.timestamp_ms for tag in wire.pictures(tags)]
    steps = [new - old for old, new in itertools.pairwise(times)]
    assert wire.pictures(after), "the stream does not go on"
    assert 0 < min(steps) <= max(steps) <= 80, steps
    assert node.running
    assert not OUR_BUGS.search(node.output()), OUR_BUGS.findall(node.output())


@pytest.fixture
async def impatient(node: Node) -> AsyncIterator[None]:
    """During the test connections have `HANDSHAKE_S` to begin: those of all other tests may be late on a busy machine."""
    await asyncio.to_thread(change_setting, node, HANDSHAKE, HANDSHAKE_S)
    yield
    await asyncio.to_thread(change_setting, node, HANDSHAKE, None)


# names

LONG = "x" * 300
BAD_RTMP_NAMES = {
    "parent": ("live", "../x"),
    "two dots": ("live", ".."),
    "one dot": ("live", "."),
    "empty": ("live", ""),
    "query only": ("live", "?token=x"),
    "long": ("live", LONG),
    "long in UTF-8": ("live", "é" * 128),
    "control": ("live", "a\x01b"),
    "line break": ("live", "a\r\nb"),
    "NUL": ("live", "a\0b"),
    "backslash": ("live", "..\\x"),
    "no app": ("", "x"),
    "app is parent": ("..", "x"),
    "app leads to parent": ("live/../other", "x"),
    "app with a hole": ("live//inner", "x"),
    "long app": (LONG, "x"),
    "deep app": ("/".join("abcdefghi"), "x"),
    "app with control": ("li\x1bve", "x"),
}


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("mode", ["publish", "play"])
@pytest.mark.parametrize(("app", "name"), BAD_RTMP_NAMES.values(), ids=BAD_RTMP_NAMES)
async def test_rtmp_refuses_bad_names_and_closes(node: Node, app: str, name: str, mode: Mode) -> None:
    url = RtmpUrl(scheme="rtmp", host="127.0.0.1", port=node.ports["rtmp"], app=app, name=name)
    code = "NetStream.Publish.BadName" if mode == "publish" else "NetStream.Play.StreamNotFound"
    async with wire.rtmp(url, mode) as peer:
        seen = await peer.first(StatusFailed, SOON_S)
        assert [event.code for event in seen if isinstance(event, StatusFailed)] == [code]
        assert not any(isinstance(event, (PublishStarted, PlayStarted)) for event in seen)
        assert await peer.events(SOON_S) is None


BAD_PATHS = {
    "parent": "/live/../x.flv",
    "encoded parent": "/live/%2e%2e/x.flv",
    "encoded slash": "/live/..%2fx.flv",
    "encoded slash in a name": "/live/a%2Fb.flv",
    "name is parent": "/live/%2e%2e.flv",
    "app is parent": "/%2E%2E/x.flv",
    "empty name": "/live/.flv",
    "no app": "/x.flv",
    "hole": "/live//inner/x.flv",
    "long": f"/live/{LONG}.flv",
    "long in UTF-8": f"/live/{quote('é' * 128)}.flv",
    "long app": f"/{LONG}/x.flv",
    "deep app": f"/{'/'.join('abcdefghi')}/x.flv",
    "NUL": "/live/a%00b.flv",
    "control": "/live/a%01b.flv",
    "line break": "/live/a%0d%0aSet-Cookie:%20a.flv",
    "DEL": "/live/a%7fb.flv",
    "C1 control": "/live/a%C2%85b.flv",
    "backslash": "/live/..%5cx.flv",
    "not UTF-8": "/live/a%ff%feb.flv",
    "raw control": "/live/a\x01b.flv",
    "over the request line": f"/live/{'x' * 9000}.flv",
}


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("socket", [False, True], ids=["http", "websocket"])
@pytest.mark.parametrize("target", BAD_PATHS.values(), ids=BAD_PATHS)
async def test_http_refuses_bad_names_and_closes(node: Node, target: str, socket: bool) -> None:
    async with wire.connected(node.ports["http"]) as connection:
        answer = await wire.request(connection, target, *(UPGRADE if socket else ()), limit_s=SOON_S)
        assert answer.status == 400
        assert "set-cookie" not in answer.headers
        await connection.drained(SOON_S)


UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("target", ["/", "/live/cam", "/live/cam.mp3", "/live/cam.flv.txt", "/live/nobody.mkv", "/favicon.ico"])
async def test_a_path_that_is_no_stream_is_not_found_at_once(node: Node, target: str) -> None:
    assert (await wire.head_of(node.ports["http"], target, limit_s=SOON_S)).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_nothing_but_get_is_served(node: Node, running: str, method: str) -> None:
    assert (await wire.head_of(node.ports["http"], f"/{running}.flv", method=method, limit_s=SOON_S)).status == 405


# bytes that break the protocol


def message(type_id: int, stream_id: int, payload: bytes) -> bytes:
    return ChunkWriter().send(4, Message(type_id, stream_id, 0, payload))


@contextlib.asynccontextmanager
async def shaken(node: Node) -> AsyncIterator[wire.Wire]:
    """An RTMP connection after the handshake."""
    async with wire.connected(node.ports["rtmp"]) as connection:
        await connection.send(b"\x03" + bytes(HANDSHAKE_BYTES))
        await asyncio.wait_for(connection.reader.readexactly(1 + 2 * HANDSHAKE_BYTES), SOON_S)
        await connection.send(bytes(HANDSHAKE_BYTES))
        yield connection


@contextlib.asynccontextmanager
async def publishing(node: Node, stream: str) -> AsyncIterator[wire.RtmpPeer]:
    async with wire.rtmp(node.rtmp_url(stream), "publish") as peer:
        await peer.started()
        yield peer


def protocol_errors(node: Node) -> float:
    match = re.search(r'^edge_protocol_errors_total\{protocol="rtmp"\} (\S+)$', node.metrics(), re.MULTILINE)
    return float(match[1]) if match else 0.0


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("type_id", [TAG_AUDIO, TAG_VIDEO, TAG_SCRIPT, 15, 22])
@pytest.mark.parametrize("stream_id", [0, 1, 0xFFFFFFFF])
async def test_media_before_connect_closes_the_connection(node: Node, type_id: int, stream_id: int) -> None:
    before = protocol_errors(node)
    async with shaken(node) as connection:
        await connection.send(message(type_id, stream_id, b"\x17\x01\0\0\0body"))
        await connection.drained(SOON_S)
    assert protocol_errors(node) == before + 1


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("type_id", [TAG_AUDIO, TAG_VIDEO, TAG_SCRIPT])
async def test_media_of_a_player_closes_the_connection(node: Node, running: str, type_id: int) -> None:
    async with wire.rtmp(node.rtmp_url(running), "play") as peer:
        await peer.started()
        await peer.wire.send(ChunkWriter().send(4, Message(type_id, 1, 0, b"\xaf\x01body")))
        await peer.wire.drained(SOON_S)  # what was on its way to a player comes first


@pytest.mark.usefixtures("watched", "impatient")
@pytest.mark.parametrize("seed", range(8))
async def test_garbage_on_the_rtmp_port_closes_the_connection(node: Node, seed: int) -> None:
    noise = random.Random(seed).randbytes(20_000)
    async with wire.connected(node.ports["rtmp"]) as connection:
        await connection.send((b"\x03" if seed % 2 else b"") + noise)
        await connection.drained(HANDSHAKE_S + SOON_S)


@pytest.mark.usefixtures("watched", "impatient")
@pytest.mark.parametrize("seed", range(4))
async def test_garbage_after_the_handshake_closes_the_connection(node: Node, seed: int) -> None:
    async with shaken(node) as connection:
        await connection.send(random.Random(SEED + seed).randbytes(200_000))
        await connection.drained(HANDSHAKE_S + SOON_S)


@pytest.mark.usefixtures("watched", "impatient")
@pytest.mark.parametrize("seed", range(4))
async def test_garbage_on_the_http_port_closes_the_connection(node: Node, seed: int) -> None:
    async with wire.connected(node.ports["http"]) as connection:
        await connection.send(random.Random(seed).randbytes(20_000) + b"\r\n\r\n")
        await connection.drained(HANDSHAKE_S + SOON_S)


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("seed", range(4))
async def test_garbage_from_a_websocket_player_closes_the_connection(node: Node, running: str, seed: int) -> None:
    async with wire.connected(node.ports["http"]) as connection:
        assert (await wire.request(connection, f"/{running}.flv", *UPGRADE)).status == 101
        await connection.send(random.Random(seed).randbytes(100_000))
        await connection.drained(SOON_S)


@pytest.mark.usefixtures("watched")
async def test_too_much_from_an_http_player_closes_the_connection(node: Node, running: str) -> None:
    async with wire.flv(node.flv_url(running)) as peer:
        await peer.wire.send(b"x" * 200_000)
        await peer.wire.drained(SOON_S)


BROKEN = {
    "oversized message": b"\x04" + bytes(3) + (MESSAGE_BYTES + 1).to_bytes(3, "big") + b"\x09" + b"\x01\0\0\0",
    "chunk size of zero": b"\x02" + bytes(3) + b"\0\0\x04\x01" + bytes(4) + bytes(4),
    "short form without a long one": b"\xc9",
    "garbled configuration": message(TAG_VIDEO, 1, b"\x17\0\0\0\0\x01\xff\xff\xff\xff\xff\xff"),
    "garbled audio configuration": message(TAG_AUDIO, 1, b"\xaf\0\x12"),
    "cut off aggregate": message(22, 1, b"\x09\0\xff\xff" + bytes(20)),
    "command that is no AMF": message(20, 0, b"\xff\xff\xff"),
}


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
async def test_a_publisher_that_breaks_the_protocol_is_closed(node: Node, data: bytes) -> None:
    async with publishing(node, "live/broken") as peer:
        await peer.wire.send(data)
        await peer.wire.drained(SOON_S)


@pytest.mark.usefixtures("watched")
async def test_the_largest_message_is_taken(node: Node) -> None:
    head = b"\x17\x01\0\0\0"
    async with publishing(node, "live/large") as peer:
        await peer.publish([Tag(TAG_VIDEO, 0, head + bytes(MESSAGE_BYTES - len(head)))])
        with pytest.raises(TimeoutError):
            await peer.events(0.5)  # it is kept


# connections that do not get on


@pytest.mark.usefixtures("watched", "impatient")
@pytest.mark.parametrize("sent", [b"", b"\x03", b"\x03" + bytes(700), b"\x03" + bytes(HANDSHAKE_BYTES)], ids=len)
@pytest.mark.parametrize("port", ["rtmp", "http"])
async def test_a_connection_that_does_not_begin_is_closed(node: Node, port: str, sent: bytes) -> None:
    data = sent if port == "rtmp" else b"GET /live/cam.flv HTTP/1.1\r\nHost: a\r\n"[: len(sent) * 4]
    began = time.monotonic()
    async with wire.connected(node.ports[port]) as connection:
        await connection.send(data)
        await connection.drained(HANDSHAKE_S + SOON_S)
    assert time.monotonic() - began >= HANDSHAKE_S - 0.1


@pytest.mark.usefixtures("watched", "impatient")
async def test_a_connection_that_never_asks_for_a_stream_is_closed(node: Node) -> None:
    async with shaken(node) as connection:
        await connection.drained(HANDSHAKE_S + SOON_S)


async def test_a_silent_publisher_is_closed(start_standalone: StartStandalone) -> None:
    node = start_standalone({"edge.limits.idle_timeout_s": 1})
    async with publishing(node, "live/cam") as peer:
        await peer.wire.drained(1 + SOON_S)


async def test_more_connections_than_allowed_are_refused_politely(
    start_standalone: StartStandalone, media: Media, tmp_path: Path
) -> None:
    node = start_standalone({"edge.limits.connections": 3})
    with Publisher(media("h264_aac"), node.rtmp_url("live/cam"), log=tmp_path / "push.log", loops=-1):
        async with contextlib.AsyncExitStack() as stack:
            for url in (node.flv_url("live/cam"),) * 3 + (node.rtmp_url("live/cam"),) * 2:
                peer = await stack.enter_async_context(wire.player(url))
                assert await peer.tags()
            assert (await wire.head_of(node.ports["http"], "/live/cam.flv", limit_s=SOON_S)).status == 503
            async with wire.rtmp(node.rtmp_url("live/cam"), "play") as refused:
                seen = await refused.first(StatusFailed, SOON_S)
                assert [event.code for event in seen if isinstance(event, StatusFailed)] == ["NetConnection.Connect.Rejected"]
                assert await refused.events(SOON_S) is None
            assert await peer.tags()
        end = time.monotonic() + SOON_S
        while (await wire.head_of(node.ports["http"], "/live/cam.flv")).status != 200:  # it has to see the others leave
            assert time.monotonic() < end, "a connection that has ended still counts"
            await asyncio.sleep(0.05)


# web pages


async def test_a_preflight_says_what_is_allowed_and_runs_nothing(node: Node, running: str) -> None:
    opened = node.output().count("player opened")
    for stream in (running, "live/nobody"):
        answer = await wire.head_of(
            node.ports["http"],
            f"/{stream}.flv",
            f"Origin: {PAGE}",
            "Access-Control-Request-Method: GET",
            "Access-Control-Request-Headers: range",
            method="OPTIONS",
            limit_s=SOON_S,
        )
        assert answer.status == 204
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert answer.headers["access-control-allow-methods"] == "GET, HEAD"
        assert answer.headers["access-control-allow-headers"] == "range"
        assert "Origin" in answer.headers["vary"]
    assert node.output().count("player opened") == opened


@pytest.mark.parametrize("target", ["/live/cam.flv", "/live/nobody.mp3", "/live/%2e%2e.flv"])
async def test_an_allowed_page_may_read_every_answer_and_another_none(node: Node, running: str, target: str) -> None:
    answer = await wire.head_of(node.ports["http"], target, f"Origin: {PAGE}")
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "Origin" in answer.headers["vary"]
    for headers in (("Origin: https://other.example",), ("Origin: null",), ()):
        answer = await wire.head_of(node.ports["http"], target, *headers)
        assert "access-control-allow-origin" not in answer.headers
        assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize(
    ("origin", "status"),
    [("https://other.example", 403), ("null", 403), ("http://edge.test", 101), (PAGE, 101), ("", 101)],
)
async def test_only_pages_that_may_open_a_websocket(node: Node, running: str, origin: str, status: int) -> None:
    headers = (*UPGRADE, f"Origin: {origin}") if origin else UPGRADE
    assert (await wire.head_of(node.ports["http"], f"/{running}.flv", *headers)).status == status


async def test_a_ping_over_websocket_is_answered_and_a_close_too(node: Node, running: str) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(node.ws_url(running), autoping=False) as socket:
        for payload in (b"", b"are you there", b"x" * 125):
            await socket.ping(payload)
            async with asyncio.timeout(SOON_S):
                while (answer := await socket.receive()).type is not aiohttp.WSMsgType.PONG:
                    assert answer.type is aiohttp.WSMsgType.BINARY
            assert answer.data == payload
        await socket.close()
        assert socket.close_code == aiohttp.WSCloseCode.OK
