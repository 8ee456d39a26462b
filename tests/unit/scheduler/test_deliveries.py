"""What one replica delivers to receivers beside each other, and what it says of how far they are."""

from __future__ import annotations

import asyncio
from typing import cast

from prometheus_client import CollectorRegistry
from support.virtual_time import in_virtual_time

from lalmesh.names import StreamKey
from lalmesh.runtime.event_log import EventBounds, shard_of
from lalmesh.runtime.events import Event, event_id
from lalmesh.runtime.notify import Receiver
from services.scheduler.deliveries import Deliveries
from services.scheduler.events import MemoryEventLog
from services.scheduler.notifying import DeliveryError, DeliverySettings, Message, NotifyMetrics
from services.scheduler.shard_duties import ShardDuties

CAM = StreamKey.of("live", "cam")
SHARD = shard_of(CAM, "")
QUICK, DEAF = (Receiver(name=name, url="http://x/") for name in ("quick", "deaf"))


class _Sink:
    def __init__(self) -> None:
        self.taken: list[str] = []

    async def send(self, receiver: Receiver, url: str, event_id: str, message: Message, attempt: int) -> None:
        if receiver.name == "deaf":
            await asyncio.sleep(receiver.timeout_s)
            raise DeliveryError("no answer")
        self.taken.append(event_id)

    async def close(self) -> None:
        pass


@in_virtual_time
async def test_a_receiver_that_never_took_anything_has_all_before_it_and_delays_no_other() -> None:
    loop = asyncio.get_running_loop()
    log, sink = MemoryEventLog(EventBounds(), wall_clock=loop.time), _Sink()
    unused = cast(ShardDuties, None)  # of a log in memory every shard is this replica's
    metrics = NotifyMetrics(CollectorRegistry())
    deliveries = Deliveries(log, unused, DeliverySettings(receivers=(QUICK, DEAF)), metrics, loop.time)
    await deliveries.share(sink)
    await asyncio.sleep(1)
    assert not deliveries._busy()
    await log.append([Event(id=event_id(b"\1" * 8, number), kind="alarm", at_us=0, node="e", stream=CAM) for number in range(30)])
    deliveries.news.tell()
    for _ in range(3):
        await asyncio.sleep(20)
        counts = await log.counts()
        assert [deliveries.backlog(counts, name) for name in ("quick", "deaf")] == [0, 30]
        assert deliveries._busy() == {SHARD}
    assert len(sink.taken) == 30
    assert deliveries.states["deaf"].failures
    await deliveries.end()
