"""Schedulers over the simulated network: `GrpcSchedulerClient` and its server in short, with the same policy.

A client sticks to a replica that answers and turns to the next where it does not; each gets its share of the time that is left.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from lalmesh.errors import RemoteProtocolError, Unavailable
from lalmesh.runtime.events import Event
from lalmesh.runtime.ownership import Grant, HlsOwner, Location, NodeAddress
from lalmesh.runtime.scheduling import (
    MAX_LOCATE_S,
    Claim,
    HlsLimit,
    HlsReleased,
    HlsWanted,
    Move,
    NamedStreams,
    NodeCommand,
    NodeReport,
    Refusal,
    Refused,
    Released,
    Wanted,
)
from lalmesh.runtime.sessions import SessionTouch
from services.scheduler import SchedulerService
from simulation.connections import End
from simulation.inbox import Inbox, settle
from simulation.network import Network
from simulation.world import Process

PORT = "scheduler"
RETRY_AFTER_S = 0.5
MARGIN = 0.8  #: what is left of a caller's deadline for the work

_Item = TypeVar("_Item")


class SimulatedScheduler:
    """The `HlsSchedulerClient` of one node."""

    def __init__(self, network: Network, process: Process, replicas: Sequence[str]) -> None:
        self._network = network
        self._process = process
        self._replicas = list(replicas)
        self._current = random.randrange(len(self._replicas))

    async def claim(self, edge: NodeAddress, claims: Sequence[Claim], deadline_s: float) -> list[Grant | Refused]:
        return await self._refusing(claims, "claim", deadline_s, edge, claims)

    async def move(self, edge: NodeAddress, moves: Sequence[Move], deadline_s: float) -> list[Grant | Refused]:
        return await self._refusing(moves, "move", deadline_s, edge, moves)

    async def locate(self, wanted: Sequence[Wanted], deadline_s: float) -> list[Location | Refused]:
        return await self._refusing(wanted, "locate", min(deadline_s, MAX_LOCATE_S + 1.0), wanted, patient=True)

    async def release(
        self, node: NodeAddress, *, claims: Sequence[Released] = (), groups: Sequence[Released] = (), deadline_s: float
    ) -> list[bool]:
        released: list[bool] = await self._ask("release", deadline_s, node, tuple(claims), tuple(groups))
        return released

    async def locate_hls(self, node: NodeAddress, wanted: Sequence[HlsWanted], deadline_s: float) -> list[HlsOwner | Refused]:
        return await self._refusing(wanted, "locate_hls", deadline_s, node, wanted)

    async def raise_hls_limit(self, node: NodeAddress, limits: Sequence[HlsLimit], deadline_s: float) -> list[bool]:
        raised: list[bool] = await self._ask("raise_hls_limit", deadline_s, node, limits)
        return raised

    async def release_hls(self, node: NodeAddress, released: Sequence[HlsReleased], deadline_s: float) -> list[bool]:
        done: list[bool] = await self._ask("release_hls", deadline_s, node, released)
        return done

    async def tell_events(self, node: NodeAddress, events: Sequence[Event], deadline_s: float) -> None:
        """Nobody hears of them here."""

    async def touch_sessions(self, node: NodeAddress, sessions: Sequence[SessionTouch], deadline_s: float) -> None:
        """Nobody counts players here."""

    async def find_streams(self, names: Sequence[str], deadline_s: float) -> list[NamedStreams]:
        found: list[NamedStreams] = await self._ask("find_streams", deadline_s, names)
        return found

    async def join(self, reports: AsyncIterator[NodeReport]) -> AsyncGenerator[NodeCommand, None]:
        replica = self._replicas[self._current]
        end = self._network.connect(self._process, replica, PORT)
        inbox = Inbox(self._process, end)
        sending = self._process.create_task(_send_all(reports, end))
        try:
            async for (command,) in inbox:
                yield command
        finally:
            sending.cancel()
            end.close()
            self._leave(replica)

    async def _refusing(self, items: Sequence[Any], method: str, deadline_s: float, *args: Any, patient: bool = False) -> list[Any]:
        """The answers; every item refused where there is none."""
        try:
            answers: list[Any] = await self._ask(method, deadline_s, *args, patient=patient)
        except (Unavailable, RemoteProtocolError) as exc:
            answers = [Refused(Refusal.UNAVAILABLE, str(exc), RETRY_AFTER_S)] * len(items)
        return answers

    async def _ask(self, method: str, deadline_s: float, *args: Any, patient: bool = False) -> Any:
        end_s, reason = self._process.time() + deadline_s, "no time left"
        for remaining in range(len(self._replicas), 0, -1):
            replica, left_s = self._replicas[self._current], end_s - self._process.time()
            if left_s <= 0:
                break
            try:
                return await self._ask_one(replica, method, left_s if patient else left_s / remaining, args)
            except (TimeoutError, ConnectionRefusedError) as error:
                reason = f"scheduler {replica}: {error!r}"
                self._leave(replica)
        raise Unavailable(reason, retry_after_s=RETRY_AFTER_S)

    async def _ask_one(self, replica: str, method: str, timeout_s: float, args: tuple[Any, ...]) -> Any:
        answered: asyncio.Future[Any] = self._process.create_future()
        self._network.call(self._process, replica, PORT + ".call", partial(settle, answered), method, timeout_s * MARGIN, args)
        async with asyncio.timeout(timeout_s):
            result = await answered
        if isinstance(result, Exception):
            raise result
        return result

    def _leave(self, replica: str) -> None:
        if self._replicas[self._current] == replica:
            self._current = (self._current + 1) % len(self._replicas)


async def _send_all(messages: AsyncIterator[object], end: End) -> None:
    async for message in messages:
        end.send(message)


def serve_scheduler(network: Network, process: Process, service: SchedulerService) -> None:
    """Let nodes reach `service`."""
    network.serve(process, PORT + ".call", lambda reply, *asked: process.create_task(_answer(service, reply, *asked)))
    network.serve(process, PORT, lambda _process, end, _source: process.call_soon(_serve_join, process, service, end))


async def _answer(
    service: SchedulerService, reply: Callable[[Any], None], method: str, deadline_s: float, args: tuple[Any, ...]
) -> None:
    try:
        if method == "release":
            node, claims, groups = args
            result: Any = await service.release(node, claims=claims, groups=groups, deadline_s=deadline_s)
        else:
            result = await getattr(service, method)(*args, deadline_s)
    except (Unavailable, RemoteProtocolError) as error:
        result = error
    reply(result)


def _serve_join(process: Process, service: SchedulerService, end: End) -> None:
    """One membership stream."""
    inbox = Inbox(process, end)

    async def serve() -> None:
        commands = service.join(_reports(inbox))
        try:
            with suppress(Unavailable):
                await _send_all(commands, end)
        finally:
            end.close()
            await commands.aclose()

    serving = process.create_task(serve())
    over = end.closed

    def closed(reason: str) -> None:
        over(reason)
        serving.cancel()

    end.closed = closed


async def _reports(inbox: Inbox) -> AsyncIterator[NodeReport]:
    async for (report,) in inbox:
        yield report
