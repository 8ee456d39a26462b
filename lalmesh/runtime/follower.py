"""Following a stream: one subscription, kept through whatever happens to its origin (docs/design.md §5, Origin lost).

The reader's memory decides where to go on. The follower finds the stream, subscribes after the last unit that the reader has, and
finds it again wherever it goes, until it ends.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lalmesh.names import StreamKey
from lalmesh.runtime.link import CloseReason, OriginLink, Subscription, SubscriptionRequest
from lalmesh.runtime.ownership import NO_EPOCH, NO_PLACE, Epoch, Location, Place
from lalmesh.runtime.reader import Reader
from lalmesh.runtime.ring import Run
from lalmesh.runtime.scheduling import MAX_LOCATE_S, Refused, SchedulerClient, Wanted

log = logging.getLogger(__name__)

FIRST_RETRY_S = 0.05  #: before an origin is tried again
MAX_RETRY_S = 1.0  #: pauses double up to this
BROKEN_LINK_WAIT_S = 0.2  #: for word that the stream has moved, before the same origin is tried again
OTHER_WAIT_S = 3.0  #: the same after any other end of a subscription
UNREACHABLE = "no origin could be reached"


class OriginLinks(Protocol):
    """Where links to origins come from."""

    def link(self, address: str) -> OriginLink:
        """The link to the origin at ``host:port``."""
        ...


@dataclass(slots=True, frozen=True, kw_only=True)
class FollowSettings:
    """How a follower waits and gives up."""

    lost_s: float = 30.0  #: how long to look for a stream while no origin has it
    awaits_first: bool = False  #: look without end for a stream of which nothing has come yet: whoever wants it says how long
    keep_s: float = 0.0  #: how much of the stream its origin is asked to keep for a successor


class Follower:
    """One stream on its way to one reader. Run `run` as a task."""

    def __init__(
        self,
        stream: StreamKey,
        scheduler: SchedulerClient,
        links: OriginLinks,
        settings: FollowSettings,
        reader: Reader,
        deliver: Callable[[Run], None],
    ) -> None:
        """Prepare.

        Args:
            stream: what to follow.
            scheduler: who knows where it is.
            links: to the origins.
            settings: how to wait.
            reader: whose memory says what is new; the caller may have filled it.
            deliver: takes what the reader gives; must not block.
        """
        self.reader = reader
        self.deliver = deliver  #: may be replaced at any time
        self.refused: Refused | None = None  #: why the scheduler could not say where the stream is, when it was asked last
        self._stream = stream
        self._scheduler = scheduler
        self._links = links
        self._settings = settings
        self._location: Location | None = None  # of the present subscription
        self._closed: asyncio.Future[tuple[CloseReason, str]] | None = None  # of the present subscription
        self._delivered = False  # whether the present subscription has opened
        self._facts = {"stream_key": str(stream)}

    async def run(self) -> str:
        """Stay subscribed until the stream ends. Gives why it ended."""
        location: Location | None = None
        lost_since: float | None = None
        retry_s = FIRST_RETRY_S
        loop = asyncio.get_running_loop()
        while True:
            if location is None:
                location = await self._locate(NO_PLACE if lost_since is None else self.reader.place, MAX_LOCATE_S)
            if location is not None:
                reason, detail = await self._subscribe(location)
                log.info("subscription ended: %s %s", reason.name, detail, extra=self._facts)
                if reason is CloseReason.STREAM_ENDED:
                    return detail
                if self._delivered:
                    lost_since, retry_s = None, FIRST_RETRY_S
                location = await self._next_location(location, reason)
            now = loop.time()
            lost_since = now if lost_since is None else lost_since
            if now - lost_since > self._settings.lost_s and not self._awaits_first:
                return UNREACHABLE
            await asyncio.sleep(retry_s * random.uniform(0.5, 1.0))
            retry_s = min(MAX_RETRY_S, retry_s * 2)

    @property
    def _awaits_first(self) -> bool:
        return self._settings.awaits_first and self.reader.last is None

    def moved(self, location: Location) -> None:
        """The stream is somewhere else now: leave a lower place."""
        present = self._location
        if present is None or location.place <= max(self.reader.place, present.place):
            return
        if location.origin == present.origin:  # the same group, claimed anew
            self._location = location
        else:
            self.subscription_closed(CloseReason.SOURCE_LOST, f"moved to {location.origin.node.name}")

    # what the subscription calls

    def subscription_opened(self, epoch: Epoch, place: Place) -> None:
        """The origin has the group; without an epoch it waits for the publication as we do."""
        if epoch == NO_EPOCH:
            return
        if self.reader.moved(epoch, place):
            self._delivered = True
        else:
            self.subscription_closed(CloseReason.FENCED, "outdated origin")

    def receive(self, run: Run) -> None:
        """The next units."""
        fresh = self.reader.receive(run)
        if fresh is None:
            return
        if fresh.missing:
            log.warning("%d units missing", fresh.missing, extra=self._facts)
        self.deliver(fresh)

    def source_lost(self, location: Location) -> None:
        """See `moved`."""
        self.moved(location)

    def subscription_closed(self, reason: CloseReason, detail: str) -> None:
        """No more comes from there."""
        if self._closed is not None and not self._closed.done():
            self._closed.set_result((reason, detail))

    # the parts of `run`

    async def _locate(self, after: Place, wait_s: float) -> Location | None:
        wanted = Wanted(self._stream, None if after == NO_PLACE else after)
        answer = (await self._scheduler.locate([wanted], wait_s))[0]
        self.refused = answer if isinstance(answer, Refused) else None
        return answer if isinstance(answer, Location) else None

    async def _next_location(self, location: Location, reason: CloseReason) -> Location | None:
        """Where to go on: where the scheduler says the stream has moved to; else, after a broken link, the same origin again."""
        wait_s = BROKEN_LINK_WAIT_S if reason is CloseReason.LINK_LOST else OTHER_WAIT_S
        found = await self._locate(location.place, wait_s)
        if found is not None:
            return found
        return location if reason in (CloseReason.LINK_LOST, CloseReason.DRAINING, CloseReason.NOT_FOUND) else None

    async def _subscribe(self, location: Location) -> tuple[CloseReason, str]:
        self._closed = asyncio.get_running_loop().create_future()
        self._delivered = False
        self._location = location
        request = SubscriptionRequest(
            stream=self._stream, place=location.place, after=self.reader.last, keep_s=self._settings.keep_s
        )
        subscription: Subscription = self._links.link(location.origin.address).subscribe(request, self)
        try:
            return await self._closed
        finally:
            subscription.close()
