"""Many items of one request, some at a time."""

from __future__ import annotations

import asyncio

import pytest

from lalmesh.errors import Unavailable
from services.scheduler.parallel import PARALLEL, for_each


async def _slower_first(item: int) -> int:
    await asyncio.sleep(0 if item else 0.001)
    return item * 2


async def _fails(item: int) -> int:
    raise Unavailable(f"{item} is away", retry_after_s=1.0)


@pytest.mark.asyncio
async def test_results_are_in_the_order_of_the_items() -> None:
    items = list(range(2 * PARALLEL))
    assert await for_each(items, _slower_first) == [2 * item for item in items]


@pytest.mark.asyncio
@pytest.mark.parametrize("items", [[1], [1, 2], list(range(1, 100))], ids=len)
async def test_what_one_raises_is_raised_however_many_there_are(items: list[int]) -> None:
    with pytest.raises(Unavailable, match="1 is away"):
        await for_each(items, _fails)


@pytest.mark.asyncio
async def test_who_is_cancelled_is_cancelled() -> None:
    asked = asyncio.ensure_future(for_each([1, 2], lambda _: asyncio.Event().wait()))
    await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked


@pytest.mark.asyncio
async def test_others_run_in_between_though_nothing_is_waited_for() -> None:
    done: list[int] = []
    seen: set[int] = set()

    async def work(item: int) -> None:
        done.append(item)

    async def look() -> None:
        while True:
            seen.add(len(done))
            await asyncio.sleep(0)

    looking = asyncio.ensure_future(look())
    await for_each(list(range(10 * PARALLEL)), work)
    looking.cancel()
    assert len(seen) >= 10
