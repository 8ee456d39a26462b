"""Who listens to events over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web
from support.api_web import Web
from support.virtual_time import in_virtual_time

from lalmesh.errors import Unavailable
from lalmesh.names import ANY_APP, StreamKey
from lalmesh.runtime.event_kinds import EventKind
from lalmesh.runtime.event_log import EventPage, shard_of
from lalmesh.runtime.events import Event, event_id
from services.scheduler.api import ApiRole, ApiToken, Asked, ProblemError, hash_token
from services.scheduler.api.events import (
    MAX_LISTENERS,
    MAX_OF_ADDRESS,
    PAGE,
    PIECE_CHARS,
    EventsHeaders,
    EventsQuery,
    Listeners,
    operations,
)
from services.scheduler.events import MemoryEventLog
from services.scheduler.notifying import News


class SlowLog:
    """Says after a while where its end is, or does not; what is read of it is kept."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_away = False
        self.read_of: list[list[int]] = []
        self.answers = asyncio.Event()

    async def wait(self, after: str, wait_s: float) -> str:
        self.asked += 1
        await self.answers.wait()
        if self.is_away:
            raise Unavailable("redis", retry_after_s=1.0)
        return "7-7"

    async def read(self, shards: Any, after: str, limit: int) -> EventPage:
        self.read_of.append(list(shards))
        return EventPage((), after)


class Rounds:
    """Checks that the loop has gone round, and served whatever else was ready, between any two steps."""

    def __init__(self) -> None:
        self.steps = 0
        self.rounds = 0

    def step(self) -> None:
        assert self.rounds == self.steps
        self.steps += 1
        asyncio.get_running_loop().call_soon(self._went_round)

    def _went_round(self) -> None:
        self.rounds += 1


class FullLog(MemoryEventLog):
    """Never waits for anything, as one in memory; each look into it is a step of `rounds`."""

    def __init__(self, rounds: Rounds) -> None:
        super().__init__()
        self._rounds = rounds

    async def read(self, shards: Sequence[int], after: str, limit: int) -> EventPage:
        self._rounds.step()
        return await super().read(shards, after, limit)


class Response:
    """Takes everything."""

    def __init__(self, headers: dict[str, str]) -> None:
        self.headers = headers

    async def prepare(self, request: object) -> None:
        pass

    async def write(self, data: bytes) -> None:
        pass


class World:
    may_still = True

    def __init__(self, *, match_app: bool = True, log: MemoryEventLog | None = None) -> None:
        self.log = SlowLog()
        hub = SimpleNamespace(log=log or self.log, is_running=True, deliveries=SimpleNamespace(news=News()))
        self.listeners = Listeners(cast(Any, hub), lambda key: key if match_app else StreamKey(ANY_APP, key.name))

    async def listen(self, address: str = "192.0.2.1", **query: Any) -> HTTPStatus:
        request = cast(Any, SimpleNamespace(headers={}, transport=None, remote=address, scheme="http"))
        asked = Asked(
            request=request, path={}, query=EventsQuery(**query), headers=EventsHeaders(), may_still=lambda: self.may_still
        )
        try:
            await self.listeners.listen(asked)
        except ProblemError as problem:
            return problem.status
        return HTTPStatus.OK


@in_virtual_time
async def test_a_stream_is_asked_for_by_what_the_cluster_knows_it_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "StreamResponse", Response)
    world = World(match_app=False)
    listening = asyncio.create_task(world.listen(stream="live/cam", after="1-1"))
    await asyncio.sleep(1.0)
    listening.cancel()
    assert world.log.read_of == [[shard_of(StreamKey(ANY_APP, "cam"), "")]]


@in_virtual_time
async def test_who_may_not_listen_any_more_is_let_go_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "StreamResponse", Response)
    world = World()
    listening = asyncio.create_task(world.listen(after="1-1"))
    await asyncio.sleep(60.0)
    assert not listening.done()
    world.may_still = False
    await asyncio.sleep(6.0)
    assert listening.done()


async def full_of(rounds: Rounds, kind: EventKind, facts: dict[str, Any]) -> FullLog:
    """A log of a thousand events."""
    full = FullLog(rounds)
    for number in range(1, 1001):
        stream = StreamKey.of("live", f"cam{number % 50}")
        event_of = Event(id=event_id(b"\1" * 8, number), kind=kind.value, at_us=number, node="edge", stream=stream, facts=facts)
        await full.append([event_of])
    return full


@in_virtual_time
async def test_the_loop_goes_round_between_pages_of_a_log_in_memory_though_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "StreamResponse", Response)
    rounds = Rounds()
    world = World(log=await full_of(rounds, EventKind.STREAM_NOT_FOUND, {}))
    listening = [asyncio.create_task(world.listen(kind=[EventKind.ALARM], after="0-0")) for _ in range(MAX_OF_ADDRESS)]
    await asyncio.sleep(1.0)
    assert rounds.steps >= MAX_OF_ADDRESS * 1000 // PAGE
    for task in listening:
        task.cancel()


@in_virtual_time
async def test_the_loop_goes_round_between_pieces_of_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = Rounds()
    taken: list[bytes] = []

    class Taking(Response):
        async def write(self, data: bytes) -> None:
            if data.startswith(b"id: "):
                rounds.step()
                taken.append(data)

    monkeypatch.setattr(web, "StreamResponse", Taking)
    world = World(log=await full_of(Rounds(), EventKind.UPDATE, {"groups": "x" * 6000}))
    listening = asyncio.create_task(world.listen(kind=[EventKind.UPDATE], after="0-0"))
    await asyncio.sleep(10.0)
    assert b"".join(taken).count(b"id: ") == 1000
    assert max(map(len, taken)) < PIECE_CHARS + 7000
    listening.cancel()


@pytest.mark.parametrize(
    ("status", "headers"),
    [(401, {}), (401, {"Authorization": "Bearer of nobody"}), (400, {"Authorization": "Bearer viewer", "Last_Event_ID": "1-"})],
)
async def test_who_may_not_listen_is_refused(status: int, headers: dict[str, Any]) -> None:
    token = ApiToken(name="viewer", role=ApiRole.VIEWER, hash=hash_token("viewer"))
    asked = Web(*operations(cast(Any, None), lambda key: key), tokens=(token,), open_reads=False)
    told, problem = await asked.told("GET", "/v1/events", **headers)
    assert (told, problem.get("field")) == (status, "Last-Event-ID" if status == 400 else None)


@pytest.mark.parametrize("stream", ["", "cam", "a//b", "live/" + "c" * 256])
async def test_a_stream_that_cannot_be_is_a_problem_and_not_all_of_them(stream: str) -> None:
    told, problem = await Web(*operations(cast(Any, None), lambda key: key)).told("GET", f"/v1/events?stream={stream}")
    assert (told, problem["field"]) == (400, "stream")


@in_virtual_time
async def test_those_who_come_while_the_log_is_slow_are_counted_too() -> None:
    world = World()
    asking = [asyncio.create_task(world.listen(f"192.0.2.{number % 200}")) for number in range(10 * MAX_LISTENERS)]
    await asyncio.sleep(1.0)
    assert world.log.asked == MAX_LISTENERS
    assert [task.result() for task in asking if task.done()] == [HTTPStatus.SERVICE_UNAVAILABLE] * 9 * MAX_LISTENERS
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    assert not world.listeners._by_address


@in_virtual_time
async def test_one_address_leaves_room_for_others() -> None:
    world = World()
    asking = [asyncio.create_task(world.listen(f"2001:db8::{number:x}")) for number in range(MAX_LISTENERS)]
    await asyncio.sleep(1.0)
    assert world.log.asked == MAX_OF_ADDRESS
    asking.append(asyncio.create_task(world.listen("192.0.2.1")))
    await asyncio.sleep(1.0)
    assert world.log.asked == MAX_OF_ADDRESS + 1
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    assert not world.listeners._by_address


@in_virtual_time
async def test_who_is_told_that_the_log_is_away_does_not_count_any_more() -> None:
    world = World()
    world.log.is_away = True
    world.log.answers.set()
    with pytest.raises(Unavailable):
        await world.listen()
    assert not world.listeners._by_address
