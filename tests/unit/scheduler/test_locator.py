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
from services.scheduler.locator import AGAIN_S, FIRST_LOOK_S, HOLD_S, Locator
from services.scheduler.view import View

CAM, NEVER = StreamKey.of("live", "cam"), StreamKey.of("live", "never")
WAIT_S = 0.5
LATE_S = 0.2
AGAIN = Refused(Refusal.NOT_FOUND, "live/never is nowhere yet", AGAIN_S)


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


@in_virtual_time
async def test_who_waits_for_a_first_publisher_holds_up_nobody_whose_stream_is_there() -> None:
    view = FakeView(groups={CAM: Shown(location(1))})
    begun_s = now_s()
    assert await locator(view).find([Wanted(NEVER), Wanted(CAM), Wanted(NEVER)], WAIT_S) == [AGAIN, location(1), AGAIN]
    assert now_s() == begun_s


@in_virtual_time
async def test_nor_anybody_whose_stream_comes() -> None:
    view, begun_s = FakeView(), now_s()
    waits = locator(view)
    finding = asyncio.create_task(waits.find([Wanted(NEVER), Wanted(CAM)], WAIT_S))
    await asyncio.sleep(LATE_S)
    view.groups[CAM] = Shown(location(1))
    waits.wake(CAM)
    assert await finding == [AGAIN, location(1)]
    assert now_s() - begun_s == pytest.approx(LATE_S)
    await settle()
    assert not waits.waited


@in_virtual_time
async def test_those_that_lost_an_origin_wait_for_each_other_for_a_moment() -> None:
    view, begun_s = FakeView(groups={CAM: Shown(location(2))}), now_s()
    waits, lost = locator(view), Wanted(NEVER, Place(1, 1))
    finding = asyncio.create_task(waits.find([lost, Wanted(CAM, Place(1, 1))], 10.0))
    assert await finding == [AGAIN, location(2)]
    assert now_s() - begun_s == pytest.approx(HOLD_S)
    finding = asyncio.create_task(waits.find([lost, Wanted(CAM, Place(1, 1))], 10.0))
    await asyncio.sleep(LATE_S)
    view.groups[NEVER] = Shown(location(3))
    waits.wake(NEVER)
    assert await finding == [location(3), location(2)]


@in_virtual_time
async def test_where_nothing_comes_all_are_waited_for() -> None:
    begun_s = now_s()
    found = await locator(FakeView()).find([Wanted(NEVER), Wanted(CAM, Place(1, 1))], WAIT_S)
    assert found == [Refused(Refusal.NOT_FOUND, "live/never is nowhere"), Refused(Refusal.NOT_FOUND, "live/cam is nowhere")]
    assert now_s() - begun_s == pytest.approx(WAIT_S)


@in_virtual_time
async def test_what_is_wanted_at_once_is_looked_for_though_others_are_known() -> None:
    view = FakeView(groups={CAM: Shown(location(1))}, look_s=LATE_S)
    wanted = [Wanted(NEVER, at_once=True), Wanted(CAM, at_once=True)]
    assert await locator(view).find(wanted, WAIT_S) == [Refused(Refusal.NOT_FOUND, "live/never is nowhere"), location(1)]
    view.look_s = 60.0
    missing, there = await locator(view).find(wanted, 10.0)
    assert there == location(1)
    assert isinstance(missing, Refused)
    assert missing.refusal is Refusal.UNAVAILABLE, "nobody knows that it is nowhere"


@in_virtual_time
async def test_a_bug_is_told_and_nobody_goes_on_waiting() -> None:
    class Broken(FakeView):
        async def look_for_group(self, stream: StreamKey) -> None:
            if stream == CAM:
                raise KeyError("a bug")

    waits = locator(Broken())
    with pytest.raises(KeyError, match="a bug"):
        await waits.find([Wanted(NEVER), Wanted(CAM)], WAIT_S)
    await settle()
    assert not waits.waited
