"""Telling of streams that players want and nobody publishes: soon after somebody begins to wait for one.

Whoever starts publishers when somebody wants to watch hears of it in time so. A stream that is there has come within `NOTICE_S`;
for one that has not, the scheduler is asked. What a relay is about to bring is told of only if it has not come when the wait is
over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lalmesh.errors import ServiceError, StreamNotFound
from lalmesh.names import StreamKey
from lalmesh.runtime.follower import Locates
from lalmesh.runtime.following import Demand
from lalmesh.runtime.scheduling import Refusal, Refused, Wanted
from services.edge.client import Client
from services.edge.client_events import ClientEvents

NOTICE_S = 0.1  #: from the beginning of a wait to the question whether anybody publishes the stream
LOOK_S = 0.9  #: for the answer; unlike the deadlines of others, so that it goes with no question that waits


@dataclass(slots=True)
class _Wait:
    """One player's."""

    client: Client
    is_told: bool = False


class MissingStreams:
    """Those that players of one edge wait for."""

    def __init__(self, locates: Locates, events: ClientEvents) -> None:
        """Ask `locates` for them, tell `events`."""
        self._locates = locates
        self._events = events
        self._looks: dict[StreamKey, asyncio.Task[None]] = {}

    @contextmanager
    def told(self, stream: StreamKey, client: Client, demand: Demand) -> Iterator[None]:
        """While `client` waits for `stream` inside, say that it is missing: at the beginning, or else when it was not found."""
        wait = _Wait(client)
        timer = asyncio.get_running_loop().call_later(NOTICE_S, self._look, stream, wait, demand)
        try:
            yield
        except StreamNotFound:
            if not wait.is_told:
                self._events.not_found(stream, client)
            raise
        finally:
            timer.cancel()

    def _look(self, stream: StreamKey, wait: _Wait, demand: Demand) -> None:
        if stream not in self._looks:
            task = self._looks[stream] = asyncio.get_running_loop().create_task(self._ask(stream, wait, demand))
            task.add_done_callback(lambda _: self._looks.pop(stream))

    async def _ask(self, stream: StreamKey, wait: _Wait, demand: Demand) -> None:
        wanted = Wanted(stream, at_once=True, via=demand.via)  # who waits has told by which URL
        try:
            answer = await self._locates.ask(wanted, LOOK_S)
        except ServiceError:
            return
        if isinstance(answer, Refused) and answer.refusal is Refusal.NOT_FOUND and not answer.retry_after_s:
            wait.is_told = True
            self._events.not_found(stream, wait.client)
