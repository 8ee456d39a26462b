"""Words about players of HLS to a scheduler that takes its time."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from support.virtual_time import in_virtual_time

from lalmesh.names import StreamKey
from lalmesh.runtime.hls_sessions import HlsPlayer, PlayerReports, Players
from lalmesh.runtime.hls_sessions._reports import CHUNK, LEAVE_S
from lalmesh.runtime.sessions import SessionTouch

WORDS = 10


class Scheduler:
    def __init__(self, takes_s: float) -> None:
        self._takes_s = takes_s
        self.told = 0

    async def touch_sessions(self, node: object, touches: list[SessionTouch], timeout_s: float) -> None:
        await asyncio.sleep(self._takes_s)
        self.told += len(touches)


async def left(takes_s: float) -> tuple[int, float]:
    """Of how many the scheduler was told by a node that stops, and how long that took."""
    loop = asyncio.get_running_loop()
    players, scheduler = Players(30.0, loop.time), Scheduler(takes_s)
    for number in range(WORDS * CHUNK):
        players.saw(StreamKey("live", "cam"), str(number), lambda: HlsPlayer(peer="192.0.2.1:1"), 10)
    began = loop.time()
    await PlayerReports(players, cast(Any, scheduler), cast(Any, lambda: None)).leave()
    return scheduler.told, loop.time() - began


@in_virtual_time
async def test_a_node_that_stops_tells_of_all_whom_it_counted() -> None:
    told, lasted_s = await left(takes_s=0.1)
    assert (told, round(lasted_s, 3)) == (WORDS * CHUNK, 1.0)


@in_virtual_time
async def test_a_scheduler_that_is_slow_does_not_hold_it_up() -> None:
    told, lasted_s = await left(takes_s=1.0)
    assert (told, lasted_s) == (CHUNK, LEAVE_S)
