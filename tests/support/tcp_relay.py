"""A way between two TCP ports that a test makes long, or cuts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from support.ports import LOOPBACK

START_S = 10.0
READ_BYTES = 1 << 16


class TcpRelay:
    """Carries what comes to it on to another port, and back. It runs in a thread: a context manager."""

    def __init__(self, target_port: int, *, host: str = LOOPBACK, port: int = 0) -> None:
        """Lead from `host` and `port` (0: a free one) to `target_port` of loopback, from when the block is entered."""
        self.delay_s = 0.0  #: that each byte takes, either way
        self.host, self.port = host, port
        self._target_port = target_port
        self._is_cut = False
        self._open: set[asyncio.StreamWriter] = set()
        self._carrying: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None
        self._listens = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def cut(self) -> None:
        """End every connection, and those that come."""
        self._is_cut = True
        self._soon(self._end_all)

    def mend(self) -> None:
        """Take connections again."""
        self._is_cut = False

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._listens.wait(START_S):
            raise AssertionError("the relay does not listen")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._over is not None
        self._soon(self._over.set)
        self._thread.join()

    def _soon(self, work: Callable[[], None]) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(work)

    async def _run(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._carry, self.host, self.port)
        self.port = server.sockets[0].getsockname()[1]
        self._listens.set()
        await self._over.wait()
        server.close()
        self._end_all()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    def _end_all(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        try:
            to_reader, to_writer = await asyncio.open_connection(LOOPBACK, self._target_port)
        except OSError:
            writer.transport.abort()
            return
        ends, task = {writer, to_writer}, asyncio.current_task()
        assert task is not None
        self._open |= ends
        self._carrying.add(task)
        try:
            await asyncio.gather(self._pump(reader, to_writer), self._pump(to_reader, writer))
        finally:
            self._open -= ends
            self._carrying.discard(task)
            for end in ends:
                end.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One way, in order also where the way has become shorter."""
        loop, due = asyncio.get_running_loop(), 0.0
        with suppress(OSError):
            while data := await reader.read(READ_BYTES):
                due = max(due, loop.time() + self.delay_s)
                loop.call_at(due, writer.write, data)
        loop.call_at(max(due, loop.time()), writer.close)
