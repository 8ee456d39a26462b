"""How many requests are let in at a time, and what comes between them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp.web import Response
from pydantic import BaseModel
from support.api_web import Web

from lalmesh.names import StreamKey
from lalmesh.runtime.scrapes import ANSWERS
from lalmesh.runtime.sessions import MAX_PAGE, SessionRole, SessionTouch
from services.scheduler.api import Answer, ApiModel, ApiRole, Asked, Operation, ProblemError, _turnstile, health, sessions, streams
from services.scheduler.api._router import PROBES
from services.scheduler.api._turnstile import ITEMS, LOOKS, MAX_UNDER_WAY, PART, TURN, Turnstile
from services.scheduler.listing import StreamModel
from services.scheduler.sessions import MemorySessions


class Door:
    """Requests, and what else has its turn while they come."""

    def __init__(self) -> None:
        self.refused = 0
        self.turnstile = Turnstile(self._refuse)
        self.between = [0]  #: requests that were answered between two rounds of the loop
        self.gate = asyncio.Event()

    def _refuse(self) -> None:
        self.refused += 1

    async def ask(self, *, stays: bool = False) -> HTTPStatus:
        try:
            return await self.turnstile.let_in(1, self._answer, stays)
        except ProblemError as problem:
            return problem.status

    async def _answer(self, stays: bool) -> HTTPStatus:
        self.between[-1] += 1
        if stays:
            await self.gate.wait()
        return HTTPStatus.OK

    async def report(self) -> None:
        """Something else that the loop does each time it goes round."""
        while True:
            await asyncio.sleep(0)
            self.between.append(0)


async def test_few_requests_are_answered_before_whatever_else_is_ready() -> None:
    door = Door()
    reporting = asyncio.create_task(door.report())
    answers = await asyncio.gather(*(door.ask() for _ in range(200)))
    reporting.cancel()
    assert set(answers) == {HTTPStatus.OK}
    assert sum(door.between) == 200
    assert max(door.between) <= TURN


async def test_beyond_the_bound_requests_are_refused_and_room_comes_back() -> None:
    door = Door()
    staying = [asyncio.create_task(door.ask(stays=True)) for _ in range(MAX_UNDER_WAY)]
    await asyncio.sleep(0)
    assert (await door.ask(), door.refused) == (HTTPStatus.SERVICE_UNAVAILABLE, 1)
    with pytest.raises(ProblemError) as refused:
        await door.turnstile.let_in(1, door._answer, False)
    assert refused.value.headers["Retry-After"] == "1"
    door.gate.set()
    assert set(await asyncio.gather(*staying)) == {HTTPStatus.OK}
    assert await door.ask() is HTTPStatus.OK


async def test_who_goes_while_he_waits_leaves_his_place_to_others() -> None:
    door = Door()
    waiting = [asyncio.create_task(door.ask(stays=True)) for _ in range(MAX_UNDER_WAY)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    answers = await asyncio.gather(*(door.ask() for _ in range(MAX_UNDER_WAY)))
    assert set(answers) == {HTTPStatus.OK}


@pytest.mark.parametrize("count", [1, TURN])
async def test_where_few_ask_nobody_waits(count: int) -> None:
    door = Door()
    await asyncio.gather(*(door.ask() for _ in range(count)))
    assert door.between == [count]


# What takes long ------------------------------------------------------------------------------------------------------


class Work:
    """What is done between two rounds of the loop, while requests are answered."""

    def __init__(self) -> None:
        self.between = [0]

    def note(self, amount: int = 1) -> None:
        self.between[-1] += amount

    async def of(self, asking: Sequence[Awaitable[Any]]) -> list[Any]:
        """The answers; `between` has what was done of them."""
        going = asyncio.create_task(self._go_round())
        answers = await asyncio.gather(*asking)
        going.cancel()
        return answers

    async def _go_round(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.between.append(0)


class Found(ApiModel):
    """What was found."""

    count: int


def operation(path: str, handler: Callable[[Asked], Awaitable[Answer]], **more: Any) -> Operation:
    answers: dict[HTTPStatus, type[BaseModel] | None] = {HTTPStatus.OK: Found}
    return Operation(
        method="GET", path=path, tag="test", summary="Look.", handler=handler, role=ApiRole.ANYBODY, answers=answers, **more
    )


@pytest.mark.parametrize("heavy", [True, False])
async def test_what_is_heavy_has_a_turn_for_itself(heavy: bool) -> None:
    work = Work()

    async def look(asked: Asked) -> Answer:
        work.note()
        return Answer(body=Found(count=1))

    web = Web(operation("/look", look, is_heavy=heavy))
    await work.of([web.ask("GET", "/look") for _ in range(40)])
    assert max(work.between) == (1 if heavy else TURN)


async def test_lists_are_made_in_parts_however_many_ask_for_long_ones() -> None:
    work = Work()

    def make(item: int) -> int:
        work.note()
        return item

    async def describe(asked: Asked) -> Answer:
        return Answer(body=Found(count=len(await asked.each(range(10 * PART), make))))

    async def choose(asked: Asked) -> Answer:
        return Answer(body=Found(count=len(await asked.those(range(2 * LOOKS), lambda item: not item % 2))))

    async def short(asked: Asked) -> Answer:
        work.note(ITEMS)
        return Answer(body=Found(count=len(await asked.each(range(ITEMS), int))))

    web = Web(operation("/each", describe), operation("/those", choose), operation("/short", short))
    paths, counts = ("/each", "/those", "/short"), [10 * PART, LOOKS, ITEMS]
    answers = await work.of([web.told("GET", path) for _ in range(10) for path in paths])
    assert [found["count"] for _, found in answers] == counts * 10
    assert max(work.between) <= PART
    assert sum(work.between) == 10 * (10 * PART + ITEMS)


async def test_streams_whose_sessions_are_all_known_at_the_same_moment_are_described_in_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work, known, all_ask, waiting = Work(), asyncio.Event(), asyncio.Event(), 0
    keys = [StreamKey("live", f"cam{number:04d}") for number in range(5 * PART // 2)]

    async def count_sessions(part: Sequence[StreamKey]) -> list[None]:
        nonlocal waiting
        waiting += 1
        if waiting == 20 * 3:
            all_ask.set()
        await known.wait()
        return [None] * len(part)

    async def figures_of(part: Sequence[StreamKey]) -> list[None]:
        return [None] * len(part)

    def describe(directory: object, stream: StreamKey, *_: object) -> StreamModel:
        work.note()
        return StreamModel.model_construct(stream=str(stream))

    monkeypatch.setattr(streams, "describe_stream", describe)
    service: Any = SimpleNamespace(directory=SimpleNamespace(streams=lambda: keys), count_sessions=count_sessions)
    peers: Any = SimpleNamespace(of=figures_of, state=lambda stream: None)
    web = Web(*streams.operations(service, peers))
    asking = [asyncio.create_task(web.told("GET", "/v1/streams?items_per_page=1000")) for _ in range(20)]
    await all_ask.wait()
    known.set()
    answers = await work.of(asking)
    assert [[item["stream"] for item in page["items"]] for _, page in answers] == [[*map(str, keys)]] * 20
    assert max(work.between) <= PART


async def test_a_long_page_of_sessions_is_looked_up_in_parts_and_goes_on_where_it_ended() -> None:
    looks: list[int] = []

    class Noting(MemorySessions):
        async def page(self, *args: Any, **more: Any) -> Any:
            looks.append(more["limit"])
            return await super().page(*args, **more)

    directory = Noting()
    ids = [f"{number:04d}" for number in range(3 * PART)]
    cam = StreamKey("live", "cam")
    await directory.touch("e", [SessionTouch(id=each, stream=cam, role=SessionRole.PLAYER, protocol="rtmp") for each in ids])
    web = Web(*sessions.operations(directory, cast(Any, None), list))
    _, first = await web.told("GET", f"/v1/sessions?limit={PART + 10}")
    assert looks == [PART, 10]
    _, rest = await web.told("GET", f"/v1/sessions?limit={MAX_PAGE}&cursor={first['cursor']}")
    assert [each["id"] for each in first["items"] + rest["items"]] == ids
    assert (looks, rest["cursor"]) == ([PART, 10, PART, PART], "")


# What whoever runs the scheduler asks ---------------------------------------------------------------------------------


class Health:
    """A scheduler that is well."""

    def __init__(self, work: Work) -> None:
        self.is_running = self.is_ready = True
        self.metrics = self
        self.texts: list[int] = []  #: when each was begun, in rounds of the loop
        self._work = work

    def text(self) -> bytes:
        self.texts.append(len(self._work.between))
        return b"seen_total 1"


async def test_metrics_are_made_once_for_many_and_all_are_answered() -> None:
    work = Work()
    scheduler = Health(work)
    web = Web(*health.operations(cast(Any, scheduler)))

    async def scrape() -> int:
        answer = await web.ask("GET", "/metrics")
        work.note()
        assert isinstance(answer, Response)
        assert answer.body == b"seen_total 1"
        return answer.status

    assert set(await work.of([scrape() for _ in range(100)])) == {HTTPStatus.OK}
    assert max(work.between) <= ANSWERS
    assert len(scheduler.texts) == len(set(scheduler.texts))  # none in the same round as another


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_probes_are_answered_a_few_in_each_round_also_where_no_request_is_let_in_any_more(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_turnstile, "MAX_UNDER_WAY", TURN)
    work, ended = Work(), asyncio.Event()

    async def stay(asked: Asked) -> Answer:
        await ended.wait()
        return Answer(body=Found(count=0))

    web = Web(*health.operations(cast(Any, Health(work))), operation("/stay", stay))
    staying = [asyncio.create_task(web.ask("GET", "/stay")) for _ in range(TURN)]
    await asyncio.sleep(0)
    assert (await web.ask("GET", "/stay")).status == HTTPStatus.SERVICE_UNAVAILABLE

    async def probe() -> int:
        status = (await web.ask("GET", path)).status
        work.note()
        return status

    assert set(await work.of([probe() for _ in range(100)])) == {HTTPStatus.OK}
    assert max(work.between) <= PROBES
    ended.set()
    await asyncio.gather(*staying)
