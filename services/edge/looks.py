"""Looking for streams that players ask for: what the scheduler says at once, and what this edge knows where nobody can say.

A scheduler that answers is always right. What the edge knows itself is where it publishes the stream, or has read it last: whoever
begins there follows the stream on as any reader does, and takes nothing that is outdated by what this edge has seen of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from lalmesh.errors import ServiceError, StreamNotFound
from lalmesh.names import StreamKey
from lalmesh.runtime.following import Demand
from lalmesh.runtime.gathering import Gatherer
from lalmesh.runtime.ownership import Location
from lalmesh.runtime.scheduling import Refusal, Refused, SchedulerClient, Wanted
from services.edge.last_places import LastPlaces
from services.edge.publisher import refusal_error

LOOK_S = 1.0  #: for the scheduler to say whether a stream is there
#: for the first units of a stream whose place is known here, before it is asked whether anybody can say where that is
KNOWN_S = 0.1


class Looks:
    """What one edge asks before it has streams, and what it knows of their places itself."""

    def __init__(self, scheduler: SchedulerClient, published: Callable[[StreamKey], Location | None], last: LastPlaces) -> None:
        """Ask `scheduler`; `published` gives where a stream is to be read that this edge publishes itself."""
        self.last = last  #: where streams were read
        self._looks = Gatherer(scheduler.locate)  # do not wait, so they go with none that do
        self._published = published

    def known(self, stream: StreamKey) -> Location | None:
        """Where this edge publishes `stream`, or has read it last."""
        return self._published(stream) or self.last.of(stream)

    async def first(self, stream: StreamKey, demand: Demand) -> ServiceError | None:
        """Return if `stream` is there; or else why nobody can say so, where this edge knows its place.

        Raises:
            StreamNotFound: nobody publishes it.
            Unavailable: nobody can say so.
        """
        answer = await self._ask(stream, demand)
        if not isinstance(answer, Refused):
            return None
        if answer.refusal is Refusal.NOT_FOUND:
            raise StreamNotFound(f"{stream}: nobody publishes it")
        unsaid = refusal_error(answer, stream)
        if answer.refusal is not Refusal.UNAVAILABLE or self.known(stream) is None:
            raise unsaid
        return unsaid

    async def beside(self, ready: asyncio.Future[None], stream: StreamKey, demand: Demand) -> ServiceError | None:
        """Wait a moment until a relay is `ready`, then ask too; why nobody can say where `stream` is, if so.

        The question that the relay waits with may be answered too late: even one that nobody can answer has its ten seconds.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KNOWN_S):
                await asyncio.shield(ready)
                return None
        answer = await self._ask(stream, demand)
        is_unsaid = isinstance(answer, Refused) and answer.refusal is Refusal.UNAVAILABLE
        return refusal_error(answer, stream) if isinstance(answer, Refused) and is_unsaid else None

    async def _ask(self, stream: StreamKey, demand: Demand) -> Location | Refused:
        answer = await self._looks.ask(Wanted(stream, at_once=True, via=demand.via, asked=demand.asked), LOOK_S)
        if isinstance(answer, Refused) and answer.refusal is Refusal.NOT_FOUND:
            self.last.forget(stream)
        return answer
