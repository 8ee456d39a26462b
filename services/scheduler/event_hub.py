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
from lalmesh.runtime.event_log import BEGINNING, SHARDS, EventLog
from lalmesh.runtime.event_outbox import EventOutbox
from lalmesh.runtime.events import Event
from lalmesh.runtime.ownership import NodeId, new_incarnation
from services.scheduler.changes import Change
from services.scheduler.cluster_events import events_of
from services.scheduler.event_updates import UpdateParts, parts_of
from services.scheduler.members import Session
from services.scheduler.notifying import About, Delivery, DeliverySettings, News, NotifyMetrics, ReceiverState, Sink
from services.scheduler.service import SchedulerService
from services.scheduler.shard_duties import ShardDuties

log = logging.getLogger(__name__)

LOOK_S = 0.5  #: between two looks at who has which duty
WAIT_S = 5.0  #: for the log to have something new, at a time
AWAY_S = 0.5  #: after the log did not answer
TIDY_S = 10.0  #: between two rounds of trimming
SWEEP_S = 1.0  #: between two looks for nodes that have gone
GONE_S = 3.0  #: for a node that is written down nowhere to turn up: its sessions are over after that
STOP_S = 3.0  #: for receivers to be told what is in a log that ends with this process
START_MARGIN_MS = 10_000  #: clocks of schedulers and of the log's server may differ by so much


@dataclass(slots=True, frozen=True, kw_only=True)
class HubSettings:
    """Who is told, and how much is kept."""

    delivery: DeliverySettings = field(default_factory=DeliverySettings)
    update_interval_s: float = 0.0  #: 0: one update when the replica begins
    kept: int = 1000  #: events of a shard that stay when all have them


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
            wall_clock: Unix seconds.
        """
        self.log = event_log
        self.settings = settings
        self.metrics = NotifyMetrics(service.metrics.registry)
        self.states = {receiver.name: ReceiverState() for receiver in settings.delivery.receivers}
        self.sink: Sink | None = None  # while it runs
        #: tells whoever reads the log that it has something new
        self.news = News()
        self.outbox = EventOutbox(NodeId(name or "scheduler", new_incarnation()), self.keep, wall_clock=wall_clock)
        self._service = service
        self._duties = ShardDuties(service.presence, service.directory.cluster)
        self._make_sink = make_sink
        self._groups = groups
        self._since_ms = round(wall_clock() * 1000) - START_MARGIN_MS
        self._newest = BEGINNING
        self._shards: dict[int, list[tuple[Delivery, asyncio.Task[None]]]] = {}
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

    @property
    def shards(self) -> list[int]:
        """Those that this replica delivers."""
        return sorted(self._shards)

    def backlog(self, counts: Sequence[int], receiver: str) -> int:
        """Events that a receiver has yet to get from the shards that this replica delivers; `counts` of the log."""
        return sum(
            max(0, counts[shard] - delivery.count)
            for shard, deliveries in self._shards.items()
            for delivery, _ in deliveries
            if delivery.receiver == receiver and (delivery.count or not delivery.is_idle)
        )

    # What happens

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
            for event in events_of(change):
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
                for work, pause_s in ((partial(self._share, sink), LOOK_S), (self._tidy, TIDY_S), (self._sweep, SWEEP_S)):
                    tasks.create_task(_repeat(work, pause_s))
                if self._groups is not None and self._wants_updates():
                    tasks.create_task(_repeat(self._update, self.settings.update_interval_s))
        finally:
            await self._end([task for shard in self._shards.values() for _, task in shard])
            self._shards.clear()
            self.sink = None
            await sink.close()

    async def told(self) -> None:
        """Wait until receivers have what is in a log that ends with this process, or for `STOP_S`."""
        if self.log.is_shared or not self._shards:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self.outbox.emptied()
                counts = await self.log.counts()
                while any(self._is_behind(shard, counts) for shard in self._shards):  # noqa: ASYNC110 - they tell nobody
                    await asyncio.sleep(0.02)

    def _is_behind(self, shard: int, counts: Sequence[int]) -> bool:
        return any(delivery.count < counts[shard] for delivery, _ in self._shards[shard])

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
                self.news.tell()

    async def _share(self, sink: Sink) -> None:
        """Deliver the shards that are this replica's, and no others."""
        self.metrics.dropped.inc(self.outbox.counters.dropped - self.metrics.dropped_before)
        self.metrics.dropped_before = self.outbox.counters.dropped
        if self.log.is_shared:
            for shard in self._duties.surplus(self._busy()):
                await self._leave(shard)  # before another takes it: one at a time delivers
                await self._duties.give_up(shard)
        mine = await self._duties.take() if self.log.is_shared else set(range(SHARDS))
        for shard in self._shards.keys() - mine:
            await self._leave(shard)
        for shard in mine - self._shards.keys():
            self._shards[shard] = [self._deliver(sink, shard, index) for index in range(len(self.settings.delivery.receivers))]

    def _busy(self) -> set[int]:
        """Shards of which something is being delivered."""
        return {shard for shard, deliveries in self._shards.items() if not all(each.is_idle for each, _ in deliveries)}

    async def _leave(self, shard: int) -> None:
        await self._end([task for _, task in self._shards.pop(shard, [])])

    def _deliver(self, sink: Sink, shard: int, index: int) -> tuple[Delivery, asyncio.Task[None]]:
        receiver = self.settings.delivery.receivers[index]
        delivery = Delivery(
            self.log,
            sink,
            receiver,
            shard,
            about=self.about,
            since_ms=self._since_ms,
            state=self.states[receiver.name],
            metrics=self.metrics,
            news=self.news,
        )
        return delivery, asyncio.create_task(delivery.run(), name=f"events {shard} {receiver.name}")

    async def _end(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _tidy(self) -> None:
        """Forget what all have, and count what they have not."""
        names = [receiver.name for receiver in self.settings.delivery.receivers]
        self.metrics.logged.set(sum([await self.log.trim(shard, names, self.settings.kept) for shard in self.shards]))
        counts = await self.log.counts()
        for name in names:
            self.metrics.backlog.labels(name).set(self.backlog(counts, name))
        for shard, deliveries in self._shards.items():  # a bug of ours has ended one: it begins again
            for index, (_, task) in enumerate(deliveries):
                if task.done() and self.sink is not None:
                    log.error("a delivery has failed", exc_info=task.exception())
                    deliveries[index] = self._deliver(self.sink, shard, index)

    async def _sweep(self) -> None:
        """Sessions of nodes that have gone are over: those nodes tell of no end."""
        directory = self._service.directory
        if 0 not in self._shards or directory.cluster.settling is not None:
            return
        now = asyncio.get_running_loop().time()
        known = {record.node.incarnation.hex() for record in directory.nodes()}
        missing = await self.log.incarnations() - known
        self._missing = {node: self._missing.get(node, now) for node in missing}
        for node in [node for node, since in self._missing.items() if now - since >= GONE_S]:
            ended = await self.log.forget_node(node)
            log.info("%d sessions of a node that has gone are over", ended, extra={"incarnation": node})

    def _wants_updates(self) -> bool:
        return any(receiver.url_of(EventKind.UPDATE) for receiver in self.settings.delivery.receivers)

    async def _update(self) -> None:
        """Tell which streams there are."""
        if 0 in self._shards and self._groups is not None:
            parts = parts_of(await self._groups())
            for number, groups in enumerate(parts, start=1):
                self.outbox.add(EventKind.UPDATE, facts={"groups": groups, "part": number, "parts": len(parts)})


async def _repeat(work: Callable[[], Awaitable[None]], pause_s: float) -> None:
    """Do it again and again; 0: until it was done once. What goes wrong is said, and tried again."""
    while True:
        try:
            await work()
            if not pause_s:
                return
        except Unavailable as exc:
            log.warning("events: %s", exc)
        except Exception:  # a bug of ours must not end the scheduler
            log.exception("a task of events failed")
        await asyncio.sleep(pause_s or LOOK_S)
