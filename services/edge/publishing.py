"""The shell of one publication: brings its units to the origins that `writing.py` says."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, assert_never

from lalmesh.media import MediaEvent
from lalmesh.names import StreamKey
from lalmesh.runtime import telemetry
from lalmesh.runtime.each_alone import for_each_alone
from lalmesh.runtime.fences import Fences
from lalmesh.runtime.follower import OriginLinks
from lalmesh.runtime.link import CloseReason, Outlet, PublicationRequest
from lalmesh.runtime.ownership import Grant, Location, NodeAddress, Place, UnitName, new_publication
from lalmesh.runtime.ring import Cursor
from lalmesh.runtime.scheduling import NOT_ASKED, AskedUrl, Claim, Move, Refusal, Refused
from lalmesh.runtime.sessions import codecs_of
from lalmesh.runtime.telemetry import Attribute, Fact, Span, SpanName, TraceContext
from services.edge.client import now_us
from services.edge.publication import UNTAKEN_BYTES, Publication, PublicationSettings
from services.edge.session import SessionMedia
from services.edge.writing import Writing
from services.edge.writing_events import (
    AllSent,
    Answered,
    AskClaim,
    AskMove,
    Close,
    Closed,
    Command,
    End,
    Event,
    Finish,
    Left,
    Open,
    Opened,
    Started,
    TimerFired,
    Told,
)

log = logging.getLogger(__name__)


class PublishingEdge(Protocol):
    """What a publication needs of its edge."""

    links: OriginLinks
    fences: Fences
    rng: random.Random
    delivery_s: float  #: that the last units of a publisher which has gone have, to reach an origin

    def __len__(self) -> int:
        """How many publications it has."""
        ...

    async def move(self, move: Move) -> Grant | Refused:
        """Ask for another origin, or have one written down."""
        ...

    async def claim_again(self, claim: Claim) -> Grant | Refused:
        """Claim anew what the registry has forgotten."""
        ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` beside the sessions, until it ends or the edge stops."""
        ...

    def closed(self, publishing: Publishing) -> None:
        """Give the claim back."""
        ...


class _Written:
    """One way of a publication to an origin, as its link sees it."""

    __slots__ = ("_cursor", "_port", "_publishing", "outlet", "span")

    def __init__(self, publishing: Publishing, port: int, span: Span) -> None:
        self._publishing = publishing
        self._port = port
        self.span = span  #: until the origin has answered
        self.outlet: Outlet | None = None
        self._cursor: Cursor | None = None  # that the origin reads by

    def over(self) -> None:
        """Nothing goes that way any more."""
        if self._cursor is not None:
            self._publishing.core.let_go(self._cursor)

    def publication_opened(self, held: UnitName | None, place: Place) -> None:
        """The origin takes units; replay what it lacks."""
        if self.outlet is not None:
            self._cursor = self._publishing.core.cursor_after(held)
            self.outlet.send_from(self._cursor)
        self.span.end()
        self._publishing.handle(Opened(self._port, place))

    def source_lost(self, location: Location) -> None:
        """The stream is somewhere else now; units go on being taken here."""
        self._publishing.handle(Told(location))

    def publication_closed(self, reason: CloseReason, detail: str) -> None:
        """The origin takes no more."""
        self.span.end(f"{reason.name} {detail}")
        self._publishing.lost(self._port, reason, detail)


class Publishing:
    """One live publication: `feed` it, `close` it. `ended` is called once where the cluster ends it, with a reason."""

    def __init__(
        self,
        edge: PublishingEdge,
        stream: StreamKey,
        settings: PublicationSettings,
        ended: Callable[[str], None],
        asked: AskedUrl = NOT_ASKED,
    ) -> None:
        """Prepare the publication; `Publishers.start` claims the stream."""
        self.stream = stream
        self.core = Publication(new_publication(), settings, lambda: UNTAKEN_BYTES // max(1, len(edge)))
        self.leaving: Callable[[], None] | None = None  #: of a publisher that takes in its last media behind its goodbye: ends that
        self._edge = edge
        self._ended = ended
        self._asked_by = asked
        self._writing: Writing | None = None  # once there is a grant
        self._written: dict[int, _Written] = {}
        self._outlets: tuple[Outlet, ...] = ()  # of those
        self._loop = asyncio.get_running_loop()
        self._asking: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None
        self.has_left = False  #: the publisher
        self._closed = False  # ... and its last units are at an origin, or had their time
        self._last_call: asyncio.TimerHandle | None = None  # the end of that
        self._is_taken = False  # by an origin
        self._over = asyncio.Event()
        self._facts = {"stream_key": str(stream)}
        self.trace: TraceContext | None = None  #: the span that its publisher was let in by
        self._opened_us = 0  # Unix microseconds when it was, until its first unit has come

    @property
    def grant(self) -> Grant | None:
        """The newest."""
        return self._writing.grant if self._writing is not None else None

    @property
    def location(self) -> Location | None:
        """Where its units are to be read, as far as it knows; None before there is a grant."""
        if self._writing is None:
            return None
        held = self._writing.held()
        return Location(stream=self.stream, place=held.place, origin=held.origin, heir=held.heir)

    def media(self) -> SessionMedia:
        """What comes from the publisher."""
        return SessionMedia(codecs_of(self.core.tracks), self.core.first_us, publication=self.core.publication)

    def feed(self, events: Iterable[MediaEvent], now_us: int) -> None:
        """Take in what a demuxer gave, received at `now_us` (Unix µs)."""
        if self.core.feed(events, now_us):
            if self._opened_us:
                self._tell_first_unit()
            for outlet in self._outlets:
                outlet.wake()

    def _tell_first_unit(self) -> None:
        telemetry.record(SpanName.FIRST_UNIT, self.trace, self._opened_us, self._attributes(), ended_us=self.core.first_us)
        self._opened_us = 0

    def _attributes(self) -> dict[Attribute, Fact]:
        return {Attribute.STREAM: str(self.stream), Attribute.PUBLICATION: self.core.publication.hex()}

    def open(self, grant: Grant, trace: TraceContext | None = None) -> None:
        """Go to the origin that the grant names; `trace` is the span that this came of."""
        self.trace, self._opened_us = trace, now_us()
        telemetry.remember_publication(self.core.publication, trace)
        self._writing = Writing(grant, self._edge.rng)
        self.core.not_taken()
        self.handle(Started())

    def lost(self, port: int, reason: CloseReason, detail: str) -> None:
        """An origin takes no more."""
        if (written := self._written.pop(port, None)) is not None:
            written.over()
            self._use_outlets()
            if not self.has_left or reason is not CloseReason.DONE:
                with telemetry.within(self.trace):
                    log.warning("publication lost an origin: %s %s", reason.name, detail, extra=self._facts)
            self.handle(Closed(port, reason, detail))

    # the shell of the core

    def handle(self, event: Event) -> None:
        """Give one event to the core and carry out what it says."""
        writing = self._writing
        if writing is None or self._closed:
            return
        try:
            for command in writing.handle(event, self._loop.time()):
                self._carry_out(command)
        except Exception:  # an encoder must not go on into nothing because of a bug
            log.exception("publication failed", extra=self._facts)
            self.end("internal error")
        if not self._closed:
            self.core.ring.place = writing.place
            if writing.is_written is not self._is_taken:
                self._is_taken = writing.is_written
                if self._is_taken:
                    self.core.taken(now_us())
                else:
                    self.core.not_taken()
            if writing.next_timer != self._timer_at:
                self._set_timer(writing.next_timer)

    def _carry_out(self, command: Command) -> None:
        match command:
            case Open(port, origin, grant, as_heir):
                replay_s = self.core.replay_us(now_us()) / 1e6
                self._open(port, origin, PublicationRequest(grant=grant, take_over_as_heir=as_heir, replay_s=replay_s))
            case Close(port):
                written = self._written.pop(port)
                outlet = written.outlet
                written.over()
                written.span.end("another origin came first")
                self._use_outlets()
                if outlet is not None:
                    outlet.close(CloseReason.SOURCE_LOST)
            case Finish(port):
                if (outlet := self._written[port].outlet) is not None:
                    outlet.close(CloseReason.DONE)
            case AllSent():
                self.give_up()
            case AskMove(move):
                self._ask(partial(self._edge.move, move))
            case AskClaim(claim):
                self._ask(partial(self._edge.claim_again, replace(claim, asked=self._asked_by)))
            case End(reason):
                self.end(reason)
            case _:
                assert_never(command)

    def _open(self, port: int, origin: NodeAddress, request: PublicationRequest) -> None:
        if request.take_over_as_heir:
            with telemetry.within(self.trace):
                log.warning("publication goes to the heir: %s", origin.node.name, extra=self._facts)
        self.core.grant(request.grant.epoch)
        self._edge.fences.see(self.stream, request.grant.epoch, self.core.publication)
        facts: dict[Attribute, Fact] = {Attribute.ORIGIN: origin.node.name, Attribute.HEIR: request.take_over_as_heir}
        span = telemetry.start(SpanName.LINK_PUBLISH, self.trace, {**self._attributes(), **facts})
        written = self._written[port] = _Written(self, port, span)
        request = replace(request, trace_context=telemetry.carried(span.context))
        written.outlet = self._edge.links.link(origin.address).publish(request, written)
        self._use_outlets()

    def _use_outlets(self) -> None:
        self._outlets = tuple(written.outlet for written in self._written.values() if written.outlet is not None)

    def _ask(self, question: Callable[[], Awaitable[Grant | Refused]]) -> None:
        self._asking = self._edge.spawn(self._asked(question))

    async def _asked(self, question: Callable[[], Awaitable[Grant | Refused]]) -> None:
        answer: Grant | Refused
        try:
            answer = await question()
        except Exception:  # a bug of ours, maybe over one of many that ask together: what is written goes on, and is asked again
            log.exception("the scheduler could not be asked", extra=self._facts)
            answer = Refused(Refusal.UNAVAILABLE, "internal error")
        else:
            if isinstance(answer, Refused):
                with telemetry.within(self.trace):
                    log.warning("the scheduler refuses: %s", answer.detail or answer.refusal.value, extra=self._facts)
        self.handle(Answered(answer))

    def _set_timer(self, at: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = None if at is None else self._loop.call_at(at, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = self._timer_at = None
        self.handle(TimerFired())

    # the end

    def end(self, reason: str) -> None:
        """The cluster ends it."""
        if self._closed:
            return
        is_alone = self.has_left or self.leaving is not None
        self.give_up()
        if not is_alone:
            self._ended(reason)

    def close(self) -> None:
        """The publisher has gone: the stream is given back once an origin has its last units, or `delivery_s` have passed."""
        if self.has_left or self._closed:
            return
        self.has_left = True
        self._take_last_media()
        if not self.core.counters.units:
            self.give_up()
            return
        self._last_call = self._loop.call_later(self._edge.delivery_s, self._give_up_late)
        self.handle(Left())

    def _take_last_media(self) -> None:
        leaving, self.leaving = self.leaving, None
        if leaving is not None:
            try:
                leaving()
            except Exception:  # a bug of ours: the stream is given back all the same
                log.exception("what came last could not be taken in", extra=self._facts)

    def _give_up_late(self) -> None:
        with telemetry.within(self.trace):
            log.warning("the last units may be lost: no origin took them in time", extra=self._facts)
        self.give_up()

    def give_up(self) -> None:
        """Give the stream back now, whatever is still on its way."""
        if self._closed:
            return
        self._closed = self.has_left = True
        self._take_last_media()
        if self._asking is not None and self._asking is not asyncio.current_task():
            self._asking.cancel()
        if self._last_call is not None:
            self._last_call.cancel()
        self._set_timer(None)
        outlets, self._outlets = self._outlets, ()
        for written in self._written.values():
            written.span.end("the publisher has gone")
        self._written.clear()
        for_each_alone(outlets, lambda outlet: outlet.close(CloseReason.DONE), "a way to an origin could not be closed")
        self._edge.closed(self)
        self._over.set()

    async def over_within(self, limit_s: float) -> None:
        """Wait until it is closed, or `limit_s` have passed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._over.wait()
