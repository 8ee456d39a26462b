"""Time in which a process ran."""

from __future__ import annotations

import asyncio
import time

import pytest

from lalmesh.runtime.awake import AwakeClock, awake_timeout

LIMIT_S = 0.2


async def test_what_takes_too_long_is_given_up_after_the_limit() -> None:
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        async with awake_timeout(LIMIT_S):
            await asyncio.Event().wait()
    assert time.monotonic() - begun >= LIMIT_S


async def test_what_is_in_time_is_not() -> None:
    async with awake_timeout(LIMIT_S):
        await asyncio.sleep(0)
    await asyncio.sleep(1.5 * LIMIT_S)  # nothing goes off later


async def test_a_pause_of_this_process_leaves_time_to_read_what_came_meanwhile() -> None:
    came = asyncio.Event()

    async def read() -> None:
        for _ in range(5):  # as many turns of the loop as what comes through a library may take
            await asyncio.sleep(0)
        came.set()

    async with awake_timeout(LIMIT_S), asyncio.TaskGroup() as group:
        asyncio.get_running_loop().call_soon(time.sleep, 2 * LIMIT_S)
        await asyncio.sleep(0)
        group.create_task(read())
        await came.wait()


def test_a_pause_counts_for_one_step_however_long() -> None:
    now = 100.0
    clock = AwakeClock(lambda: now, step_s=1.0)
    assert clock() == 0.0
    now += 0.5
    assert clock() == 0.5
    now += 1000.0
    assert clock() == 1.5
    assert clock() == 1.5
