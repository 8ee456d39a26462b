"""Publishing and playing over RTMP and RTMPS."""

from __future__ import annotations

import asyncio
from typing import Self

from lalmesh.client._errors import TimedOut
from lalmesh.client._options import DEFAULT_OPTIONS, ClientOptions
from lalmesh.client._player import Player
from lalmesh.client._rtmp_link import RtmpLink, dial
from lalmesh.errors import LocalProtocolError


class RtmpPublisher:
    """Publishes one stream: ``async with RtmpPublisher(url) as out: out.send(...); await out.drain()``."""

    def __init__(self, url: str, options: ClientOptions = DEFAULT_OPTIONS, *, complex_handshake: bool = False) -> None:
        """Publish to `url`, ``rtmp://HOST/APP/NAME`` or ``rtmps://``; nothing is dialled before it is entered.

        Args:
            url: where to; a query belongs to the name.
            options: limits and trust.
            complex_handshake: send a digest in the handshake, for servers that insist on one.
        """
        self.url = url
        self._options = options
        self._complex_handshake = complex_handshake
        self._open_link: RtmpLink | None = None

    async def __aenter__(self) -> Self:
        """Connect, and be let in.

        Raises:
            InvalidUrl, UnsupportedError: of the URL.
            ConnectionFailed, TimedOut, Refused, RemoteProtocolError: of the server.
        """
        self._open_link = await dial(self.url, "publish", self._options, complex_handshake=self._complex_handshake)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Say that the stream is over, wait a moment for that to arrive, disconnect."""
        link, self._open_link = self._open_link, None
        if link is not None:
            await link.close()

    @property
    def _link(self) -> RtmpLink:
        if self._open_link is None:
            raise LocalProtocolError("publisher that is not connected")
        return self._open_link

    def send(self, type_id: int, timestamp_ms: int, *body: bytes) -> None:
        """Publish one message. It is on its way at once; `drain` waits where too much is.

        Args:
            type_id: 8 audio, 9 video, 18 script data.
            timestamp_ms: any integer; its low 32 bits are sent.
            body: of a FLV tag, in one piece or several.

        Raises:
            LocalProtocolError: the message is too long.
            ConnectionFailed, Refused, RemoteProtocolError: what ended the connection.
        """
        self._link.send(type_id, timestamp_ms, body)

    async def drain(self) -> None:
        """Wait until there is room to send.

        Raises:
            TimedOut: there was none within ``stall_timeout_s``.
            ConnectionFailed, Refused, RemoteProtocolError: what ended the connection.
        """
        try:
            async with asyncio.timeout(self._options.stall_timeout_s):
                await self._link.drain()
        except TimeoutError:
            raise TimedOut("room to send", self._options.stall_timeout_s) from None

    async def sleep(self, delay_s: float) -> None:
        """Wait `delay_s` seconds, less if the connection ends.

        Raises:
            ConnectionFailed, Refused, RemoteProtocolError: what ended the connection.
        """
        try:
            async with asyncio.timeout(delay_s):
                await self._link.wait_gone()
        except TimeoutError:
            pass
        self._link.check()


class RtmpPlayer(Player):
    """Plays ``rtmp://HOST/APP/NAME`` or ``rtmps://``."""

    _link: RtmpLink | None = None

    async def _open(self) -> None:
        self._link = await dial(self.url, "play", self.options)
        self.first_byte_at = self._link.first_byte_at

    async def _read(self) -> None:
        assert self._link is not None
        tags = await self._link.take()
        self._take(tags)
        if not tags:
            self.end_reason = self._link.ended

    async def _close(self) -> None:
        if self._link is not None:
            await self._link.close()
