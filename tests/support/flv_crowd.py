"""Many players of HTTP-FLV in one loop, which look at no more of each picture than when it is to be shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

VIDEO = 9  #: type of a tag (FLV 10.1, E.4.1)
TAG_BYTES = 11  #: of its header
TRAILER_BYTES = 4  #: its size over again
BEGIN_BYTES = 13  #: the header of the file, and a trailer of nothing
COMING_AT_ONCE = 50


class FlvPlayer(asyncio.Protocol):
    """One player: the times of the pictures that came, in ms."""

    def __init__(self, host: str, path: str) -> None:
        """Ask for `path`."""
        self._request = f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode()
        self._buffer = bytearray()
        self._begun = False
        self._transport: asyncio.BaseTransport | None = None
        self.status = b""  #: the first line of the answer
        self.shown: list[int] = []
        self.ended = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Note what is whole."""
        buffer = self._buffer
        buffer += data
        if not self._begun:
            head, mark, rest = buffer.partition(b"\r\n\r\n")
            if not mark or len(rest) < BEGIN_BYTES:
                return
            self._begun, self.status = True, bytes(head.partition(b"\r\n")[0])
            del buffer[: len(head) + len(mark) + BEGIN_BYTES]
        at = 0
        while len(buffer) - at >= TAG_BYTES:
            end = at + TAG_BYTES + int.from_bytes(buffer[at + 1 : at + 4], "big") + TRAILER_BYTES
            if end > len(buffer):
                break
            if buffer[at] == VIDEO and buffer[at + 12]:  # the second byte: 0 is the configuration, no picture
                self.shown.append(int.from_bytes(buffer[at + 4 : at + 7], "big") | buffer[at + 7] << 24)
            at = end
        del buffer[:at]

    def connection_lost(self, exc: Exception | None) -> None:
        """The server has ended it."""
        self.ended.set()

    def leave(self) -> None:
        """Go away."""
        if self._transport is not None:
            self._transport.close()


@asynccontextmanager
async def crowd(url: str, count: int) -> AsyncIterator[list[FlvPlayer]]:
    """So many players of `url`, connected; they leave at the end."""
    parts = urlsplit(url)
    players = [FlvPlayer(parts.netloc, parts.path) for _ in range(count)]
    loop = asyncio.get_running_loop()
    try:
        for first in range(0, count, COMING_AT_ONCE):
            coming = players[first : first + COMING_AT_ONCE]
            await asyncio.gather(
                *(loop.create_connection(_giving(each), parts.hostname or "", parts.port or 80) for each in coming)
            )
        yield players
    finally:
        for player in players:
            player.leave()


def _giving(player: FlvPlayer) -> Callable[[], FlvPlayer]:
    return lambda: player


def holes(players: Sequence[FlvPlayer]) -> list[str]:
    """What is wrong: who has pictures missing, twice, or out of order, of those that came to anybody since his first one."""
    all_shown = sorted({time for player in players for time in player.shown})
    place = {time: index for index, time in enumerate(all_shown)}
    return [
        f"player {number}: {len(player.shown)} pictures of {all_shown[place[player.shown[0]] :][:3]}..."
        for number, player in enumerate(players)
        if player.shown and player.shown != all_shown[place[player.shown[0]] : place[player.shown[0]] + len(player.shown)]
    ]
