"""Clients of RTP by UDP, as sockets, and what came from them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from services.edge import udp_sockets
from services.edge.rtp_pairs import Numbered
from support.ports import LOOPBACK

LIMIT_S = 30.0


class Client:
    """Two sockets of a client."""

    def __init__(self, host: str = LOOPBACK) -> None:
        self.rtp, self.rtcp = udp_sockets.bind_pair(host, 0)
        for sock in (self.rtp, self.rtcp):
            sock.setblocking(True)
            sock.settimeout(LIMIT_S)

    @property
    def ports(self) -> tuple[int, int]:
        return self.rtp.getsockname()[1], self.rtcp.getsockname()[1]

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()


@contextlib.contextmanager
def client(host: str = LOOPBACK) -> Iterator[Client]:
    made = Client(host)
    try:
        yield made
    finally:
        made.close()


class Inbox:
    """What a pair received."""

    def __init__(self) -> None:
        self.got: list[tuple[bool, bytes]] = []
        self.calls: list[list[Numbered]] = []
        self._came = asyncio.Event()

    def take(self, is_rtcp: bool, numbered: list[Numbered]) -> None:
        self.calls.append(numbered)
        self.got += [(is_rtcp, datagram) for _, datagram in numbered]
        self._came.set()

    async def wait(self, count: int) -> list[tuple[bool, bytes]]:
        async with asyncio.timeout(LIMIT_S):
            while len(self.got) < count:
                self._came.clear()
                await self._came.wait()
        return sorted(self.got)
