"""What all publishers have in common: FLV tags out, and limits to how long to wait for room."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Generic, Self, TypeVar

from lalmesh.client._errors import TimedOut
from lalmesh.client._link import ClientLink
from lalmesh.client._options import DEFAULT_OPTIONS, ClientOptions
from lalmesh.errors import LocalProtocolError

_Link = TypeVar("_Link", bound=ClientLink, covariant=True)


class Publisher(ABC, Generic[_Link]):
    """Publishes one stream: ``async with publisher as out: out.send(...); await out.drain()``."""

    def __init__(self, url: str, options: ClientOptions = DEFAULT_OPTIONS) -> None:
        """Publish to `url`; nothing is dialled before it is entered."""
        self.url = url
        self._options = options
        self._open_link: _Link | None = None

    async def __aenter__(self) -> Self:
        """Connect, and be let in.

        Raises:
            InvalidUrl, UnsupportedError: of the URL.
            ConnectionFailed, TimedOut, Refused, RemoteProtocolError: of the server.
        """
        self._open_link = await self._dial()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Say that the stream is over, wait a moment for that to arrive, disconnect."""
        link, self._open_link = self._open_link, None
        if link is not None:
            await link.close()

    @abstractmethod
    async def _dial(self) -> _Link:
        """A connection on which the server lets us publish."""

    @property
    def _link(self) -> _Link:
        if self._open_link is None:
            raise LocalProtocolError("publisher that is not connected")
        return self._open_link

    @abstractmethod
    def send(self, type_id: int, timestamp_ms: int, *body: bytes) -> None:
        """Publish one tag. It is on its way at once; `drain` waits where too much is.

        Args:
            type_id: 8 audio, 9 video, 18 script data.
            timestamp_ms: any integer; its low 32 bits count.
            body: of a FLV tag, in one piece or several.

        Raises:
            LocalProtocolError, UnsupportedError: the protocol does not carry it.
            ConnectionFailed, Refused, RemoteProtocolError: what ended the connection.
        """

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
