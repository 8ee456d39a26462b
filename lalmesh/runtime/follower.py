"""Following a stream: one reader's subscriptions, kept through whatever happens to its origin (docs/design.md §5, Origin lost).

What to do the core decides (`lalmesh.runtime.following`); this carries it out.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias, assert_never

from lalmesh.names import StreamKey
from lalmesh.runtime import telemetry
from lalmesh.runtime.durations import Durations
from lalmesh.runtime.following import (
    UNREACHABLE,
    Closed,
    Command,
    Delivered,
    Event,
    Finish,
    Following,
    FollowSettings,
    Locate,
    NotLocated,
    Opened,
    Started,
    Subscribe,
    TimerFired,
    Told,
    Unsubscribe,
)
from lalmesh.runtime.gathering import Gatherer
from lalmesh.runtime.link import CloseReason, OriginLink, Subscription, SubscriptionRequest
from lalmesh.runtime.ownership import NO_PLACE, Epoch, Location, Place
from lalmesh.runtime.reader import Reader
from lalmesh.runtime.ring import Run
from lalmesh.runtime.scheduling import Refused, Wanted

__all__ = ["UNREACHABLE", "FollowSettings", "Follower", "Locates", "OriginLinks"]

log = logging.getLogger(__name__)

#: Asks where streams are; one for all followers of a node, so that those that lose an origin together ask together.
Locates: TypeAlias = Gatherer[Wanted, Location | Refused]


class OriginLinks(Protocol):
    """Where links to origins come from."""

    def link(self, address: str) -> OriginLink:
        """The link to the origin at ``host:port``."""
        ...


class _Subscribed:
    """One subscription, as its link sees it."""

    __slots__ = ("_follower", "_is_first", "_is_settled", "_place", "_port", "subscription")

    def __init__(self, follower: Follower, port: int) -> None:
        self._follower = follower
        self._port = port
        self._is_settled = False
        self._is_first = True  # until something new has come
        self._place = NO_PLACE  # of the newest units
        self.subscription: Subscription | None = None

    def subscription_opened(self, epoch: Epoch, place: Place) -> None:
        """The origin has the group, or waits for the publication as we do."""
        self._follower.handle(Opened(self._port, epoch, place))

    def receive(self, run: Run) -> None:
        """The next units."""
        follower = self._follower
        if not self._is_settled:
            self._is_settled = follower.settles(self._port, run)
            if not self._is_settled:
                follower.reader.refuse(run)
                return
        elif run.place != self._place:  # its origin has another heir, or was one
            follower.handle(Delivered(self._port, run.epoch, run.place))
        self._place = run.place
        fresh = follower.reader.receive(run)
        if fresh is None:
            return
        follower.reader.delay_us = time.time_ns() // 1000 - fresh.units[0].wall_us
        if self._is_first:
            self._is_first = False
            follower.gap_over()
        follower.last_s = follower.clock()
        if fresh.publication != follower.publication:
            follower.publication = fresh.publication
            follower.begun(fresh)
        if fresh.missing:
            follower.log_missing(fresh.missing)
        follower.deliver(fresh)

    def source_lost(self, location: Location) -> None:
        """The stream is somewhere else; what is there goes on coming."""
        self._follower.handle(Told(location))

    def subscription_closed(self, reason: CloseReason, detail: str) -> None:
        """No more comes from there."""
        self._follower.closed(self._port, reason, detail)


class Follower:
    """One stream on its way to one reader. Run `run` as a task."""

    def __init__(
        self,
        stream: StreamKey,
        locates: Locates,
        links: OriginLinks,
        settings: FollowSettings,
        reader: Reader,
        deliver: Callable[[Run], None],
        rng: random.Random | None = None,
    ) -> None:
        """Prepare.

        Args:
            stream: what to follow.
            locates: asks the scheduler where it is.
            links: to the origins.
            settings: how to wait.
            reader: whose memory says what is new; the caller may have filled it.
            deliver: takes what the reader gives; must not block.
            rng: spreads the pauses; a fresh one by default.
        """
        self.reader = reader
        self.deliver = deliver  #: may be replaced at any time
        self.publication = reader.last.publication if reader.last is not None else b""  #: of what came last
        self.begun: Callable[[Run], None] = lambda _: None  #: hears of the first units of each publication
        self.gaps: Durations | None = None  #: where it is counted how long nothing came as its origin was lost or moved
        self.last_s = 0.0  #: when something came last; 0: nothing has
        self.refused: Refused | None = None  #: why the scheduler could not say where the stream is, when it was asked last
        self._stream = stream
        self._locates = locates
        self._links = links
        self._keep_s = settings.keep_s
        self._demand = settings.demand
        self._core = Following(settings, reader, rng or random.Random())
        self._loop = asyncio.get_running_loop()
        self.clock = self._loop.time
        self._over: asyncio.Future[str] = self._loop.create_future()
        self._subscribed: dict[int, _Subscribed] = {}
        self._locating: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None
        self._facts = {"stream_key": str(stream)}

    async def run(self) -> str:
        """Stay subscribed until the stream ends. Gives why it ended."""
        try:
            self.handle(Started())
            return await self._over
        finally:
            self._over.cancel()
            for port in list(self._subscribed):
                self._unsubscribe(port)
            if self._timer is not None:
                self._timer.cancel()
            if self._locating is not None:
                self._locating.cancel()

    @property
    def location(self) -> Location | None:
        """Where the stream is followed, or was said to be where that is higher; None: nobody has said."""
        return self._core.known(self._stream)

    def moved(self, location: Location) -> None:
        """The scheduler says where the stream is now; or, while none answers, whoever else knows where it was."""
        self.handle(Told(location))

    # what subscriptions call

    def settles(self, port: int, run: Run) -> bool:
        """The first units of a subscription: whether it is the one to follow from now on."""
        self.handle(Delivered(port, run.epoch, run.place))
        return self._core.settled and self._core.followed == port

    def closed(self, port: int, reason: CloseReason, detail: str) -> None:
        """A subscription has ended."""
        if self._subscribed.pop(port, None) is not None:
            with self._traced():
                log.info("subscription ended: %s %s", reason.name, detail, extra=self._facts)
            self.handle(Closed(port, reason, detail))

    def gap_over(self) -> None:
        """The first units of another subscription have come: nothing came until then, for as long as this counts."""
        if self.last_s and self.gaps is not None:
            self.gaps.add(self.clock() - self.last_s)

    def log_missing(self, count: int) -> None:
        """Units were lost on the way."""
        with self._traced():
            log.warning("%d units missing", count, extra=self._facts)

    def _traced(self) -> AbstractContextManager[None]:
        """Within the trace of what was read last: log lines name it."""
        last = self.reader.last
        return telemetry.within(telemetry.of_publication(last.publication) if last is not None else None)

    # the shell of the core

    def handle(self, event: Event) -> None:
        """Give one event to the core and carry out what it says. A core that fails, which is a bug of ours, ends `run`."""
        if self._over.done():
            return
        try:
            for command in self._core.handle(event, self._loop.time()):
                self._carry_out(command)
            if self._core.next_timer != self._timer_at:
                self._set_timer()
        except Exception as error:
            if not self._over.done():
                self._over.set_exception(error)

    def _carry_out(self, command: Command) -> None:
        match command:
            case Subscribe(port, origin, place):
                request = SubscriptionRequest(stream=self._stream, place=place, after=self.reader.last, keep_s=self._keep_s)
                subscribed = self._subscribed[port] = _Subscribed(self, port)
                subscribed.subscription = self._links.link(origin.address).subscribe(request, subscribed)
            case Unsubscribe(port):
                self._unsubscribe(port)
            case Locate(after, wait_s, unreachable):
                via, asked = self._demand
                wanted = Wanted(self._stream, None if after == NO_PLACE else after, unreachable, via=via, asked=asked)
                self._locating = self._loop.create_task(self._locate(wanted, wait_s))
            case Finish(reason):
                self._over.set_result(reason)
            case _:
                assert_never(command)

    def _unsubscribe(self, port: int) -> None:
        subscribed = self._subscribed.pop(port)
        if subscribed.subscription is not None:
            subscribed.subscription.close()

    async def _locate(self, wanted: Wanted, wait_s: float) -> None:
        try:
            answer = await self._locates.ask(wanted, wait_s)
        except Exception as error:
            if not self._over.done():
                self._over.set_exception(error)
            return
        self.refused = answer if isinstance(answer, Refused) else None
        if isinstance(answer, Refused):
            self.handle(NotLocated(answer.retry_after_s))
        else:
            self.handle(Told(answer, asked=True))

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._core.next_timer
        self._timer = None if self._timer_at is None else self._loop.call_at(self._timer_at, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = self._timer_at = None
        self.handle(TimerFired())
