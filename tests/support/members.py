"""Nodes that are nothing but members of a cluster: they report, keep what they are told, and claim."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Grant, NodeAddress, NodeId, new_incarnation, new_publication
from lalmesh.runtime.scheduling import (
    Capacity,
    Claim,
    HeldStream,
    Membership,
    NodeCommand,
    NodeReport,
    Refused,
    Role,
    SchedulerClient,
)

LIMIT_S = 30.0  #: of every wait in a test
LOOK_S = 0.02  #: between two looks


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait until `holds()`, for `LIMIT_S` at most."""
    for _ in range(round(LIMIT_S / LOOK_S)):
        if holds():
            return
        await asyncio.sleep(LOOK_S)
    raise AssertionError(f"did not come true in {LIMIT_S} s")


@dataclass
class Member:
    """A node in the test's process. Use it as a context: it joins, and vanishes at the end without a word."""

    name: str
    role: Role
    client: SchedulerClient
    machine: str = ""
    streams: int = 0  #: capacity
    incarnation: bytes = field(default_factory=new_incarnation)
    held: list[HeldStream] = field(default_factory=list)
    commands: list[NodeCommand] = field(default_factory=list)
    interval_s: float = 0.1
    silence_s: float = 2.0

    def __post_init__(self) -> None:
        self.address = NodeAddress(NodeId(self.name, self.incarnation), f"{self.name}:50052")
        self.membership = Membership(
            self.client.join, self.report, self.commands.append, interval_s=self.interval_s, silence_s=self.silence_s
        )
        self._task: asyncio.Task[None] | None = None

    def report(self) -> NodeReport:
        return NodeReport(
            node=self.address,
            role=self.role,
            machine=self.machine or self.name,
            capacity=Capacity(streams=self.streams),
            streams=tuple(self.held),
            version="1.0",
        )

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.membership.run())
        async with asyncio.timeout(LIMIT_S):
            await self.membership.joined.wait()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.vanish()

    async def vanish(self) -> None:
        """Stop without a word."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def claim(self, stream: StreamKey, publication: bytes = b"", *, take_over: bool = False) -> Grant | Refused:
        """Ask for one stream, with a fresh publication by default."""
        asked = Claim(stream=stream, publication=publication or new_publication(), take_over=take_over)
        return (await self.client.claim(self.address, [asked], LIMIT_S))[0]

    async def granted(self, stream: StreamKey, publication: bytes = b"", *, take_over: bool = False) -> Grant:
        """The same where it must not be refused."""
        result = await self.claim(stream, publication, take_over=take_over)
        assert isinstance(result, Grant), result
        return result

    async def granted_in_time(self, stream: StreamKey) -> Grant:
        """The same where it may be refused for a while: what is asked for is asked for again until it is granted."""
        publication = new_publication()
        for _ in range(round(LIMIT_S / LOOK_S)):
            if isinstance(result := await self.claim(stream, publication), Grant):
                return result
            await asyncio.sleep(LOOK_S)
        raise AssertionError(f"{stream} was not granted in {LIMIT_S} s")

    async def told(self, kind: type[NodeCommand]) -> NodeCommand:
        """The first command of a kind, now or soon."""
        await eventually(lambda: any(isinstance(command, kind) for command in self.commands))
        return next(command for command in self.commands if isinstance(command, kind))
