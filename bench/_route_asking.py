"""Asks for routes at a steady rate, whether or not answers come: what is late counts from when it should have been asked.

Or for as many as are answered: each connection asks again as soon as it has an answer.

One protocol object a connection and no task a request: the asking process must not be what is measured.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lalmesh.runtime.listener import socket_transport

CONNECTIONS = 64
TICK_S = 0.002  #: what has become due within it is asked together
HEAD_END = b"\r\n\r\n"


@dataclass(slots=True)
class Request:
    """One question and, later, its answer."""

    path: str
    due: float  #: by the loop, when it was to be asked
    asked: float = 0.0  #: when it was written
    answered: float = 0.0
    status: int = 0  #: 0: not answered
    body: Any = None


class _Connection(asyncio.Protocol):
    """Keep-alive, one request at a time (RFC 9112 §9.3)."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._transport: asyncio.WriteTransport | None = None
        self._request: Request | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = socket_transport(transport)

    def ask(self, request: Request, host: bytes) -> None:
        """Write a request."""
        assert self._transport is not None
        self._request, request.asked = request, self._asker.now()
        self._transport.write(b"GET " + request.path.encode() + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, rest = self._buffer.partition(HEAD_END)
        if not end:
            return
        length = _length(head)
        if len(rest) < length or self._request is None:
            return
        request, self._request, self._buffer = self._request, None, rest[length:]
        request.status, request.body = int(head[9:12]), json.loads(rest[:length])
        self._asker.answered(self, request)

    def connection_lost(self, exc: Exception | None) -> None:
        self._asker.lost(self, self.give_up())

    def give_up(self) -> Request | None:
        """What has no answer, of which nobody else hears any more."""
        request, self._request = self._request, None
        return request

    def close(self) -> None:
        """Say goodbye."""
        if self._transport is not None:
            self._transport.close()


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


class Asker:
    """Asks, and hands every answered request on."""

    def __init__(self, host: str, port: int, done: Callable[[Request], None]) -> None:
        """Ask the scheduler at `host` and `port`; `done` hears of each request once, answered or not."""
        self._address = (host, port)
        self._host = f"{host}:{port}".encode()
        self._done = done
        self._loop = asyncio.get_running_loop()
        self._free: list[_Connection] = []
        self._all: list[_Connection] = []
        self._waiting: deque[Request] = deque()
        self._again: Callable[[], str] | None = None  # what a connection asks as soon as it has an answer
        self.now = self._loop.time

    async def connect(self) -> None:
        """Open the connections."""
        for _ in range(CONNECTIONS):
            _, connection = await self._loop.create_connection(lambda: _Connection(self), *self._address)
            self._free.append(connection)
            self._all.append(connection)

    async def run(self, path: Callable[[], str], per_s: float, seconds: float) -> None:
        """Ask for what `path` gives, so often, for so long; then wait for the last answers, a second at most."""
        began, count = self.now(), 0
        total = round(per_s * seconds)
        while count < total:
            while count < min(total, (self.now() - began) * per_s):
                self._ask(Request(path(), began + count / per_s))
                count += 1
            await asyncio.sleep(TICK_S)
        await self._last_answers()

    async def run_at_most(self, path: Callable[[], str], seconds: float) -> None:
        """Ask for what `path` gives on every connection, again with each answer, for so long; then wait as `run` does."""
        self._again = path
        for connection in self._free:
            connection.ask(Request(path(), self.now()), self._host)
        self._free.clear()
        await asyncio.sleep(seconds)
        self._again = None
        await self._last_answers()

    async def _last_answers(self) -> None:
        for _ in range(100):
            if len(self._free) == len(self._all) and not self._waiting:
                return
            await asyncio.sleep(0.01)

    def close(self) -> None:
        """Let go; what has no answer yet is not answered, and is told of now."""
        left = [request for connection in self._all if (request := connection.give_up()) is not None]
        for request in (*left, *self._waiting):
            self._done(request)
        self._waiting.clear()
        for connection in self._all:
            connection.close()

    def answered(self, connection: _Connection, request: Request) -> None:
        """A connection has its answer."""
        request.answered = self.now()
        if self._waiting:
            connection.ask(self._waiting.popleft(), self._host)
        elif self._again is not None:
            connection.ask(Request(self._again(), self.now()), self._host)
        else:
            self._free.append(connection)
        self._done(request)

    def lost(self, connection: _Connection, request: Request | None) -> None:
        """A connection has gone."""
        self._all.remove(connection)
        if connection in self._free:
            self._free.remove(connection)
        if request is not None:
            self._done(request)

    def _ask(self, request: Request) -> None:
        if self._free:
            self._free.pop().ask(request, self._host)
        else:
            self._waiting.append(request)
