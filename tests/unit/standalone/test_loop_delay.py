from __future__ import annotations

import asyncio
import time

from prometheus_client import CollectorRegistry
from support.virtual_time import in_virtual_time

from services.standalone.loop_delay import STEP_S, LoopDelay

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
