"""A program that asks for one path over HTTP, on many connections, each again as soon as it is answered.

``python -m support.flood PORT CONNECTIONS SECONDS PATH`` says in the end what was answered: how often each status, and how many of
those with 503 did not say when to come again.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter

from lalmesh.runtime.listener import socket_transport

_END = b"\r\n\r\n"


class Flood:
    """What was answered."""

    def __init__(self, path: str) -> None:
        self.request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        self.statuses: Counter[int] = Counter()
        self.without_retry_after = 0
        self.lost = 0  #: connections that ended

    def answered(self, head: bytes) -> None:
        """One answer."""
        status = int(head[9:12])
        self.statuses[status] += 1
        self.without_retry_after += status == 503 and b"\r\nretry-after: " not in head.lower()


class _Asking(asyncio.Protocol):
    def __init__(self, flood: Flood) -> None:
        self._flood = flood
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = socket_transport(transport)
        self._transport.write(self._flood.request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, rest = self._buffer.partition(_END)
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]) if end else 0
        if end and len(rest) >= length:
            self._buffer = rest[length:]
            self._flood.answered(head)
            self._transport.write(self._flood.request)

    def connection_lost(self, exc: Exception | None) -> None:
        self._flood.lost += 1


async def _run(port: int, connections: int, seconds: float, path: str) -> None:
    loop, flood = asyncio.get_running_loop(), Flood(path)
    await asyncio.gather(*(loop.create_connection(lambda: _Asking(flood), "127.0.0.1", port) for _ in range(connections)))
    await asyncio.sleep(seconds)
    found = {"statuses": flood.statuses, "without_retry_after": flood.without_retry_after, "lost": flood.lost}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    asyncio.run(_run(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]))
