"""Work beside other work: many items of one request, some at a time, and tasks whose failure stays with them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from lalmesh.errors import ServiceError

log = logging.getLogger(__name__)

PARALLEL = 32  #: transactions of one request that are under way together: a full list is done in about 30 rounds

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


async def for_each(items: Sequence[_Item], work: Callable[[_Item], Awaitable[_Result]]) -> list[_Result]:
    """Do `work` for every item, `PARALLEL` at a time, and let others of the loop run in between; results in order.

    Where one fails the others are cancelled, and what it raised is raised, as if there were that item only.
    """
    if len(items) <= 1:
        return [await work(item) for item in items]
    results: dict[int, _Result] = {}
    left = iter(enumerate(items))

    async def work_on() -> None:
        for at, item in left:
            results[at] = await work(item)
            await asyncio.sleep(0)  # a registry in memory is never waited for

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(PARALLEL, len(items))):
                tasks.create_task(work_on())
    except BaseExceptionGroup as failed:  # who asks catches `Unavailable`, however many items there were
        raise failed.exceptions[0] from None
    return [results[at] for at in range(len(items))]


async def guarded(work: Callable[[], Awaitable[None]]) -> None:
    """What goes wrong with one node is logged and stays with it."""
    try:
        await work()
    except ServiceError as exc:
        log.warning("%s", exc)
    except Exception:
        log.exception("a task of the scheduler failed")
