from __future__ import annotations

import asyncio

import pytest
from support.virtual_time import in_virtual_time

from services.edge.read_turns import ReadTurns, ReadTurnSettings


@pytest.mark.parametrize(("publishers", "delay_ms"), [(0, 0), (4, 0), (5, 1), (99, 19), (100, 20), (5000, 20)])
@in_virtual_time
async def test_turns_are_as_long_as_there_are_publishers(publishers: int, delay_ms: int) -> None:
    settings = ReadTurnSettings(max_delay_ms=20, publishers_per_delay_ms=5)
    assert ReadTurns(settings, range(publishers), asyncio.get_running_loop()).delay_ms == delay_ms


@in_virtual_time
async def test_all_that_wait_go_on_together_and_who_waits_again_does_so_for_the_next_turn() -> None:
    loop, went_on = asyncio.get_running_loop(), list[tuple[str, int]]()
    turns = ReadTurns(ReadTurnSettings(max_delay_ms=20, publishers_per_delay_ms=1), range(100), loop)
    begun = loop.time()

    def go_on(name: str) -> None:
        went_on.append((name, round((loop.time() - begun) * 1000)))
        if len(went_on) < 4:
            turns.wait(lambda: go_on(name))

    turns.wait(lambda: go_on("a"))
    await asyncio.sleep(0.005)
    turns.wait(lambda: go_on("b"))
    await asyncio.sleep(1)
    assert went_on == [("a", 20), ("b", 20), ("a", 40), ("b", 40), ("a", 60)]
