"""Relays of an edge: begun and ended as the scheduler has it, tried again, and told of."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry
from support.edge_fakes import EDGE
from support.virtual_time import in_virtual_time

from lalmesh.client import ConnectionFailed
from lalmesh.names import StreamKey
from lalmesh.runtime.event_outbox import EventOutbox
from lalmesh.runtime.events import Event
from lalmesh.runtime.scheduling import RelayJob, RelayJobs, RelayState
from lalmesh.runtime.sessions import SessionRole
from services.edge.client_events import ClientEvents
from services.edge.metrics import EdgeMetrics
from services.edge.relaying import Relaying, RelayingSettings, RetrySettings, _runner
from services.edge.relaying._edge import RelayingEdge, Started, client_at
from services.edge.session import Sessions

CAM = StreamKey.of("live", "cam")
URL, OTHER = "rtmp://u:secret@a/live/cam?key=secret", "rtmp://b/live/cam"
PULL = RelayJob(id="1", is_push=False, stream=CAM, urls=(URL, OTHER))

Attempt = Callable[[RelayingEdge, RelayJob, str, Started], Awaitable[str]]


class World:
    """An edge whose relays do what the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, attempt: Attempt) -> None:
        self.registry = CollectorRegistry()
        metrics = EdgeMetrics(self.registry)
        nothing = cast(Any, None)
        self.outbox = EventOutbox(EDGE.node, self._take)
        self.told: list[Event] = []
        sessions, events = Sessions(metrics), ClientEvents(self.outbox)
        sessions.watchers.append(events)
        self.edge = RelayingEdge(
            publishers=nothing,
            relays=nothing,
            sessions=sessions,
            events=events,
            metrics=metrics,
            body_muxer=nothing,
            settings=RelayingSettings(retry=RetrySettings(first_pause_s=1.0, longest_pause_s=4.0), cluster_mark="here~1"),
            rng=random.Random(1),
        )
        self.relaying = Relaying(self.edge)
        self.dialled: list[tuple[str, float]] = []

        async def dial(edge: RelayingEdge, job: RelayJob, url: str, started: Started) -> str:
            self.dialled.append((url, asyncio.get_running_loop().time()))
            return await attempt(edge, job, url, started)

        monkeypatch.setattr(_runner, "pull", dial)
        monkeypatch.setattr(_runner, "push", dial)

    async def _take(self, events: Sequence[Event]) -> None:
        self.told += events

    async def events(self) -> list[tuple[str, object, object]]:
        """What was told so far: kind, session and reason."""
        telling = asyncio.ensure_future(self.outbox.run())
        await asyncio.sleep(1.0)
        telling.cancel()
        return [(event.kind, event.facts["session_id"], event.facts.get("reason", "")) for event in self.told]

    def count(self, result: str) -> float | None:
        return self.registry.get_sample_value("edge_relay_attempts_total", {"kind": "pull", "result": result})


async def runs(edge: RelayingEdge, job: RelayJob, url: str, started: Started) -> str:
    session = edge.sessions.open(client_at(url, job), SessionRole.RELAY_PULL, CAM, lambda _: None)
    try:
        started(session)
        await asyncio.Event().wait()
        return ""
    finally:
        edge.sessions.closed(session, "the edge ends it")


async def refused(edge: RelayingEdge, job: RelayJob, url: str, started: Started) -> str:
    raise ConnectionFailed(f"{url}: no")


@in_virtual_time
async def test_what_is_told_runs_and_what_is_not_any_more_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, runs)
    world.relaying.follow(RelayJobs((PULL, replace(PULL, id="2"))))
    await asyncio.sleep(1.0)
    assert [(status.id, status.state) for status in world.relaying.statuses] == [
        ("1", RelayState.RUNNING),
        ("2", RelayState.RUNNING),
    ]
    world.relaying.follow(RelayJobs((replace(PULL, id="2"),)))
    await asyncio.sleep(1.0)
    assert [status.id for status in world.relaying.statuses] == ["2"]
    assert len(world.dialled) == 2
    await world.relaying.close(1.0)
    assert len(world.relaying) == 0
    world.relaying.follow(RelayJobs((PULL,)))
    assert len(world.relaying) == 0


@in_virtual_time
async def test_other_clusters_that_it_goes_to_hold_from_the_next_dial_on(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, runs)
    world.relaying.follow(RelayJobs((PULL,)))
    await asyncio.sleep(1.0)
    world.relaying.follow(RelayJobs((replace(PULL, via=("a~1", "here~1")),)))
    await asyncio.sleep(1.0)
    assert len(world.dialled) == 1
    [runner] = world.relaying
    assert world.edge.options(runner.job).via == ("here~1", "a~1")
    world.relaying.follow(RelayJobs((replace(PULL, urls=(OTHER,)),)))
    await asyncio.sleep(1.0)
    assert [url for url, _ in world.dialled] == [URL, OTHER]
    await world.relaying.close(1.0)


@in_virtual_time
async def test_sources_fail_over_and_then_there_is_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, refused)
    began = asyncio.get_running_loop().time()
    world.relaying.follow(RelayJobs((PULL,)))
    await asyncio.sleep(0.1)
    assert [(url, at - began) for url, at in world.dialled] == [(URL, 0.0), (OTHER, 0.0)]
    [status] = world.relaying.statuses
    assert (status.state, status.attempts, status.url, status.error) == (RelayState.PAUSED, 2, OTHER, f"{OTHER}: no")
    assert world.count("failed") == 2
    await asyncio.sleep(1.0)
    assert len(world.dialled) == 4
    await world.relaying.close(1.0)


@in_virtual_time
async def test_it_fails_when_no_attempt_is_left_and_says_no_secret(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(monkeypatch, refused)
    world.relaying.follow(RelayJobs((replace(PULL, urls=(URL,), retries=0),)))
    await asyncio.sleep(0.1)
    [status] = world.relaying.statuses
    assert (status.state, status.error) == (RelayState.FAILED, "rtmp://a/live/cam no")
    assert "secret" not in caplog.text + repr(status)


@in_virtual_time
@pytest.mark.parametrize(("is_push", "kind"), [(False, "relay_pull_stop"), (True, "relay_push_stop")])
async def test_one_that_never_ran_ends_with_an_event_of_its_end(monkeypatch: pytest.MonkeyPatch, is_push: bool, kind: str) -> None:
    world = World(monkeypatch, refused)
    fails = replace(PULL, id="f", is_push=is_push, urls=(OTHER,), retries=0)
    tries = replace(PULL, id="t", is_push=is_push, urls=(OTHER,))
    world.relaying.follow(RelayJobs((fails, tries)))
    assert await world.events() == [(kind, "f", f"{OTHER}: no")]
    world.relaying.follow(RelayJobs(()))
    assert (await world.events())[1:] == [(kind, "t", f"it is not wanted here any more: {OTHER}: no")]
    facts = world.told[0].facts
    assert (facts["role"], facts["url"], facts["read_bytes_sum"], facts["wrote_bytes_sum"]) == (kind[:-5], OTHER, 0, 0)


@in_virtual_time
async def test_one_that_ran_has_the_events_of_its_session_under_its_own_id(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, runs)
    world.relaying.follow(RelayJobs((PULL,)))
    await asyncio.sleep(1.0)
    assert world.relaying.statuses[0].session_id == "1"
    world.relaying.follow(RelayJobs(()))
    await asyncio.sleep(1.0)
    assert await world.events() == [("relay_pull_start", "1", ""), ("relay_pull_stop", "1", "the edge ends it")]


@in_virtual_time
async def test_the_key_of_a_target_is_told_to_nobody(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    world = World(monkeypatch, refused)
    push = replace(PULL, is_push=True, urls=("rtmp://a/app/sk-1234?backup=1",), retries=0)
    world.relaying.follow(RelayJobs((push,)))
    assert (await world.events())[0][:2] == ("relay_push_stop", "1")
    logged = [{**vars(record), "args": record.getMessage()} for record in caplog.records]
    told = repr((world.relaying.statuses, [event.facts for event in world.told], logged, client_at(push.urls[0], push)))
    assert told.count("rtmp://a/app/***") > 3
    assert "sk-1234" not in told


@in_virtual_time
async def test_one_that_is_tried_at_another_edge_when_this_one_stops_is_not_over(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, refused)
    world.relaying.follow(RelayJobs((PULL,)))
    await asyncio.sleep(0.1)
    await world.relaying.close(1.0)
    assert await world.events() == []


@in_virtual_time
async def test_what_fails_by_a_bug_of_ours_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(edge: RelayingEdge, job: RelayJob, url: str, started: Started) -> str:
        raise RuntimeError("bug")

    world = World(monkeypatch, broken)
    world.relaying.follow(RelayJobs((PULL,)))
    await asyncio.sleep(10.0)
    assert len(world.dialled) > 4
    assert world.relaying.statuses[0].error == "internal error"
    await world.relaying.close(1.0)


def test_the_other_side_is_shown_without_secrets() -> None:
    client = client_at(URL, PULL)
    assert (client.query, client.session_id) == ("", "1")
    assert (client.protocol, client.address, client.peer, client.url) == ("rtmp", "a", "a:1935", "rtmp://a/live/cam")
    assert client_at("https://[::1]:444/live/cam.flv", PULL).protocol == "https-flv"
    assert client_at("https://[::1]:444/live/cam.flv", PULL).peer == "[::1]:444"


@in_virtual_time
async def test_what_a_source_says_in_other_bytes_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def attempt(edge: RelayingEdge, job: RelayJob, url: str, started: Started) -> str:
        raise ConnectionFailed("RTSP 454 (DESCRIBE: Introuvable \udce9)")

    world = World(monkeypatch, attempt)
    world.relaying.follow(RelayJobs((PULL,)))
    await asyncio.sleep(0.1)
    (status,) = world.relaying.statuses
    assert status.error == "RTSP 454 (DESCRIBE: Introuvable \ufffd)"
