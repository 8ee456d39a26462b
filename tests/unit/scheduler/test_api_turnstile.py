"""How many requests are let in at a time, and what comes between them."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import pytest

from services.scheduler.api import ProblemError
from services.scheduler.api._turnstile import MAX_UNDER_WAY, TURN, Turnstile


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
            async with self.turnstile.turn():
                self.between[-1] += 1
                if stays:
                    await self.gate.wait()
                return HTTPStatus.OK
        except ProblemError as problem:
            return problem.status

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
        await door.turnstile.turn().__aenter__()
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
