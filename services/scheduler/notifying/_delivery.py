"""Delivery: each receiver reads each shard of the log by a cursor of its own.

A receiver that is slow or away delays no other. Within a shard events of one stream go one after the other, in order, those of up
to `STREAMS_AT_ONCE` streams beside each other. An event that is not taken is tried again with growing pauses, and holds up the rest
of its stream at once, and of its shard when what was read with it (`PAGE` events) is done; after the receiver's `give_up_s` it
becomes a dead letter, and what is behind it goes on. So it does after `MISFITS` attempts where the receiver is well and takes other
events, of whatever shard: it is this one that it cannot take. The cursor is written behind what was taken, so a scheduler that
dies has another one send a page again at most, under the same ids.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from lalmesh.errors import Unavailable
from lalmesh.runtime import telemetry
from lalmesh.runtime.event_kinds import EventKind
from lalmesh.runtime.event_log import DeadLetter, EventCursor, EventLog, LoggedEvent
from lalmesh.runtime.events import Event
from lalmesh.runtime.notify import Receiver
from lalmesh.runtime.telemetry import Attribute, Span, SpanName
from services.scheduler.notifying._formats import About, kind_of, message_of
from services.scheduler.notifying._metrics import NotifyMetrics
from services.scheduler.notifying._news import News
from services.scheduler.notifying._sink import DeliveryError, Sink
from services.scheduler.notifying._traces import StreamTraces

log = logging.getLogger(__name__)

PAGE = 64  #: events that are read at a time, and that may be sent again when a scheduler dies
STREAMS_AT_ONCE = 8  #: of one shard and receiver: 128 requests to a receiver at most
REFUSALS = 5  #: answers that say never after which an event is given up at once
MISFITS = 20  #: attempts between which the receiver took something else, after which an event is given up: some 7 minutes at least
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0  #: after an attempt that failed; pauses double
LOG_AWAY_S = 0.5  #: after the log did not answer


@dataclass(slots=True, frozen=True, kw_only=True)
class DeliverySettings:
    """Who is told, and by whom."""

    receivers: tuple[Receiver, ...] = ()
    about: About = field(default_factory=About)


@dataclass(slots=True)
class ReceiverState:
    """How it goes with a receiver, as far as this replica delivers to it."""

    delivered: int = 0
    failures: int = 0  #: attempts
    dead: int = 0
    lost: int = 0
    error: str = ""  #: of the last attempt that failed; empty once one has succeeded
    failing_since_us: int = 0  #: 0: the last attempt has succeeded


class Delivery:
    """One receiver and one shard. Run `run` as a task for as long as this replica has the duty of the shard."""

    def __init__(
        self,
        log_of_events: EventLog,
        sink: Sink,
        receiver: Receiver,
        shard: int,
        *,
        about: About,
        since_ms: int,
        state: ReceiverState,
        metrics: NotifyMetrics,
        news: News,
        rng: random.Random | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare.

        Args:
            log_of_events: what is read.
            sink: brings messages.
            receiver: whom to.
            shard: of which events.
            about: who tells.
            since_ms: a receiver that nobody knows begins with what is told from this on, Unix milliseconds.
            state: of the receiver, where all shards count.
            metrics: where to count.
            news: tells when the log has something new.
            rng: spreads pauses; a fresh one by default.
            wall_clock: Unix seconds.
        """
        self._log = log_of_events
        self._sink = sink
        self._receiver = receiver
        #: its name
        self.receiver = receiver.name
        self._shard = shard
        self._about = about
        self._since_ms = since_ms
        self._state = state
        self._metrics = metrics
        self._news = news
        self._rng = rng or random.Random()
        self._wall_clock = wall_clock
        self._facts = {"receiver": receiver.name, "shard": shard}
        self._traces = StreamTraces()
        #: number of the last event that it is done with; 0: not known yet
        self.count = 0
        #: whether there was nothing to deliver when it looked last
        self.is_idle = False

    async def run(self) -> None:
        """Deliver, without end."""
        cursor: EventCursor | None = None
        while True:
            try:
                if cursor is None:
                    cursor = await self._log.cursor(self._shard, self._receiver.name, self._since_ms)
                    self.count = cursor.count
                mark = self._news.mark()
                page = await self._log.read([self._shard], cursor.position, PAGE)
                if page.events:
                    self.is_idle = False
                    cursor = await self._deliver_page(cursor, page.events)
            except Unavailable as exc:
                log.warning("events wait: %s", exc, extra=self._facts)
                await asyncio.sleep(LOG_AWAY_S * self._rng.uniform(0.5, 1.0))
                continue
            if not page.events:
                self.is_idle = True
                await self._news.more(mark)

    async def _deliver_page(self, cursor: EventCursor, events: Sequence[LoggedEvent]) -> EventCursor:
        if (missed := events[0].count - cursor.count - 1) > 0:
            await self._missed(events[0], missed)
        queues: dict[object, list[Event]] = {}
        for logged in events:
            event = replace(logged.event, trace=self._traces.of(logged.event))
            if self._url_of(event):
                queues.setdefault(event.stream or event.node, []).append(event)
        limit = asyncio.Semaphore(STREAMS_AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            for queue in queues.values():
                tasks.create_task(self._deliver_queue(queue, limit))
        reached = EventCursor(events[-1].position, events[-1].count)
        await self._until_kept(lambda: self._log.commit(self._shard, self._receiver.name, reached))
        self.count = reached.count
        return reached

    async def _deliver_queue(self, queue: Sequence[Event], limit: asyncio.Semaphore) -> None:
        """Events of one stream, one after the other."""
        async with limit:
            for event in queue:
                await self._deliver(event)

    def _url_of(self, event: Event) -> str:
        kind = kind_of(event)
        return self._receiver.url_of(kind) if kind is not None else ""

    async def _deliver(self, event: Event) -> None:
        """Bring one event, however often it has to be tried; afterwards it was taken, or is a dead letter.

        All of that is one span, which its receiver hears of, in the trace of what the event is about.
        """
        span = _span(event, self._receiver.name)
        with telemetry.within(span.context):
            attempts, error = await self._tried(event)
        span.set({Attribute.ATTEMPTS: attempts})
        span.end(error)

    async def _tried(self, event: Event) -> tuple[int, str]:
        """Try until it was taken or is given up; gives how often, and why it was given up."""
        message = message_of(event, self._receiver.format, self._about)
        loop = asyncio.get_running_loop()
        began, attempt, refusals, misfits, pause_s = loop.time(), 0, 0, 0, FIRST_PAUSE_S
        while True:
            attempt += 1
            taken = self._state.delivered
            try:
                await self._sink.send(self._receiver, self._url_of(event), event.id, message, attempt)
            except DeliveryError as error:
                refusals += error.is_refused
                self._failed(str(error))
                if refusals >= REFUSALS or misfits >= MISFITS or loop.time() - began >= self._receiver.give_up_s:
                    await self._give_up(event, attempt, str(error))
                    return attempt, str(error)
                await asyncio.sleep(pause_s * self._rng.uniform(0.5, 1.0))
                pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
                misfits += self._state.delivered > taken
            else:
                self._succeeded(event)
                return attempt, ""

    def _succeeded(self, event: Event) -> None:
        state = self._state
        if state.error:
            log.info("receiver takes events again", extra=self._facts)
        state.delivered, state.error, state.failing_since_us = state.delivered + 1, "", 0
        self._metrics.attempts.labels(self._receiver.name, "taken").inc()
        self._metrics.delay.labels(self._receiver.name).observe(max(0.0, self._wall_clock() - event.at_us / 1e6))

    def _failed(self, error: str) -> None:
        state = self._state
        if not state.error:
            state.failing_since_us = round(self._wall_clock() * 1e6)
            log.warning("receiver does not take events: %s", error, extra=self._facts)
        state.failures, state.error = state.failures + 1, error
        self._metrics.attempts.labels(self._receiver.name, "failed").inc()

    async def _give_up(self, event: Event, attempts: int, error: str) -> None:
        log.error("event given up after %d attempts: %s", attempts, error, extra={**self._facts, "event_id": event.id})
        at_us = round(self._wall_clock() * 1e6)
        letter = DeadLetter(id="", receiver=self._receiver.name, at_us=at_us, attempts=attempts, error=error, event=event)
        await self._until_kept(lambda: self._log.bury(letter))
        self._state.dead += 1
        self._metrics.dead.labels(self._receiver.name).inc()

    async def _missed(self, first: LoggedEvent, count: int) -> None:
        """Say to the receiver that it has missed what is gone."""
        log.error("%d events were trimmed before the receiver had them", count, extra=self._facts)
        self._state.lost += count
        self._metrics.lost.labels(self._receiver.name).inc(count)
        facts = {"count": count, "shard": self._shard, "receiver": self._receiver.name}
        event_id = f"lost-{self._receiver.name}-{self._shard}-{first.count}"
        lost = replace(first.event, id=event_id, kind=EventKind.EVENTS_LOST.value, stream=None, facts=facts, trace=None)
        if self._url_of(lost):
            await self._deliver(lost)

    async def _until_kept(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do it, however often the log has to be asked: what was taken must not be sent again because the log was away."""
        while True:
            try:
                await work()
            except Unavailable as exc:
                log.warning("events wait: %s", exc, extra=self._facts)
                await asyncio.sleep(LOG_AWAY_S * self._rng.uniform(0.5, 1.0))
            else:
                return


def _span(event: Event, receiver: str) -> Span:
    """That an event is brought, from what happened on; none where nobody knows what it is a part of."""
    if event.trace is None:
        return Span(None)
    facts = {Attribute.STREAM: str(event.stream or ""), Attribute.EVENT: event.kind, Attribute.RECEIVER: receiver}
    return telemetry.start(SpanName.WEBHOOK, event.trace, facts, at_us=min(event.at_us, time.time_ns() // 1000))  # clocks differ
