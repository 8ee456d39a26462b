"""Raw clients on asyncio streams: they show what came over the wire, message by message, and may misbehave.

The RTMP side is the client core of the project without its shell; the HTTP side is written by hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

import aiohttp

from lalmesh.container.flv import TAG_AUDIO, TAG_VIDEO, Tag, TagReader, flv_header, previous_tag_size, tag_header
from lalmesh.protocol.rtmp import ClientEvent, MediaMessage, PlayStarted, PublishStarted, RtmpClient, RtmpUrl
from support.frames import Frame, Recording, Stream

Mode = Literal["publish", "play"]

LIMIT_S = 30.0  #: of every wait for the server, on a slow machine that runs other tests
READ_BYTES = 256 << 10
_VIDEO, _AUDIO = 0, 1
_CTS = struct.Struct(">hB")


class Wire:
    """One TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Write and let it leave; a connection that is gone is no error here: the next read tells."""
        with contextlib.suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()

    async def receive(self, limit_s: float = LIMIT_S) -> bytes:
        """What comes next, empty at the end of the connection."""
        try:
            async with asyncio.timeout(limit_s):  # wait_for of Python 3.11 may swallow that its task is cancelled
                return await self.reader.read(READ_BYTES)
        except ConnectionError:
            return b""

    async def drained(self, limit_s: float = LIMIT_S) -> bytes:
        """Everything up to the end of the connection, which has to come within `limit_s`."""
        got = b""
        async with asyncio.timeout(limit_s):
            while data := await self.receive(limit_s):
                got += data
        return got

    async def close(self) -> None:
        """End the connection at once."""
        self.writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def connected(
    port: int, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None, *, source: str = ""
) -> AsyncIterator[Wire]:
    """A plain connection, or one in TLS; from the address `source` where that is given."""
    local = (source, 0) if source else None
    async with asyncio.timeout(LIMIT_S):
        wire = Wire(*await asyncio.open_connection(host, port, limit=READ_BYTES, ssl=tls, local_addr=local))
    try:
        yield wire
    finally:
        await wire.close()


class RtmpPeer:
    """One RTMP client."""

    def __init__(self, wire: Wire, url: RtmpUrl, mode: Mode) -> None:
        self.wire = wire
        self.mode = mode
        self.core = RtmpClient(url, mode, os.urandom)

    async def events(self, limit_s: float = LIMIT_S) -> list[ClientEvent] | None:
        """What happens next, at least one event; None at the end of the connection."""
        async with asyncio.timeout(limit_s):
            while True:
                await self.flush()
                data = await self.wire.receive(limit_s)
                if not data:
                    return None
                if events := list(self.core.feed(data)):
                    await self.flush()
                    return events

    async def flush(self) -> None:
        """Send what the core has to say."""
        if data := self.core.data_to_send():
            await self.wire.send(data)

    async def first(self, kind: type, limit_s: float = LIMIT_S) -> list[ClientEvent]:
        """All events up to the batch with one of `kind`, or up to the end of the connection."""
        seen: list[ClientEvent] = []
        async with asyncio.timeout(limit_s):
            while (events := await self.events(limit_s)) is not None:
                seen += events
                if any(isinstance(event, kind) for event in events):
                    break
        return seen

    async def started(self) -> None:
        """Wait until the server lets it publish or play."""
        kind = PublishStarted if self.mode == "publish" else PlayStarted
        seen = await self.first(kind)
        assert any(isinstance(event, kind) for event in seen), seen

    async def tags(self, limit_s: float = LIMIT_S) -> list[Tag] | None:
        """The next media messages as FLV tags; None at the end."""
        async with asyncio.timeout(limit_s):
            while (events := await self.events(limit_s)) is not None:
                media = [event for event in events if isinstance(event, MediaMessage)]
                if media:
                    return [Tag(one.type_id, one.timestamp_ms, one.payload) for one in media]
        return None

    async def forget(self) -> None:
        """Play until the end of the connection, and keep nothing."""
        await self.started()
        while await self.wire.receive():
            pass

    async def publish(self, tags: Sequence[Tag]) -> None:
        """Send tags, as fast as the connection takes them."""
        for tag in tags:
            self.core.send_media(tag.type_id, tag.timestamp_ms, tag.body)
        await self.flush()


@contextlib.asynccontextmanager
async def rtmp(url: str | RtmpUrl, mode: Mode) -> AsyncIterator[RtmpPeer]:
    """An RTMP client that has dialled."""
    parsed = RtmpUrl.parse(url) if isinstance(url, str) else url
    async with connected(parsed.port, parsed.host) as wire:
        yield RtmpPeer(wire, parsed, mode)


@dataclass(slots=True)
class Answer:
    """The head of an HTTP answer."""

    status: int
    headers: dict[str, str]  #: names in lower case


async def request(wire: Wire, target: str, *headers: str, method: str = "GET", limit_s: float = LIMIT_S) -> Answer:
    """Send a request with `target` exactly as it is, and read the head of the answer."""
    lines = [f"{method} {target} HTTP/1.1", "Host: edge.test", *headers, "", ""]
    await wire.send("\r\n".join(lines).encode("latin-1"))
    return await answer_head(wire, limit_s)


async def answer_head(wire: Wire, limit_s: float = LIMIT_S) -> Answer:
    """Read the head of an answer."""
    async with asyncio.timeout(limit_s):
        head = await wire.reader.readuntil(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in rest if line)
    return Answer(int(first.split()[1]), {name.lower(): value.strip() for name, _, value in pairs})


async def head_of(port: int, target: str, *headers: str, method: str = "GET", limit_s: float = LIMIT_S) -> Answer:
    """The head of the answer to one request, on a connection of its own."""
    async with connected(port) as wire:
        return await request(wire, target, *headers, method=method, limit_s=limit_s)


@dataclass(slots=True)
class FlvPeer:
    """One HTTP-FLV player."""

    wire: Wire
    answer: Answer
    reader: TagReader = field(default_factory=TagReader)

    async def tags(self, limit_s: float = LIMIT_S) -> list[Tag] | None:
        """The next tags; None at the end."""
        async with asyncio.timeout(limit_s):
            while data := await self.wire.receive(limit_s):
                if tags := list(self.reader.feed(data)):
                    return tags
        return None

    async def forget(self) -> None:
        """Play until the end of the connection, and keep nothing."""
        while await self.wire.receive():
            pass


@contextlib.asynccontextmanager
async def flv(url: str, *headers: str, limit_s: float = LIMIT_S) -> AsyncIterator[FlvPeer]:
    """An HTTP-FLV player whose request has been answered."""
    host_and_port, _, path = url.removeprefix("http://").partition("/")
    host, _, port = host_and_port.partition(":")
    async with connected(int(port), host) as wire:
        yield FlvPeer(wire, await request(wire, f"/{path}", *headers, limit_s=limit_s))


@dataclass(slots=True)
class SocketPeer:
    """One WebSocket-FLV player."""

    socket: aiohttp.ClientWebSocketResponse
    reader: TagReader = field(default_factory=TagReader)

    async def tags(self, limit_s: float = LIMIT_S) -> list[Tag] | None:
        """The next tags; None at the end."""
        async with asyncio.timeout(limit_s):
            while (message := await self.socket.receive()).type is aiohttp.WSMsgType.BINARY:
                if tags := list(self.reader.feed(message.data)):
                    return tags
        return None

    async def forget(self) -> None:
        """Play until the end of the connection, and keep nothing."""
        while (await self.socket.receive()).type is aiohttp.WSMsgType.BINARY:
            pass


@contextlib.asynccontextmanager
async def websocket(url: str) -> AsyncIterator[SocketPeer]:
    """A WebSocket-FLV player that has been let in."""
    limits = aiohttp.ClientWSTimeout(ws_close=LIMIT_S)
    async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0, timeout=limits) as socket:
        yield SocketPeer(socket)


Peer = RtmpPeer | FlvPeer | SocketPeer


@contextlib.asynccontextmanager
async def player(url: str) -> AsyncIterator[Peer]:
    """A player of the URL's protocol."""
    if url.startswith("rtmp:"):
        async with rtmp(url, "play") as rtmp_peer:
            yield rtmp_peer
    elif url.startswith("ws:"):
        async with websocket(url) as socket_peer:
            yield socket_peer
    else:
        async with flv(url) as flv_peer:
            assert flv_peer.answer.status == 200, flv_peer.answer
            yield flv_peer


async def collect(peer: Peer, until: Callable[[list[Tag]], bool], limit_s: float = LIMIT_S) -> list[Tag]:
    """What a player gets until `until` says that it is enough, or until the end of the connection."""
    got: list[Tag] = []
    async with asyncio.timeout(limit_s):
        while not until(got) and (tags := await peer.tags(limit_s)) is not None:
            got += tags
    return got


# FLV in files and lists


def tags_of_file(file: Path) -> list[Tag]:
    """All tags of a FLV file."""
    return list(TagReader().feed(file.read_bytes()))


def file_of_tags(tags: Sequence[Tag], file: Path) -> Path:
    """A FLV file with `tags`."""
    kinds = {tag.type_id for tag in tags}
    parts = [flv_header(TAG_AUDIO in kinds, TAG_VIDEO in kinds)]
    for tag in tags:
        parts += [tag_header(tag.type_id, tag.timestamp_ms, len(tag.body)), tag.body, previous_tag_size(len(tag.body))]
    file.write_bytes(b"".join(parts))
    return file


def is_header(tag: Tag) -> bool:
    """Whether it is a sequence header of H.264 or AAC."""
    if tag.type_id == TAG_VIDEO:
        return tag.body[0] & 0x0F == 7 and tag.body[1] == 0
    return tag.type_id == TAG_AUDIO and tag.body[0] >> 4 == 10 and tag.body[1] == 0


def is_picture(tag: Tag) -> bool:
    """Whether it is an H.264 access unit."""
    return tag.type_id == TAG_VIDEO and tag.body[0] & 0x0F == 7 and tag.body[1] == 1


def is_key(tag: Tag) -> bool:
    """Whether it is an H.264 access unit to begin at."""
    return is_picture(tag) and tag.body[0] >> 4 == 1


def is_sound(tag: Tag) -> bool:
    """Whether it is an AAC frame."""
    return tag.type_id == TAG_AUDIO and tag.body[0] >> 4 == 10 and tag.body[1] == 1


def pictures(tags: Sequence[Tag]) -> list[Tag]:
    """The H.264 access units."""
    return [tag for tag in tags if is_picture(tag)]


def recording(tags: Sequence[Tag]) -> Recording:
    """H.264 and AAC tags as the rows that ffmpeg makes of them, to be compared with those of a file."""
    heads = {tag.type_id: tag for tag in tags if is_header(tag)}
    ms = Fraction(1, 1000)
    streams = (
        Stream(_VIDEO, "video", "h264", ms, _md5(heads[TAG_VIDEO].body[5:]) if TAG_VIDEO in heads else None),
        Stream(_AUDIO, "audio", "aac", ms, _md5(heads[TAG_AUDIO].body[2:]) if TAG_AUDIO in heads else None),
    )
    return Recording(streams, tuple(_frame(tag) for tag in tags if is_picture(tag) or is_sound(tag)))


def _frame(tag: Tag) -> Frame:
    if tag.type_id == TAG_AUDIO:
        return Frame(_AUDIO, tag.timestamp_ms, tag.timestamp_ms, len(tag.body) - 2, _md5(tag.body[2:]))
    high, low = _CTS.unpack_from(tag.body, 2)
    return Frame(_VIDEO, tag.timestamp_ms, tag.timestamp_ms + (high << 8 | low), len(tag.body) - 5, _md5(tag.body[5:]))


def _md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()
