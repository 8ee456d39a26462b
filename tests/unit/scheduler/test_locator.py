"""Locates wait for the view, and no moment longer than they may. Time is virtual."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import cast

import pytest
from support.virtual_time import in_virtual_time, settle

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Location, NodeAddress, NodeId, Place
from lalmesh.runtime.scheduling import Refusal, Refused, Wanted
from services.scheduler.locator import FIRST_LOOK_S, Locator
from services.scheduler.view import View

CAM = StreamKey.of("live", "cam")
WAIT_S = 0.5
LATE_S = 0.2


def location(revision: int) -> Location:
    return Location(stream=CAM, place=Place(1, revision), origin=NodeAddress(NodeId("o1", b"origin.1"), "o1:1"))


@dataclass
class Shown:
    location: Location

    @property
    def place(self) -> Place:
        return self.location.place


@dataclass
class FakeView:
    """A view, its own directory, and the registry behind it."""

    groups: dict[StreamKey, Shown] = field(default_factory=dict)
    looked: int = 0
    look_s: float = 0.0
    away: bool = False
    behind: bool = False  #: the registry has gone on
    asked: int = 0  #: whether it has
    waiting: dict[StreamKey, Shown] = field(default_factory=dict)  #: what it holds, and the watch has not brought

    @property
    def directory(self) -> FakeView:
        return self

    def group(self, stream: StreamKey) -> Shown | None:
        return self.groups.get(stream)

    async def look_for_group(self, stream: StreamKey) -> None:
        self.looked += 1
        await asyncio.sleep(self.look_s)
        if self.away:
            raise Unavailable("no registry", retry_after_s=0.7)
        self.groups.update(self.waiting)

    async def is_behind(self) -> bool:
        self.asked += 1
        await asyncio.sleep(0)
        return self.behind


def locator(view: FakeView) -> Locator:
    return Locator(cast(View, view))


def now_s() -> float:
    return asyncio.get_running_loop().time()


@in_virtual_time
async def test_what_is_nowhere_is_refused_when_the_time_is_over() -> None:
    view, begun_s = FakeView(), now_s()
    refused = await locator(view).wait_for(Wanted(CAM), WAIT_S)
    assert refused == Refused(Refusal.NOT_FOUND, "live/cam is nowhere")
    assert now_s() - begun_s == pytest.approx(WAIT_S)
    assert view.looked == 1


@in_virtual_time
async def test_a_registry_that_hangs_makes_nobody_wait_longer() -> None:
    begun_s = now_s()
    refused = await locator(FakeView(look_s=60.0)).wait_for(Wanted(CAM), WAIT_S)
    assert isinstance(refused, Refused)
    assert now_s() - begun_s == pytest.approx(WAIT_S)


@in_virtual_time
async def test_a_registry_that_is_away_is_the_reason_when_the_time_is_over() -> None:
    refused = await locator(FakeView(away=True)).wait_for(Wanted(CAM), WAIT_S)
    assert refused == Refused(Refusal.UNAVAILABLE, "no registry", 0.7)


@in_virtual_time
async def test_what_turns_up_or_moves_meanwhile_is_told_at_once() -> None:
    view = FakeView({CAM: Shown(location(5))})
    waits, begun_s = locator(view), now_s()
    waiting = asyncio.create_task(waits.wait_for(Wanted(CAM, after=location(5).place), WAIT_S))
    await settle()
    waits.wake(CAM)  # for something else: the place is not higher
    await asyncio.sleep(LATE_S)
    assert not waiting.done()
    view.groups[CAM] = Shown(location(6))
    waits.wake(CAM)
    await settle()
    assert waiting.done()
    assert waiting.result() == location(6)
    assert now_s() - begun_s == pytest.approx(LATE_S)


@in_virtual_time
async def test_while_the_watch_is_stuck_the_registry_itself_is_asked_again() -> None:
    view, begun_s = FakeView({CAM: Shown(location(5))}), now_s()
    waits = locator(view)
    waiting = asyncio.create_task(waits.wait_for(Wanted(CAM, after=location(5).place), 10.0))
    await asyncio.sleep(0.1)
    view.behind, view.waiting = True, {CAM: Shown(location(6))}
    assert await waiting == location(6)
    assert now_s() - begun_s <= FIRST_LOOK_S


@in_virtual_time
async def test_many_that_wait_ask_once_whether_the_watch_is_stuck_and_look_for_nothing_where_it_is_not() -> None:
    view = FakeView()
    waits = locator(view)
    await asyncio.gather(*(waits.wait_for(Wanted(StreamKey.of("live", f"cam{n}")), 10.0) for n in range(100)))
    assert view.looked == 100
    assert view.asked <= 4  # after 1, 3, 7 seconds
