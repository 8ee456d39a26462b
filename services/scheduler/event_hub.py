"""Events at a scheduler: what nodes tell goes into the log, what the cluster does too, and receivers are told.

Which replica delivers a shard is a duty under its lease in the registry, so one does at a time, and each has its share of them
(`shard_duties`). Where the log is not shared, each delivers what it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from lalmesh.errors import Unavailable
from lalmesh.runtime.event_kinds import EventKind
from lalmesh.runtime.event_log import BEGINNING, EventBounds, EventLog, shard_of
from lalmesh.runtime.event_outbox import EventOutbox
from lalmesh.runtime.events import Event, Facts
from lalmesh.runtime.ownership import NodeId, new_incarnation
from services.scheduler.changes import Change
from services.scheduler.cluster_events import events_of
from services.scheduler.deliveries import Deliveries
from services.scheduler.event_updates import UpdateParts, parts_of
from services.scheduler.members import Session
from services.scheduler.notifying import About, DeliverySettings, NotifyMetrics, Sink
from services.scheduler.relay_records import RelayRecord
from services.scheduler.service import SchedulerService
from services.scheduler.shard_duties import ShardDuties

log = logging.getLogger(__name__)

LOOK_S = 0.5  #: between two looks at who has which duty
WAIT_S = 5.0  #: for the log to have something new, at a time
AWAY_S = 0.5  #: after the log did not answer
TIDY_S = 10.0  #: between two rounds of trimming
SWEEP_S = 1.0  #: between two looks for nodes that have gone
GONE_S = 3.0  #: for a node that is written down nowhere to turn up: its sessions are over after that
UPDATE_SHARE = 0.2  #: of the time that updates may take to be made, which they take longer for the more streams there are
START_S = 2.0  #: for the process to listen: receivers hear of that first, and then of streams
STOP_S = 3.0  #: for receivers to be told what is in a log that ends with this process


@dataclass(slots=True, frozen=True, kw_only=True)
class HubSettings:
    """Who is told, and how much is kept."""

    delivery: DeliverySettings = field(default_factory=DeliverySettings)
    update_interval_s: float = 0.0  #: 0: one update when the replica begins
    kept: int = 1000  #: events of a shard that stay when all have them
    bounds: EventBounds = field(default_factory=EventBounds)  #: of the log, which was built with them


class EventHub:
    """A part of the scheduler, see `ControlPart`."""

    def __init__(
        self,
        service: SchedulerService,
        event_log: EventLog,
        make_sink: Callable[[], Sink],
        settings: HubSettings,
        name: str,
        *,
        groups: Callable[[], Awaitable[UpdateParts]] | None = None,
        is_unheard: Callable[[RelayRecord], bool] = lambda _: False,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare.

        Args:
            service: of this replica.
            event_log: what events are kept in; it stays the caller's to close.
            make_sink: gives what brings messages to receivers, once the loop runs.
            settings: who is told.
            name: of this replica.
            groups: the streams as updates list them; none by default.
            is_unheard: see `events_of`.
            wall_clock: Unix seconds.
        """
        self.log = event_log
        self.settings = settings
        self.metrics = NotifyMetrics(service.metrics.registry)
        self.sink: Sink | None = None  # while it runs
        duties = ShardDuties(service.presence, service.directory.cluster)
        self.deliveries = Deliveries(event_log, duties, settings.delivery, self.metrics, wall_clock)
        self.outbox = EventOutbox(NodeId(name or "scheduler", new_incarnation()), self.keep, wall_clock=wall_clock)
        self._service = service
        self._wall_clock = wall_clock
        self._make_sink = make_sink
        self._groups = groups
        self._is_unheard = is_unheard
        self._newest = BEGINNING
        self._changed = asyncio.Event()
        self._started = asyncio.Event()  # and it was told
        self._updated_count = 0  # of the shard of updates, after the last one
        self._missing: dict[str, float] = {}  # nodes that are written down nowhere, and since when
        service.keep_events = self.keep
        service.presence.delivers = event_log.is_shared

    @property
    def about(self) -> About:
        """Who tells."""
        return self.settings.delivery.about

    @property
    def is_running(self) -> bool:
        """Whether events are told."""
        return self.sink is not None

    # What happens

    def take(self, settings: HubSettings) -> None:
        """Go by these settings from now on."""
        before, self.settings = self.settings, settings
        if settings.delivery != before.delivery:
            self.deliveries.take(settings.delivery)
        self.log.take(settings.bounds)
        if settings != before:
            self._changed.set()

    def started(self, facts: Facts) -> None:
        """Tell that the process has started, and listens."""
        self.outbox.add(EventKind.SERVER_START, facts=facts)
        self._started.set()

    async def keep(self, events: Sequence[Event]) -> None:
        """Have the log keep events.

        Raises:
            Unavailable: not known whether it does.
        """
        try:
            await self.log.append(events)
        except Unavailable:
            self.metrics.appended.labels("failed").inc(len(events))
            raise
        self.metrics.appended.labels("kept").inc(len(events))

    def handle(self, change: Change) -> None:
        """See `ControlPart.handle`."""
        if self._service.is_ready:
            for event in events_of(change, round(self._wall_clock() * 1e6), self._is_unheard):
                self.outbox.add(event.kind, event.stream, event.facts, once=event.once, node=event.node)

    def joined(self, session: Session) -> None:
        """Nodes have nothing to hear of it."""

    def reported(self, session: Session) -> None:
        """Reports say nothing of it."""

    # Life

    async def run(self) -> None:
        """See `ControlPart.run`."""
        self.sink = sink = self._make_sink()
        try:
            await self._service.ready()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.outbox.run())
                tasks.create_task(self._follow())
                for work, pause_s in (
                    (partial(self._share, sink), LOOK_S),
                    (partial(self._tidy, sink), TIDY_S),
                    (self._sweep, SWEEP_S),
                ):
                    tasks.create_task(_repeat(work, pause_s))
                if self._groups is not None:
                    tasks.create_task(self._keep_updating(self._groups))
        finally:
            await self.deliveries.end()
            self.sink = None
            await sink.close()

    async def told(self) -> None:
        """Wait until receivers have what is in a log that ends with this process, or for `STOP_S`."""
        if self.log.is_shared or self.sink is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self.outbox.emptied()
                counts = await self.log.counts()
                while self.deliveries.is_behind(counts):  # noqa: ASYNC110 - they tell nobody
                    await asyncio.sleep(0.02)

    async def _follow(self) -> None:
        """Hear of what is new in the log, for all who wait."""
        while True:
            try:
                newest = await self.log.wait(self._newest, WAIT_S)
            except Unavailable:
                await asyncio.sleep(AWAY_S)
                continue
            if newest != self._newest:
                self._newest = newest
                self.deliveries.news.tell()

    async def _share(self, sink: Sink) -> None:
        self.metrics.count_dropped(self.log.dropped)
        await self.deliveries.share(sink)

    async def _tidy(self, sink: Sink) -> None:
        """Forget what all have, and count what they have not."""
        names = [receiver.name for receiver in self.settings.delivery.receivers]
        kept, shards = self.settings.kept, self.deliveries.shards
        self.metrics.logged.set(sum([await self.log.trim(shard, names, kept) for shard in shards]))
        counts = await self.log.counts()
        receivers = self.settings.delivery.receivers  # as they are by now
        self.metrics.show_backlog({each.name: self.deliveries.backlog(counts, each.name) for each in receivers})
        self.deliveries.mend(sink)

    async def _sweep(self) -> None:
        """Sessions of nodes that have gone are over: those nodes tell of no end."""
        directory = self._service.directory
        if 0 not in self.deliveries.shards or directory.cluster.settling is not None:
            return
        now = asyncio.get_running_loop().time()
        known = {record.node.incarnation.hex() for record in directory.nodes()}
        missing = await self.log.incarnations() - known
        self._missing = {node: self._missing.get(node, now) for node in missing}
        gone = {node for node, since in self._missing.items() if now - since >= GONE_S}
        if gone:  # what this replica was told of nodes may be old
            gone -= {node.incarnation.hex() for node in await self._service.view.read_nodes()}
        for node in gone:
            ended = await self.log.forget_node(node)
            log.info("%d sessions of a node that has gone are over", ended, extra={"incarnation": node})

    def _of_updates(self) -> list[str]:
        """Receivers of them."""
        return [receiver.name for receiver in self.settings.delivery.receivers if receiver.url_of(EventKind.UPDATE)]

    async def _keep_updating(self, groups: Callable[[], Awaitable[UpdateParts]]) -> None:
        """Tell which streams there are: once this replica is the one that does, and each interval after that."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                await self._started.wait()
        is_told = False
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            interval_s, began = self.settings.update_interval_s, loop.time()
            if 0 in self.deliveries.shards and self._of_updates() and (interval_s or not is_told):
                is_told = await _tried(partial(self._update, groups))
            pause_s = max(interval_s, (loop.time() - began) / UPDATE_SHARE) if is_told and interval_s else LOOK_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._changed.wait()

    async def _update(self, groups: Callable[[], Awaitable[UpdateParts]]) -> None:
        """Tell of all streams, unless somebody who hears of them has yet to get what was told the last time."""
        shard = shard_of(None, self.outbox.node.name)
        told_count = min(self._updated_count, (await self.log.counts())[shard])  # a log that came back empty counts from 0 again
        if await self.deliveries.least_count(shard, self._of_updates()) < told_count:
            return
        parts = await parts_of(await groups())
        for number, part in enumerate(parts, start=1):
            self.outbox.add(EventKind.UPDATE, facts={"groups": part, "part": number, "parts": len(parts)})
            await self.outbox.emptied()  # all of them together may be more than it holds
        self._updated_count = (await self.log.counts())[shard]


async def _repeat(work: Callable[[], Awaitable[None]], pause_s: float) -> None:
    """Do it again and again."""
    while True:
        await _tried(work)
        await asyncio.sleep(pause_s)


async def _tried(work: Callable[[], Awaitable[None]]) -> bool:
    """Whether it was done; what went wrong is said."""
    try:
        await work()
    except Unavailable as exc:
        log.warning("events: %s", exc)
    except Exception:  # a bug of ours must not end the scheduler
        log.exception("a task of events failed")
    else:
        return True
    return False
