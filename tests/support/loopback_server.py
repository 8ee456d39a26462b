"""What servers of tests have in common that run in the loop of a test: a port, a task for each connection, and the end of all."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from support.ports import LOOPBACK


class LoopbackServer(ABC):
    """A TCP server on a free port of loopback while its block lasts: ``async with``."""

    def __init__(self) -> None:
        """It does not listen yet."""
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._resources = ExitStack()  # closed when no connection is left

    @abstractmethod
    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, which is closed when this returns, or raises OSError."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._resources.close()
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self.serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
