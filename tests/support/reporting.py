"""Nodes that are nothing but membership streams, whose every report a test sends itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from lalmesh.runtime.ownership import NodeAddress
from lalmesh.runtime.scheduling import Capacity, HeldStream, Joined, Load, NodeCommand, NodeReport, Role
from services.scheduler import SchedulerService

SOON_S = 5.0  #: of every wait in a test


class Node:
    """A membership stream whose every report the test sends itself."""

    def __init__(self, service: SchedulerService, address: NodeAddress, role: Role, *, worker_of: str = "") -> None:
        self.address, self.role, self.worker_of = address, role, worker_of
        self._service = service
        self._reports: asyncio.Queue[NodeReport | None] = asyncio.Queue()
        self.commands = service.join(self._sent())

    async def _sent(self) -> AsyncIterator[NodeReport]:
        while (report := await self._reports.get()) is not None:
            yield report

    def report_soon(self) -> None:
        """Send a report and wait for nothing."""
        self._reports.put_nowait(self._report())

    def _report(self, **more: Any) -> NodeReport:
        return replace(NodeReport(node=self.address, role=self.role, worker_of=self.worker_of), **more)

    async def is_let_go(self) -> bool:
        """Send a report; whether the stream then ends without another word than answers."""
        self.report_soon()
        async with asyncio.timeout(SOON_S):
            return all([isinstance(command, Joined) async for command in self.commands])

    async def report(self, *, leaving: bool = False, draining: bool = False, streams: tuple[HeldStream, ...] = ()) -> NodeCommand:
        """Send a report and wait for the next command."""
        self._reports.put_nowait(self._report(leaving=leaving, draining=draining, streams=streams))
        async with asyncio.timeout(SOON_S):
            return await anext(self.commands)

    async def carries(self, load: Load, capacity: Capacity) -> None:
        """Send a report of how loaded it is and wait for the answer."""
        self._reports.put_nowait(self._report(load=load, capacity=capacity))
        async with asyncio.timeout(SOON_S):
            assert isinstance(await anext(self.commands), Joined)

    async def told(self, *, streams: tuple[HeldStream, ...] = (), draining: bool = False) -> list[NodeCommand]:
        """Send a report; what comes until it is answered, and compared."""
        self._reports.put_nowait(self._report(streams=streams, draining=draining))
        heard: list[NodeCommand] = []
        async with asyncio.timeout(SOON_S):
            while not isinstance(command := await anext(self.commands), Joined):
                heard.append(command)
            await settle()
            session = self._service.members.of(self.address.node)
            while session is not None and session.has_commands:
                heard.append(await anext(self.commands))
        return heard

    async def end(self) -> None:
        """End the stream without a word."""
        self._reports.put_nowait(None)
        async with asyncio.timeout(SOON_S):
            assert [command async for command in self.commands] == []


async def settle() -> None:
    """Let everything happen that waits for nothing but its turn."""
    for _ in range(50):
        await asyncio.sleep(0)
