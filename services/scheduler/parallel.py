"""Many items of one request, some at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

PARALLEL = 32  #: transactions of one request that are under way together: a full list is done in about 30 rounds

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


async def for_each(
    items: Sequence[_Item], work: Callable[[_Item], Awaitable[_Result]], *, parallel: int = PARALLEL
) -> list[_Result]:
    """Do `work` for every item, `parallel` at a time; results in order."""
    if len(items) <= 1:
        return [await work(item) for item in items]
    limit = asyncio.Semaphore(parallel)

    async def limited(item: _Item) -> _Result:
        async with limit:
            return await work(item)

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(limited(item)) for item in items]
    return [task.result() for task in running]
