"""What all players have in common: a stream of FLV tags, and limits to how long to wait for one."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable
from typing import Self

from lalmesh.client._errors import TimedOut
from lalmesh.client._options import DEFAULT_OPTIONS, ClientOptions
from lalmesh.container.flv import Tag
from lalmesh.errors import LalmeshError


class Player(ABC):
    """Plays one stream: ``async with player: async for tag in player: ...``.

    A tag is one message: type id (8 audio, 9 video, 18 script data), time in ms, body. The iteration ends when the stream does.

    Entering raises `InvalidUrl`, `ConnectionFailed`, `TimedOut`, `Refused` or one of its kinds, or what the peer broke as
    `lalmesh.errors.RemoteProtocolError`; iterating raises all but the first and the fourth.
    """

    def __init__(self, url: str, options: ClientOptions = DEFAULT_OPTIONS) -> None:
        """Play `url`; nothing is dialled before it is entered."""
        self.url = url
        self.options = options
        self.first_byte_at: float | None = None  #: when the server first said something, by the loop's clock
        self.end_reason = ""  #: why the stream is over; empty while it is not
        self._tags: deque[Tag] = deque()
        self._failure: LalmeshError | None = None
        self._limit_s = options.first_media_timeout_s
        self._awaited = "first message"

    @property
    def protocol(self) -> str:
        """How the stream comes: ``rtmp(s)``, ``rtsp(s)``, ``http-flv``, ``https-flv``, ``ws-flv`` or ``wss-flv``."""
        scheme = self.url.partition(":")[0].lower()
        return scheme if scheme.startswith(("rtmp", "rtsp")) else f"{scheme}-flv"

    async def __aenter__(self) -> Self:
        """Connect, and be let in."""
        await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect."""
        await self._close()

    def __aiter__(self) -> Self:
        """The tags, from here on."""
        return self

    async def __anext__(self) -> Tag:
        """The next tag."""
        if not self._tags:
            await self._fill()
            if not self._tags:
                raise StopAsyncIteration
            self._limit_s, self._awaited = self.options.stall_timeout_s, "message"
        return self._tags.popleft()

    async def take(self) -> list[Tag]:
        """All tags that have come, waiting for one if need be; none where the stream is over. Raises as iterating does."""
        try:
            tags = [await anext(self)]
        except StopAsyncIteration:
            return []
        tags += self._tags
        self._tags.clear()
        return tags

    async def _fill(self) -> None:
        try:
            async with asyncio.timeout(self._limit_s):
                while not self._tags and not self.end_reason:
                    if self._failure is not None:
                        raise self._failure
                    await self._read()
        except TimeoutError:
            raise TimedOut(self._awaited, self._limit_s) from None

    def _take(self, tags: Iterable[Tag]) -> None:
        """Keep `tags`; what they raise is kept too, until those before it have been given out."""
        try:
            self._tags.extend(tags)
        except LalmeshError as error:
            self._failure = error

    @abstractmethod
    async def _open(self) -> None:
        """Connect, within the limits."""

    @abstractmethod
    async def _read(self) -> None:
        """Wait for something from the server and `_take` it, or set `end_reason`."""

    @abstractmethod
    async def _close(self) -> None:
        """Disconnect; does no harm where nothing is open."""
