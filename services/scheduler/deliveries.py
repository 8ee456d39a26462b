"""What a replica delivers: a task for each receiver of each shard that is its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lalmesh.runtime.event_log import SHARDS, EventLog
from lalmesh.runtime.notify import Receiver
from services.scheduler.notifying import Delivery, DeliverySettings, News, NotifyMetrics, ReceiverState, Sink
from services.scheduler.shard_duties import ShardDuties

log = logging.getLogger(__name__)

START_MARGIN_MS = 10_000  #: clocks of schedulers and of the log's server may differ by so much


@dataclass(slots=True)
class _Task:
    """One receiver of one shard."""

    receiver: Receiver
    delivery: Delivery
    task: asyncio.Task[None]


class Deliveries:
    """Those of one replica."""

    def __init__(
        self,
        event_log: EventLog,
        duties: ShardDuties,
        settings: DeliverySettings,
        metrics: NotifyMetrics,
        wall_clock: Callable[[], float],
    ) -> None:
        """Deliver what is in `event_log`, of the shards that are this replica's by `duties`; `wall_clock` gives Unix seconds."""
        self.news = News()  #: tells whoever reads the log that it has something new
        self.states: dict[str, ReceiverState] = {}  #: of receivers by their names, also of those that there were
        self._log = event_log
        self._duties = duties
        self._metrics = metrics
        self._wall_clock = wall_clock
        self._shards: dict[int, list[_Task]] = {}
        self.take(settings)

    @property
    def shards(self) -> list[int]:
        """Those that this replica delivers."""
        return sorted(self._shards)

    def take(self, settings: DeliverySettings) -> None:
        """Go by these settings; what is delivered by others ends at the next look, and begins again where it was."""
        self._settings = settings
        self._since_ms = round(self._wall_clock() * 1000) - START_MARGIN_MS  # for receivers that are new
        self._is_outdated = True
        self.states |= {each.name: ReceiverState() for each in settings.receivers if each.name not in self.states}

    def backlog(self, counts: Sequence[int], receiver: str) -> int:
        """Events that a receiver has yet to get of the shards here; `counts` of the log."""
        return sum(
            max(0, counts[shard] - each.delivery.count)
            for shard, tasks in self._shards.items()
            for each in tasks
            if each.receiver.name == receiver and (each.delivery.count or not each.delivery.is_idle)
        )

    def is_behind(self, counts: Sequence[int]) -> bool:
        """Whether any receiver has yet to get anything of the shards here."""
        return any(each.delivery.count < counts[shard] for shard, tasks in self._shards.items() for each in tasks)

    async def least_count(self, shard: int, receivers: Sequence[str]) -> int:
        """The number of the last event of a shard that every one of these receivers has got to.

        Raises:
            Unavailable: the log does not answer.
        """
        return min([(await self._log.cursor(shard, name, self._since_ms)).count for name in receivers], default=0)

    async def share(self, sink: Sink) -> None:
        """Deliver the shards that are this replica's, and no others.

        Raises:
            Unavailable: the registry cannot be reached.
        """
        if self._log.is_shared:
            for shard in self._duties.surplus(self._busy()):
                await self._leave(shard)  # before another takes it: one at a time delivers
                await self._duties.give_up(shard)
        mine = await self._duties.take() if self._log.is_shared else set(range(SHARDS))
        is_outdated, self._is_outdated = self._is_outdated, False
        for shard in set(self._shards) if is_outdated else self._shards.keys() - mine:
            await self._leave(shard)
        for shard in mine - self._shards.keys():
            self._shards[shard] = [self._begin(sink, shard, receiver) for receiver in self._settings.receivers]

    def mend(self, sink: Sink) -> None:
        """Begin again what a bug of ours has ended."""
        for shard, tasks in self._shards.items():
            for index, each in enumerate(tasks):
                if each.task.done():
                    log.error("a delivery has failed", exc_info=each.task.exception())
                    tasks[index] = self._begin(sink, shard, each.receiver)

    async def end(self) -> None:
        """Deliver nothing any more."""
        for shard in self.shards:
            await self._leave(shard)

    def _busy(self) -> set[int]:
        """Shards of which something is being delivered."""
        return {shard for shard, tasks in self._shards.items() if not all(each.delivery.is_idle for each in tasks)}

    async def _leave(self, shard: int) -> None:
        tasks = [each.task for each in self._shards.pop(shard)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, sink: Sink, shard: int, receiver: Receiver) -> _Task:
        self._metrics.begin(receiver.name)
        delivery = Delivery(
            self._log,
            sink,
            receiver,
            shard,
            about=self._settings.about,
            since_ms=self._since_ms,
            state=self.states[receiver.name],
            metrics=self._metrics,
            news=self.news,
        )
        return _Task(receiver, delivery, asyncio.create_task(delivery.run(), name=f"events {shard} {receiver.name}"))
