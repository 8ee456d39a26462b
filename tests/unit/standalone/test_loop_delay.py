from __future__ import annotations

import asyncio
import threading
import time

import pytest
from prometheus_client import CollectorRegistry
from support.virtual_time import in_virtual_time

from services.standalone import loop_delay
from services.standalone.loop_delay import STEP_S, LoopDelay

LIMIT_S = 30.0
NAME = "lalmesh_loop_delay_seconds"


def counted(registry: CollectorRegistry, most_s: str = "+Inf") -> float | None:
    return registry.get_sample_value(f"{NAME}_bucket", {"le": most_s})


@in_virtual_time
async def test_a_loop_that_has_time_is_never_late() -> None:
    registry = CollectorRegistry()
    delay = LoopDelay()
    registry.register(delay)
    await asyncio.sleep(10.5 * STEP_S)
    assert counted(registry) == counted(registry, "0.001") == 10
    delay.stop()
    await asyncio.sleep(5 * STEP_S)
    assert counted(registry) == 10


async def test_what_keeps_the_loop_is_told() -> None:
    registry = CollectorRegistry()
    delay = LoopDelay()
    registry.register(delay)
    time.sleep(3 * STEP_S)  # noqa: ASYNC251 - that is the point
    for _ in range(3):  # turns of the loop, and not so long that it looks again
        await asyncio.sleep(0)
    delay.stop()
    assert counted(registry) == 1
    assert counted(registry, "0.25") == 0
    assert (registry.get_sample_value(f"{NAME}_sum") or 0) > STEP_S


async def test_where_the_loop_stands_still_is_logged_while_it_does(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_delay, "WATCH_S", 0.05)
    monkeypatch.setattr(loop_delay, "STILL_S", 0.2)
    delay = LoopDelay()
    until = time.monotonic() + LIMIT_S
    while not caplog.records and time.monotonic() < until:
        time.sleep(0.01)  # noqa: ASYNC251 - that is the point
    delay.stop()
    (record,) = caplog.records
    assert "stands still" in record.getMessage()
    assert "test_where_the_loop_stands_still" in vars(record)["stack"]
    assert vars(record)["processor_s"] < STEP_S


def watching() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "loop-watch"}


async def test_the_thread_that_looks_ends_with_it() -> None:
    before = watching()  # of tests before: they end by and by
    delay = LoopDelay()
    (thread,) = watching() - before
    delay.stop()
    await asyncio.to_thread(thread.join, LIMIT_S)
    assert not thread.is_alive()
