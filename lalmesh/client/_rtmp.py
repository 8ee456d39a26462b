"""Publishing and playing over RTMP and RTMPS."""

from __future__ import annotations

from lalmesh.client._options import DEFAULT_OPTIONS, ClientOptions
from lalmesh.client._player import Player
from lalmesh.client._publisher import Publisher
from lalmesh.client._rtmp_link import RtmpLink, dial


class RtmpPublisher(Publisher[RtmpLink]):
    """Publishes messages, their bytes as they are; one that is too long raises `LocalProtocolError`."""

    def __init__(self, url: str, options: ClientOptions = DEFAULT_OPTIONS, *, complex_handshake: bool = False) -> None:
        """Publish to `url`, ``rtmp://HOST/APP/NAME`` or ``rtmps://``; nothing is dialled before it is entered.

        Args:
            url: where to; a query belongs to the name.
            options: limits and trust.
            complex_handshake: send a digest in the handshake, for servers that insist on one.
        """
        super().__init__(url, options)
        self._complex_handshake = complex_handshake

    async def _dial(self) -> RtmpLink:
        return await dial(self.url, "publish", self._options, complex_handshake=self._complex_handshake)

    def send(self, type_id: int, timestamp_ms: int, *body: bytes) -> None:
        """As `Publisher.send`."""
        self._link.send(type_id, timestamp_ms, body)


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
