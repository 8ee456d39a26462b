"""The words of an RTSP client, for tests that say each one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from lalmesh.protocol.rtp import RtpPacket
from lalmesh.protocol.rtsp import Headers, InterleavedFrame, MessageReader, Request, Response, serialize_frame

TCP = "RTP/AVP/TCP;unicast;interleaved={}-{}"
UDP = "RTP/AVP;unicast;client_port={}-{}"
PCMA_TYPE = 8
PCMA_SDP = b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 0 RTP/AVP 8\r\na=control:streamid=0\r\n"  #: one sound


class Talk:
    """Numbers requests, and takes answers and frames apart."""

    def __init__(self, url: str) -> None:
        """Talk about the stream at `url`."""
        self.url = url
        self.session = ""
        self.frames: list[InterleavedFrame] = []  #: those that came
        self._number = 0
        self._reader = MessageReader()
        self._answers: list[Response] = []

    def request(self, method: str, path: str = "", fields: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
        """A request about what is at `path` below the URL."""
        self._number += 1
        said = {"CSeq": str(self._number)} | ({"Session": self.session} if self.session else {}) | dict(fields or {})
        return Request(method=method, uri=self.url + path, headers=Headers(tuple(said.items())), body=body).serialize()

    def announce(self, description: bytes = PCMA_SDP, **fields: str) -> bytes:
        """ANNOUNCE; underscores in names of fields are hyphens."""
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        return self.request("ANNOUNCE", fields={"Content-Type": "application/sdp", **named}, body=description)

    def setup(self, transport: str, path: str = "/streamid=0") -> bytes:
        """SETUP of a track."""
        return self.request("SETUP", path, {"Transport": transport})

    def take(self, data: bytes) -> None:
        """Read what came from the server."""
        for message in self._reader.feed(data):
            if isinstance(message, Response):
                self._answers.append(message)
                self.session = message.headers.get("session").partition(";")[0] or self.session
            elif isinstance(message, InterleavedFrame):
                self.frames.append(message)

    def answer(self) -> Response | None:
        """The next answer that has come; None where there is none."""
        return self._answers.pop(0) if self._answers else None


class TalkClient:
    """Talks over a connection."""

    def __init__(self, url: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk about the stream at `url`."""
        self.talk = Talk(url)
        self.reader, self.writer = reader, writer

    async def ask(self, request: bytes) -> Response:
        """The answer to a request."""
        self.writer.write(request)
        while (answer := self.talk.answer()) is None:
            await self.read()
        return answer

    async def read(self) -> None:
        """Take in what comes next."""
        data = await self.reader.read(1 << 16)
        assert data, "the connection was closed"
        self.talk.take(data)

    async def closed(self) -> None:
        """Read until the server has closed."""
        while data := await self.reader.read(1 << 16):
            self.talk.take(data)
        self.writer.close()

    async def close(self) -> None:
        """Close it."""
        self.writer.close()
        await self.writer.wait_closed()


def packet(number: int, *, ssrc: int = 7) -> bytes:
    """20 ms of PCMA."""
    return RtpPacket(PCMA_TYPE, number, 160 * number, ssrc, False, bytes(160)).serialize()


def frame(number: int, channel: int = 0) -> bytes:
    """The same among messages."""
    return serialize_frame(channel, packet(number))
