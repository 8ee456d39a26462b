"""Time in which a process ran."""

from __future__ import annotations

import asyncio

import pytest
from support.virtual_time import in_virtual_time, settle, suspend

from lalmesh.runtime.awake import AwakeClock, awake_timeout

LIMIT_S = 2.0


@in_virtual_time
async def test_what_takes_too_long_is_given_up_after_the_limit() -> None:
    begun = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError):
        async with awake_timeout(LIMIT_S):
            await asyncio.Event().wait()
    assert asyncio.get_running_loop().time() == pytest.approx(begun + LIMIT_S)


@in_virtual_time
async def test_what_is_in_time_is_not_and_nothing_goes_off_later() -> None:
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    async with awake_timeout(LIMIT_S):
        await asyncio.sleep(0.9 * LIMIT_S)
    await asyncio.sleep(10 * LIMIT_S)
    assert failures == []


@in_virtual_time
async def test_a_pause_of_this_process_leaves_time_to_read_what_came_meanwhile() -> None:
    async with awake_timeout(LIMIT_S):
        suspend(100 * LIMIT_S)
        await settle()


@in_virtual_time
async def test_who_has_slept_gives_up_in_the_end() -> None:
    async def wait() -> None:
        async with awake_timeout(LIMIT_S):
            suspend(100 * LIMIT_S)
            await asyncio.sleep(LIMIT_S)

    with pytest.raises(TimeoutError):
        await wait()


def test_a_pause_counts_for_one_step_however_long() -> None:
    now = 100.0
    clock = AwakeClock(lambda: now, step_s=1.0)
    assert clock() == 0.0
    now += 0.5
    assert clock() == 0.5
    now += 1000.0
    assert clock() == 1.5
    assert clock() == 1.5
