"""Questions that come up together are asked together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from support.virtual_time import in_virtual_time, settle

from lalmesh.runtime.gathering import Gatherer


class Asked:
    """Doubles every number after a moment; notes its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[int], float]] = []
        self.cancelled = 0
        self.error: Exception | None = None

    async def __call__(self, numbers: Sequence[int], deadline_s: float) -> list[int]:
        self.calls.append(([*numbers], deadline_s))
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return [number * 2 for number in numbers]


@in_virtual_time
async def test_what_comes_in_one_turn_goes_in_one_call() -> None:
    asked = Asked()
    gatherer = Gatherer(asked)
    first = [asyncio.create_task(gatherer.ask(number, 5.0)) for number in range(3)]
    await settle()
    later = asyncio.create_task(gatherer.ask(9, 5.0))
    assert (await asyncio.gather(*first), await later) == ([0, 2, 4], 18)
    assert asked.calls == [([0, 1, 2], 5.0), ([9], 5.0)]


@in_virtual_time
async def test_more_than_a_list_holds_goes_in_further_calls_at_once() -> None:
    asked = Asked()
    gatherer, loop = Gatherer(asked, most=2), asyncio.get_running_loop()
    begun = loop.time()
    assert await asyncio.gather(*(gatherer.ask(number, 5.0) for number in range(5))) == [0, 2, 4, 6, 8]
    assert [items for items, _ in asked.calls] == [[0, 1], [2, 3], [4]]
    assert loop.time() - begun < 1.5


@in_virtual_time
async def test_questions_of_other_deadlines_go_in_other_calls() -> None:
    asked = Asked()
    gatherer = Gatherer(asked)
    await asyncio.gather(gatherer.ask(1, 5.0), gatherer.ask(2, 6.0))
    assert asked.calls == [([1], 5.0), ([2], 6.0)]


@in_virtual_time
async def test_a_window_gathers_what_comes_a_moment_later() -> None:
    asked = Asked()
    gatherer = Gatherer(asked, window_s=0.1)
    first = asyncio.create_task(gatherer.ask(1, 5.0))
    await asyncio.sleep(0.05)
    assert (await gatherer.ask(2, 5.0), await first) == (4, 2)
    assert asked.calls == [([1, 2], 5.0)]


@in_virtual_time
async def test_an_error_reaches_everyone_who_asked() -> None:
    asked = Asked()
    asked.error = ValueError("no")
    gatherer = Gatherer(asked)
    answers: list[object] = [*await asyncio.gather(gatherer.ask(1, 5.0), gatherer.ask(2, 5.0), return_exceptions=True)]
    assert answers == [asked.error, asked.error]


@in_virtual_time
async def test_who_asks_no_more_does_not_disturb_the_others_and_the_last_one_ends_the_call() -> None:
    asked = Asked()
    gatherer = Gatherer(asked)
    tasks = [asyncio.create_task(gatherer.ask(number, 5.0)) for number in range(2)]
    await settle()
    tasks[0].cancel()
    assert await tasks[1] == 2
    alone = asyncio.create_task(gatherer.ask(7, 5.0))
    await settle()
    alone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await alone
    await settle()
    assert asked.cancelled == 1
