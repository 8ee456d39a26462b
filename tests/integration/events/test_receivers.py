"""Receivers beside each other, over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from aiohttp import web
from prometheus_client import CollectorRegistry
from support.ports import LOOPBACK

from lalmesh.names import StreamKey
from lalmesh.runtime.event_log import SHARDS, EventBounds
from lalmesh.runtime.events import Event, event_id
from lalmesh.runtime.notify import Receiver
from services.scheduler.deliveries import Deliveries
from services.scheduler.events import MemoryEventLog
from services.scheduler.notifying import DeliverySettings, HttpSink, NotifyMetrics
from services.scheduler.shard_duties import ShardDuties

STREAMS = 20 * SHARDS  #: so many that each shard has all that it may have on its way
LIMIT_S = 30.0


class _Host:
    """Takes events at ``/quick``, and answers none at ``/slow`` until it may."""

    def __init__(self) -> None:
        self.taken: dict[str, list[str]] = {"/quick": [], "/slow": []}
        self.asked = 0  # of the slow one
        self.may_answer = asyncio.Event()
        self.has_all = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        if request.path == "/slow":
            self.asked += 1
            await self.may_answer.wait()
        taken = self.taken[request.path]
        taken.append(request.headers["webhook-id"])
        if len(taken) == STREAMS:
            self.has_all.set()
        return web.Response()


@asynccontextmanager
async def _serving(host: _Host) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/{name}", host.answer)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, LOOPBACK, 0)
    await site.start()
    try:
        yield f"http://{LOOPBACK}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_receiver_that_does_not_answer_delays_no_other_though_they_are_of_one_host() -> None:
    host, log, sink = _Host(), MemoryEventLog(EventBounds()), HttpSink()
    async with _serving(host) as url:
        receivers = tuple(Receiver(name=name, url=f"{url}/{name}", timeout_s=60) for name in ("slow", "quick"))
        settings = DeliverySettings(receivers=receivers)
        unused = cast(ShardDuties, None)  # of a log in memory every shard is this replica's
        deliveries = Deliveries(log, unused, settings, NotifyMetrics(CollectorRegistry()), asyncio.get_running_loop().time)
        await deliveries.share(sink)
        events = [
            Event(id=event_id(b"\1" * 8, n), kind="alarm", at_us=0, node="e", stream=StreamKey.of("live", f"s{n}"))
            for n in range(1, STREAMS + 1)
        ]
        await log.append(events)
        deliveries.news.tell()
        try:
            async with asyncio.timeout(LIMIT_S):
                await host.has_all.wait()
                assert len(host.taken["/quick"]) == STREAMS
                assert host.taken["/slow"] == []
                assert host.asked > 1
                host.has_all.clear()
                host.may_answer.set()
                await host.has_all.wait()
            assert deliveries.states["slow"].failures == 0, "what waited for its turn was not asked, so it did not fail"
            assert set(host.taken["/slow"]) == set(host.taken["/quick"]) == {event.id for event in events}
        finally:
            host.may_answer.set()
            await deliveries.end()
            await sink.close()
