from __future__ import annotations

import asyncio
import threading

import pytest

from lalmesh.runtime.threads import Threads


async def test_work_is_done_in_threads_of_that_name() -> None:
    assert (await Threads(2, "disk").call(lambda: threading.current_thread().name)).startswith("disk")


async def test_what_work_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        await Threads(1, "disk").call(lambda number: 1 // number, 0)


async def test_work_that_hangs_holds_up_no_other_threads() -> None:
    threads, free = Threads(2, "disk"), threading.Event()
    hanging = [asyncio.create_task(threads.call(free.wait, timeout=10)) for _ in range(100)]
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        assert await asyncio.to_thread(lambda: True)
    free.set()
    await asyncio.gather(*hanging)
