"""Following a stream: one subscription, kept through whatever happens to its origin."""

from __future__ import annotations

import asyncio

import pytest
from support.edge_fakes import FIRST, SECOND, STREAM, FakeLinks, FakeScheduler, gop, location, run_of, video
from support.virtual_time import in_virtual_time, settle

from lalmesh.runtime.durations import GAP_BUCKETS_S, Durations
from lalmesh.runtime.follower import UNREACHABLE, Follower, FollowSettings
from lalmesh.runtime.following import Demand
from lalmesh.runtime.gathering import Gatherer
from lalmesh.runtime.link import CloseReason
from lalmesh.runtime.ownership import NO_EPOCH, NO_PLACE, UnitName
from lalmesh.runtime.reader import Reader
from lalmesh.runtime.ring import Run
from lalmesh.runtime.scheduling import AskedUrl, Refusal, Refused


class Reading:
    """A follower with a scheduler and links that tests drive."""

    def __init__(self, *, awaits_first: bool = False) -> None:
        self.scheduler = FakeScheduler()
        self.links = FakeLinks()
        self.runs: list[Run] = []
        settings = FollowSettings(lost_s=30, keep_s=12, awaits_first=awaits_first)
        self.follower = Follower(STREAM, Gatherer(self.scheduler.locate), self.links, settings, Reader(), self.runs.append)
        self.task = asyncio.create_task(self.follower.run())

    async def live(self) -> Reading:
        """Reading a stream that is published."""
        self.scheduler.put(location(1))
        (await self.links.opened(1)).serve(run_of(gop(0, 3)))
        return self

    @property
    def seqs(self) -> list[int]:
        return [unit.seq for run in self.runs for unit in run.units]


@in_virtual_time
async def test_the_stream_is_found_and_read_and_its_origin_asked_to_keep_some() -> None:
    reading = await Reading().live()
    request = reading.links.subscriptions[0].request
    assert (reading.seqs, request.after, request.keep_s) == ([0, 1, 2], None, 12)


@in_virtual_time
async def test_the_end_of_the_stream_ends_it() -> None:
    reading = await Reading().live()
    reading.links.subscriptions[0].events.subscription_closed(CloseReason.STREAM_ENDED, "it is over")
    assert await reading.task == "it is over"
    assert len(reading.links.subscriptions) == 1


@in_virtual_time
async def test_after_a_broken_link_it_goes_on_at_the_same_origin() -> None:
    reading = await Reading().live()
    reading.links.subscriptions[0].events.subscription_closed(CloseReason.LINK_LOST, "broken")
    again = await reading.links.opened(2)
    assert (again.origin, again.request.after) == ("o", UnitName(FIRST, 2))
    again.serve(run_of([video(2), video(3)]))
    assert reading.seqs == [0, 1, 2, 3]


@in_virtual_time
async def test_a_stream_that_has_moved_is_followed_by_notice_or_by_asking() -> None:
    reading = await Reading().live()
    reading.follower.moved(location(1, "p"))
    await settle()
    assert len(reading.links.subscriptions) == 1, "a place that is not higher was followed"
    reading.follower.moved(location(2, "p"))
    moved = await reading.links.opened(2)
    assert (moved.origin, reading.links.subscriptions[0].closed) == ("p", False)
    moved.serve(run_of([video(3)]), revision=2)
    assert (reading.seqs, reading.links.subscriptions[0].closed) == ([0, 1, 2, 3], True)
    reading.scheduler.put(location(3, "o"))
    moved.events.subscription_closed(CloseReason.LINK_LOST, "broken")
    assert (await reading.links.opened(3)).origin == "o"


@in_virtual_time
async def test_both_subscriptions_deliver_until_the_new_one_has() -> None:
    reading = await Reading().live()
    old = reading.links.subscriptions[0]
    old.events.source_lost(location(2, "p"))
    new = await reading.links.opened(2)
    old.events.receive(run_of([video(3)]))
    new.serve(run_of([video(3), video(4)]), revision=2)
    assert (reading.seqs, old.closed, reading.follower.reader.counters.repeated) == ([0, 1, 2, 3, 4], True, 1)


@in_virtual_time
async def test_the_heir_is_gone_to_at_once_and_waited_at() -> None:
    reading = Reading()
    reading.scheduler.put(location(1, heir="p"))
    (await reading.links.opened(1)).serve(run_of(gop(0, 3)))
    reading.links.subscriptions[0].events.subscription_closed(CloseReason.LINK_LOST, "broken")
    assert len(reading.links.subscriptions) == 2, "not at once"
    heir = reading.links.subscriptions[1]
    assert (heir.origin, heir.request.after) == ("p", UnitName(FIRST, 2))
    heir.events.subscription_opened(NO_EPOCH, NO_PLACE)
    await asyncio.sleep(5)
    heir.events.receive(run_of([video(3)]))
    assert reading.seqs == [0, 1, 2, 3]


@in_virtual_time
async def test_units_of_an_outdated_place_are_not_taken() -> None:
    reading = Reading()
    reading.scheduler.put(location(2))
    (await reading.links.opened(1)).serve(run_of(gop(0, 1), revision=2), revision=2)
    reading.links.subscriptions[0].events.subscription_closed(CloseReason.LINK_LOST, "broken")
    (await reading.links.opened(2)).serve(run_of([video(1)]), revision=1)
    assert (reading.seqs, reading.follower.reader.counters.fenced) == ([0], 1)


@in_virtual_time
async def test_readers_that_lose_an_origin_together_ask_together() -> None:
    scheduler, links = FakeScheduler(), FakeLinks()
    locates, settings = Gatherer(scheduler.locate), FollowSettings()
    followers = [Follower(STREAM, locates, links, settings, Reader(), lambda _: None) for _ in range(5)]
    tasks = [asyncio.create_task(follower.run()) for follower in followers]
    scheduler.put(location(1))
    await links.opened(5)
    for subscription in links.subscriptions:
        subscription.events.subscription_closed(CloseReason.LINK_LOST, "broken")
    await settle()
    assert scheduler.locate_calls == [5, 5]
    for task in tasks:
        task.cancel()


@in_virtual_time
async def test_the_scheduler_hears_for_whom_a_stream_is_wanted() -> None:
    scheduler, demand = FakeScheduler(), Demand(("there~2",), AskedUrl("live", "token=1"))
    follower = Follower(STREAM, Gatherer(scheduler.locate), FakeLinks(), FollowSettings(demand=demand), Reader(), lambda _: None)
    task = asyncio.create_task(follower.run())
    await settle()
    assert [(wanted.via, wanted.asked) for wanted in scheduler.wanted] == [demand]
    task.cancel()


@in_virtual_time
async def test_an_origin_that_stays_out_of_reach_is_reported() -> None:
    reading = await Reading().live()
    reading.links.subscriptions[0].events.subscription_closed(CloseReason.LINK_LOST, "broken")
    for number in range(2, 5):
        (await reading.links.opened(number)).events.subscription_closed(CloseReason.LINK_LOST, "broken")
    await asyncio.sleep(5)
    assert [wanted.unreachable for wanted in reading.scheduler.wanted][:2] == [None, None]
    assert reading.scheduler.wanted[-1].unreachable == location(1).origin.node


@in_virtual_time
async def test_the_end_of_the_follower_closes_what_is_open() -> None:
    reading = await Reading().live()
    reading.follower.moved(location(2, "p"))
    await reading.links.opened(2)
    reading.task.cancel()
    await settle()
    assert [subscription.closed for subscription in reading.links.subscriptions] == [True, True]


@in_virtual_time
async def test_a_core_that_fails_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    reading = await Reading().live()
    monkeypatch.setattr(reading.follower._core, "handle", lambda _event, _now: 1 / 0)
    reading.follower.moved(location(2, "p"))
    with pytest.raises(ZeroDivisionError):
        await reading.task


@in_virtual_time
async def test_an_heir_without_a_publication_is_waited_at() -> None:
    reading = await Reading().live()
    reading.scheduler.put(location(2, "p"))
    reading.links.subscriptions[0].events.subscription_closed(CloseReason.SOURCE_LOST, "")
    again = await reading.links.opened(2)
    again.events.subscription_opened(NO_EPOCH, NO_PLACE)
    await asyncio.sleep(5)
    assert not again.closed
    again.events.receive(run_of([video(3)]))
    assert reading.seqs == [0, 1, 2, 3]


@in_virtual_time
async def test_another_publication_goes_on_in_time() -> None:
    reading = await Reading().live()
    reading.links.subscriptions[0].events.receive(run_of(gop(0, 2), revision=2, publication=SECOND))
    times = [unit.dts for run in reading.runs for unit in run.units]
    assert times == sorted(set(times))


@in_virtual_time
async def test_a_stream_that_no_origin_has_is_given_up_after_a_while() -> None:
    reading = await Reading().live()
    reading.scheduler.location = None
    reading.links.subscriptions[0].events.subscription_closed(CloseReason.SOURCE_LOST, "")
    await asyncio.sleep(25)
    assert not reading.task.done()
    await asyncio.sleep(30)
    assert await reading.task == UNREACHABLE


@in_virtual_time
async def test_a_stream_that_nothing_has_come_of_is_looked_for_as_long_as_it_is_wanted() -> None:
    reading = Reading(awaits_first=True)
    await asyncio.sleep(300)
    assert not reading.task.done()
    await reading.live()
    assert reading.seqs == [0, 1, 2]


@in_virtual_time
async def test_it_is_known_why_nobody_can_say_where_the_stream_is() -> None:
    reading = Reading()
    reading.scheduler.away = Refused(Refusal.UNAVAILABLE, "no scheduler answers")
    await settle()
    assert reading.follower.refused == reading.scheduler.away
    reading.scheduler.away = None
    await reading.live()
    assert reading.follower.refused is None


@in_virtual_time
async def test_who_gets_the_units_may_change() -> None:
    reading, later = await Reading().live(), list[Run]()
    reading.follower.deliver = later.append
    reading.links.subscriptions[0].events.receive(run_of([video(3)]))
    assert (reading.seqs, [unit.seq for run in later for unit in run.units]) == ([0, 1, 2], [3])


@in_virtual_time
async def test_it_is_counted_how_long_nothing_came_as_the_origin_was_lost_or_moved() -> None:
    reading, gaps = await Reading().live(), Durations(GAP_BUCKETS_S)
    reading.follower.gaps = gaps
    reading.scheduler.put(location(2, "p"))
    reading.links.subscriptions[0].events.subscription_closed(CloseReason.LINK_LOST, "broken")
    again = await reading.links.opened(2)
    await asyncio.sleep(2)
    again.serve(run_of([video(3)]), revision=2)
    assert gaps.count == 1
    assert 2 <= gaps.sum_s < 4
    again.events.source_lost(location(3, "o"))
    (await reading.links.opened(3)).serve(run_of([video(4)]), revision=3)
    assert gaps.count == 2
