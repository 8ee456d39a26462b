"""One attempt at a push, around a target that the test speaks for."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from types import TracebackType

import pytest
from prometheus_client import CollectorRegistry
from support.edge_context import edge_context
from support.edge_fakes import EDGE, STREAM, FakeLinks, FakeScheduler, gop, location, run_of
from support.virtual_time import in_virtual_time

from lalmesh.client._errors import rtmp_refusal
from lalmesh.errors import LalmeshError
from lalmesh.runtime.event_outbox import EventOutbox
from lalmesh.runtime.events import Event
from lalmesh.runtime.ring import Run
from lalmesh.runtime.scheduling import RelayJob
from services.edge.client_events import ClientEvents
from services.edge.metrics import EdgeMetrics
from services.edge.relaying import RelayingSettings, _push
from services.edge.relaying._edge import RelayingEdge

URL = "rtmp://u:hush@a/app/sk-1234?token=tok-9&b=1"


class Target:
    """Lets anybody in, and ends it with a word that repeats what it was dialled with."""

    def __init__(self, *_: object) -> None:
        self.publisher = self

    async def __aenter__(self) -> Target:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        pass

    def send(self, run: Run) -> int:
        return 0

    async def drain(self) -> None:
        raise rtmp_refusal("NetStream.Publish.Denied", "sk-1234?token=tok-9&b=1 of u (hush) is over: tok-9")


@in_virtual_time
async def test_what_a_target_repeats_of_its_url_is_told_to_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    monkeypatch.setattr(_push, "RtmpWriter", Target)
    told: list[Event] = []

    async def take(events: Sequence[Event]) -> None:
        told.extend(events)

    outbox, scheduler, links = EventOutbox(EDGE.node, take), FakeScheduler(), FakeLinks()
    metrics = EdgeMetrics(CollectorRegistry())
    context = edge_context(metrics, scheduler, links, events=ClientEvents(outbox))
    context.sessions.watchers.append(context.events)
    edge = RelayingEdge(
        publishers=context.publishers,
        relays=context.relays,
        sessions=context.sessions,
        events=context.events,
        metrics=metrics,
        body_muxer=context.body_muxer,
        settings=RelayingSettings(),
        rng=random.Random(1),
    )
    job = RelayJob(id="1", is_push=True, stream=STREAM, urls=(URL,))
    pushing = asyncio.create_task(_push.push(edge, job, URL, lambda session: None))
    scheduler.put(location(1))
    (await links.opened(1)).serve(run_of(gop(0, 1)))
    with pytest.raises(LalmeshError):
        await pushing
    telling = asyncio.create_task(outbox.run())
    await asyncio.sleep(1)
    telling.cancel()
    assert told[-1].facts["reason"] == "refused: NetStream.Publish.Denied (***?*** of u (***) is over: ***)"
    shown = repr((told, [vars(record) for record in caplog.records]))
    assert not [secret for secret in ("sk-1234", "tok-9", "hush") if secret in shown]
    await context.relays.close()
