"""A raw RTSP client on an asyncio stream: it says one request after the other and waits for each answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from lalmesh.protocol.rtsp import Response
from support import wire
from support.rtsp_talk import Talk


class RtspPeer:
    """One connection, about one stream."""

    def __init__(self, way: wire.Wire, url: str) -> None:
        self.talk = Talk(url)
        self.way = way

    async def answer(self, request: bytes) -> Response:
        """What a request of `talk` is answered."""
        await self.way.send(request)
        while (answer := self.talk.answer()) is None:
            data = await self.way.receive()
            assert data, f"the connection was closed instead of an answer to {request[:80]!r}"
            self.talk.take(data)
        return answer

    async def ask(self, method: str, fields: Mapping[str, str] | None = None, body: bytes = b"") -> Response:
        """The answer to a request about the whole stream."""
        return await self.answer(self.talk.request(method, fields=fields, body=body))

    async def status(self, method: str, fields: Mapping[str, str] | None = None) -> int:
        """Its status."""
        return (await self.ask(method, fields)).status


@asynccontextmanager
async def talking(port: int, url: str) -> AsyncIterator[RtspPeer]:
    """A client of the plain RTSP port."""
    async with wire.connected(port) as way:
        yield RtspPeer(way, url)
