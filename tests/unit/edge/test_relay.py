"""Relays: one subscription a stream, kept through whatever happens to its origin."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import NoReturn

import pytest
from support.edge_fakes import (
    BOTH,
    FIRST,
    SECOND,
    STREAM,
    VIDEO,
    FakeLinks,
    FakeScheduler,
    epoch,
    gop,
    location,
    place,
    run_of,
    video,
)
from support.virtual_time import in_virtual_time, settle

from lalmesh.container.flv import BodyMuxer
from lalmesh.errors import StreamNotFound, Unavailable
from lalmesh.media import TrackSet
from lalmesh.remux import FlvPackager
from lalmesh.runtime.fences import Fences
from lalmesh.runtime.link import CloseReason
from lalmesh.runtime.ownership import NO_EPOCH, NO_PLACE, UnitName
from lalmesh.runtime.scheduling import Refusal, Refused
from services.edge.feed import PlayerFeed
from services.edge.looks import KNOWN_S, LOOK_S
from services.edge.outputs import OutputFormat
from services.edge.relay import Relay, Relays, RelaySettings

WAIT_S = 10.0
NOBODY_ANSWERS = Refused(Refusal.UNAVAILABLE, "no scheduler answers", 0.5)
FLV = OutputFormat(key="flv", name="flv", packager=lambda: FlvPackager(BodyMuxer()))


def failing_by_a_bug(*_: object) -> NoReturn:
    raise IndexError("a bug")


@dataclass(eq=False)
class Player:
    """A player of the FLV fan-out of a relay."""

    relay: Relay
    written: list[bytes] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.feed = PlayerFeed(self.written.append, lambda: 0, self.closed.append)
        self.relay.fanout(FLV).add(self.feed)


class Edge:
    """The relays of an edge with a scheduler and links that tests drive."""

    def __init__(self) -> None:
        self.scheduler = FakeScheduler()
        self.links = FakeLinks()
        self.fences = Fences()
        self.relays = Relays(self.scheduler, self.links, RelaySettings(linger_s=3, lost_s=30), self.fences)

    async def playing(self) -> tuple[Relay, Player]:
        """A player of a stream that is published."""
        self.scheduler.put(location(1))
        acquired = asyncio.create_task(self.relays.acquire(STREAM, WAIT_S))
        (await self.links.opened(1)).serve(run_of(gop(0, 3)))
        relay = await acquired
        return relay, Player(relay)


@in_virtual_time
async def test_a_player_gets_what_the_origin_sends() -> None:
    edge = Edge()
    relay, player = await edge.playing()
    assert edge.links.subscriptions[0].request.place == place(1)
    assert edge.links.subscriptions[0].request.after is None
    edge.links.subscriptions[0].events.receive(run_of([video(3)]))
    assert (len(player.written), relay.players, len(edge.relays)) == (2, 1, 1)
    assert edge.relays.reader_totals.units == 4


@in_virtual_time
async def test_what_comes_next_has_the_time_that_is_left_until_its_players_get_what_they_gather() -> None:
    edge = Edge()
    relay, _ = await edge.playing()
    relay.outputs.settling.end()
    assert not edge.relays.gather
    for _ in range(79):
        Player(relay)
    assert edge.relays.gather
    assert edge.relays.slack_s(STREAM) == 0
    edge.links.subscriptions[0].events.receive(run_of([video(3)]))
    await asyncio.sleep(0.006)
    assert edge.relays.slack_s(STREAM) == pytest.approx(0.010)
    assert edge.relays.slack_s(STREAM._replace(name="another")) == 0


@in_virtual_time
async def test_a_player_that_comes_before_the_publisher_waits_for_it() -> None:
    edge = Edge()
    acquired = asyncio.create_task(edge.relays.acquire(STREAM, WAIT_S))
    await asyncio.sleep(8)
    assert not edge.links.subscriptions
    edge.scheduler.put(location(1))
    (await edge.links.opened(1)).serve(run_of(gop(0, 1)))
    assert await acquired is next(iter(edge.relays))


@in_virtual_time
async def test_a_player_waits_only_so_long_and_its_relay_goes_away() -> None:
    edge = Edge()
    with pytest.raises(StreamNotFound, match="within 10 s"):
        await edge.relays.acquire(STREAM, WAIT_S)
    assert len(edge.relays) == 1
    await asyncio.sleep(3.1)
    assert len(edge.relays) == 0


@in_virtual_time
async def test_who_does_not_wait_for_a_publisher_is_refused_at_once() -> None:
    edge = Edge()
    begun = asyncio.get_running_loop().time()
    with pytest.raises(StreamNotFound, match="nobody publishes it"):
        await edge.relays.acquire(STREAM, 0)
    assert (asyncio.get_running_loop().time(), len(edge.relays)) == (begun, 0)
    edge.scheduler.away = Refused(Refusal.UNAVAILABLE, "no scheduler answers", 0.5)
    with pytest.raises(Unavailable, match="no scheduler answers"):
        await edge.relays.acquire(STREAM, 0)


@in_virtual_time
async def test_who_does_not_wait_for_a_publisher_waits_for_the_units_of_a_stream_that_is_there() -> None:
    edge = Edge()
    edge.scheduler.put(location(1))
    acquired = asyncio.create_task(edge.relays.acquire(STREAM, 0))
    (await edge.links.opened(1)).serve(run_of(gop(0, 1)))
    relay = await acquired
    assert await edge.relays.acquire(STREAM, 0) is relay


@in_virtual_time
async def test_players_of_a_stream_share_one_relay() -> None:
    edge = Edge()
    relay, _ = await edge.playing()
    assert await edge.relays.acquire(STREAM, WAIT_S) is relay
    assert len(edge.links.subscriptions) == 1


@in_virtual_time
async def test_all_relays_share_what_joins_may_hold_and_a_sweep_finds_out_who_has_it() -> None:
    edge = Edge()
    relay, _ = await edge.playing()
    waiting = [1]
    feed = PlayerFeed(lambda _: None, lambda: waiting[0], lambda _: None)
    relay.fanout(FLV).add(feed)
    relay.fanout(FLV).remove(feed)
    edge.relays.sweep()
    assert edge.relays.bursts.size_bytes > 0
    waiting[0] = 0
    edge.relays.sweep()
    assert edge.relays.bursts.size_bytes == 0


@in_virtual_time
async def test_a_relay_whose_sweep_fails_keeps_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    edge, swept = Edge(), list[None]()
    looking = [asyncio.create_task(edge.relays.acquire(STREAM._replace(name=name), WAIT_S)) for name in ("one", "another")]
    await settle()
    broken, other = edge.relays
    monkeypatch.setattr(broken.outputs, "sweep", failing_by_a_bug)
    monkeypatch.setattr(other.outputs, "sweep", lambda: swept.append(None))
    edge.relays.sweep()
    assert swept == [None]
    for task in looking:
        task.cancel()


@in_virtual_time
async def test_a_later_format_begins_with_what_the_relay_has() -> None:
    edge = Edge()
    relay, _ = await edge.playing()
    late = PlayerFeed((written := list[bytes]()).append, lambda: 0, lambda _: None)
    relay.fanout(replace(FLV, key="another")).add(late)
    assert written
    assert written[0].startswith(b"FLV")


@in_virtual_time
async def test_a_format_that_nobody_plays_is_packaged_no_more() -> None:
    edge = Edge()
    relay, player = await edge.playing()
    relay.fanout(FLV).remove(player.feed)
    relay.left("flv")
    assert relay.fanouts == []
    assert edge.relays.fanout_totals.joins == 1


@in_virtual_time
async def test_a_relay_lingers_after_its_last_player_and_is_there_for_the_next() -> None:
    edge = Edge()
    relay, _ = await edge.playing()
    relay.let_go()
    await asyncio.sleep(2.9)
    assert await edge.relays.acquire(STREAM, WAIT_S) is relay
    await asyncio.sleep(10)
    assert not edge.links.subscriptions[0].closed


@in_virtual_time
async def test_a_relay_that_nobody_plays_closes_its_subscription() -> None:
    edge = Edge()
    relay, _ = await edge.playing()
    relay.let_go()
    await asyncio.sleep(3.1)
    assert (edge.links.subscriptions[0].closed, len(edge.relays)) == (True, 0)


@in_virtual_time
async def test_who_comes_at_the_moment_of_the_end_gets_a_new_relay() -> None:
    edge = Edge()
    relay, _ = await edge.playing()
    relay.let_go()
    relay._linger_over()
    acquired = asyncio.create_task(edge.relays.acquire(STREAM, WAIT_S))
    (await edge.links.opened(2)).serve(run_of(gop(0, 1)))
    assert await acquired is not relay


@in_virtual_time
async def test_the_end_of_the_stream_ends_its_players() -> None:
    edge = Edge()
    _, player = await edge.playing()
    edge.links.subscriptions[0].events.subscription_closed(CloseReason.STREAM_ENDED, "it is over")
    await settle()
    assert (player.closed, len(edge.relays)) == (["it is over"], 0)


@in_virtual_time
async def test_a_player_that_starts_on_a_relay_that_has_ended_is_ended() -> None:
    edge = Edge()
    relay, _ = await edge.playing()
    edge.links.subscriptions[0].events.subscription_closed(CloseReason.STREAM_ENDED, "it is over")
    await settle()
    late = Player(relay)
    await settle()
    assert late.closed == ["it is over"]


@in_virtual_time
async def test_after_a_broken_link_the_relay_resumes_at_the_same_origin() -> None:
    edge = Edge()
    _, player = await edge.playing()
    edge.links.subscriptions[0].events.subscription_closed(CloseReason.LINK_LOST, "broken")
    again = await edge.links.opened(2)
    assert (again.origin, again.request.after) == ("o", UnitName(FIRST, 2))
    again.serve(run_of([video(2), video(3)]))
    assert (player.closed, len(player.written)) == ([], 2)
    assert (edge.relays.reader_totals.repeated, edge.relays.reader_totals.missing) == (1, 0)


@in_virtual_time
async def test_the_schedulers_notice_of_a_move_is_followed() -> None:
    edge = Edge()
    await edge.playing()
    edge.relays.moved(location(1, "p"))
    edge.relays.moved(location(2, "o"))
    await settle()
    assert not edge.links.subscriptions[0].closed
    edge.scheduler.put(location(3, "p"))
    edge.relays.moved(location(3, "p"))
    moved = await edge.links.opened(2)
    assert (moved.origin, edge.links.subscriptions[0].closed) == ("p", False)
    moved.serve(run_of([video(3)], revision=1), revision=3)
    assert edge.links.subscriptions[0].closed


@in_virtual_time
async def test_the_rest_of_the_earlier_publication_comes_before_the_next_one() -> None:
    edge = Edge()
    relay, _ = await edge.playing()
    edge.links.subscriptions[0].events.subscription_closed(CloseReason.LINK_LOST, "broken")
    again = await edge.links.opened(2)
    again.serve(run_of([video(3)]), run_of(gop(0, 2), revision=2, publication=SECOND), revision=2)
    assert (relay.reader.counters.units, relay.reader.counters.fenced) == (6, 0)


@in_virtual_time
async def test_players_are_kept_while_no_origin_can_be_reached_but_not_for_ever() -> None:
    edge = Edge()
    _, player = await edge.playing()
    number = 0
    until = asyncio.get_running_loop().time() + 28
    while asyncio.get_running_loop().time() < until:
        number += 1
        (await edge.links.opened(number)).events.subscription_closed(CloseReason.LINK_LOST, "broken")
        await asyncio.sleep(0.01)
    assert player.closed == []
    for _ in range(5):
        number += 1
        (await edge.links.opened(number)).events.subscription_closed(CloseReason.LINK_LOST, "broken")
        await asyncio.sleep(1.5)
        if player.closed:
            break
    assert player.closed == ["no origin could be reached"]


@in_virtual_time
async def test_an_origin_that_forgot_the_stream_does_not_keep_players_for_ever() -> None:
    edge = Edge()
    _, player = await edge.playing()
    edge.links.subscriptions[0].events.subscription_closed(CloseReason.LINK_LOST, "broken")
    again = await edge.links.opened(2)
    again.events.subscription_opened(NO_EPOCH, NO_PLACE)
    await asyncio.sleep(31)
    again.events.subscription_closed(CloseReason.NOT_FOUND, "no publication came")
    await asyncio.sleep(5)
    assert player.closed == ["no origin could be reached"]


@in_virtual_time
async def test_the_end_of_the_edge_ends_every_relay() -> None:
    edge = Edge()
    _, player = await edge.playing()
    waiting = asyncio.create_task(edge.relays.acquire(STREAM._replace(name="b"), WAIT_S))
    await asyncio.sleep(0)
    await edge.relays.close()
    with pytest.raises(StreamNotFound):
        await waiting
    assert (len(player.closed), len(edge.relays)) == (1, 0)


@in_virtual_time
async def test_tracks_that_come_a_moment_after_the_others_are_waited_for() -> None:
    edge = Edge()
    edge.scheduler.put(location(1))
    acquired = asyncio.create_task(edge.relays.acquire(STREAM, WAIT_S))
    subscription = await edge.links.opened(1)
    subscription.serve(run_of(gop(0, 3), tracks=TrackSet((VIDEO,), 1)))
    relay = await acquired
    asyncio.get_running_loop().call_later(0.3, subscription.events.receive, run_of([video(3)], tracks=BOTH))
    before = relay.outputs.tracks_for(FLV)
    await relay.settled()
    assert (len(before.tracks), relay.outputs.tracks_for(FLV)) == (1, BOTH)


@in_virtual_time
async def test_an_end_is_waited_for_no_longer() -> None:
    edge = Edge()
    edge.scheduler.put(location(1))
    acquired = asyncio.create_task(edge.relays.acquire(STREAM, WAIT_S))
    subscription = await edge.links.opened(1)
    subscription.serve(run_of(gop(0, 3), tracks=TrackSet((VIDEO,), 1)))
    relay, begun = await acquired, asyncio.get_running_loop().time()
    subscription.events.subscription_closed(CloseReason.STREAM_ENDED, "it is over")
    await relay.settled()
    assert asyncio.get_running_loop().time() - begun < 0.1


@in_virtual_time
async def test_where_nobody_can_say_where_a_stream_is_the_player_is_told_to_try_again() -> None:
    edge = Edge()
    edge.scheduler.away = Refused(Refusal.UNAVAILABLE, "no scheduler answers", 0.5)
    with pytest.raises(Unavailable, match="no scheduler answers") as raised:
        await edge.relays.acquire(STREAM, WAIT_S)
    assert raised.value.retry_after_s == 0.5


async def left_alone(*, after_s: float = 0.0) -> Edge:
    """An edge whose stream was played a minute ago, with an heir, and that no scheduler answers any more; it knows `after_s`."""
    edge = Edge()
    edge.scheduler.put(location(1, heir="p"))
    acquired = asyncio.create_task(edge.relays.acquire(STREAM, WAIT_S))
    (await edge.links.opened(1)).serve(run_of(gop(0, 3)))
    (await acquired).let_go()
    await asyncio.sleep(60)
    assert len(edge.relays) == 0
    edge.scheduler.away, edge.scheduler.away_after_s = NOBODY_ANSWERS, after_s
    return edge


@in_virtual_time
@pytest.mark.parametrize("wait_s", [0.0, WAIT_S])
@pytest.mark.parametrize("after_s", [0.0, 10.0])
async def test_a_stream_that_was_played_a_minute_ago_is_played_while_no_scheduler_answers(wait_s: float, after_s: float) -> None:
    edge = await left_alone(after_s=after_s)
    begun = asyncio.get_running_loop().time()
    acquired = asyncio.create_task(edge.relays.acquire(STREAM, wait_s))
    again = await edge.links.opened(2)
    assert (again.origin, again.request.place, again.request.after) == ("o", place(1), None)
    again.serve(run_of(gop(3, 3)))
    assert (await acquired).reader.counters.units == 3
    assert asyncio.get_running_loop().time() - begun < KNOWN_S + LOOK_S + 0.1


@in_virtual_time
async def test_however_many_wait_for_a_stream_whose_place_is_known_one_question_is_asked() -> None:
    edge = await left_alone()
    asked = len(edge.scheduler.wanted)
    waiting = [asyncio.create_task(edge.relays.acquire(STREAM, WAIT_S)) for _ in range(50)]
    await edge.links.opened(2)
    assert sum(wanted.at_once for wanted in edge.scheduler.wanted[asked:]) == 1
    edge.links.subscriptions[1].serve(run_of(gop(3, 3)))
    assert len({id(relay) for relay in await asyncio.gather(*waiting)}) == 1


@in_virtual_time
async def test_where_the_origin_that_had_the_stream_is_gone_too_its_heir_is_looked_at_and_a_player_told_to_try_again() -> None:
    edge = await left_alone()
    acquired = asyncio.create_task(edge.relays.acquire(STREAM, WAIT_S))
    (await edge.links.opened(2)).events.subscription_closed(CloseReason.LINK_LOST, "refused")
    assert (await edge.links.opened(3)).origin == "p"
    edge.links.subscriptions[2].events.subscription_closed(CloseReason.LINK_LOST, "refused")
    with pytest.raises(Unavailable, match="no scheduler answers"):
        await acquired
    await asyncio.sleep(3.1)
    assert len(edge.relays) == 0
    assert all(subscription.closed for subscription in edge.links.subscriptions[3:])


@in_virtual_time
@pytest.mark.parametrize("wait_s", [0.0, WAIT_S])
async def test_a_player_is_told_to_try_again_where_the_place_gives_nothing_and_nobody_answers_in_time(wait_s: float) -> None:
    edge = await left_alone(after_s=10.0)
    acquired = asyncio.create_task(edge.relays.acquire(STREAM, wait_s))
    (await edge.links.opened(2)).events.subscription_opened(NO_EPOCH, NO_PLACE)
    with pytest.raises(Unavailable, match="no scheduler answers"):
        await acquired


@in_virtual_time
async def test_a_stream_that_ends_where_it_was_is_over_and_is_not_looked_for_there_again() -> None:
    edge = await left_alone()
    acquired = asyncio.create_task(edge.relays.acquire(STREAM, WAIT_S))
    (await edge.links.opened(2)).events.subscription_closed(CloseReason.STREAM_ENDED, "the publisher did not come back")
    with pytest.raises(StreamNotFound, match="did not come back"):
        await acquired
    with pytest.raises(Unavailable):
        await edge.relays.acquire(STREAM, WAIT_S)
    assert len(edge.links.subscriptions) == 2


@in_virtual_time
@pytest.mark.parametrize("wait_s", [0.0, WAIT_S])
async def test_a_scheduler_that_says_that_a_stream_is_nowhere_is_right(wait_s: float) -> None:
    edge = await left_alone()
    edge.scheduler.location = edge.scheduler.away = None
    with pytest.raises(StreamNotFound):
        await edge.relays.acquire(STREAM, wait_s)
    edge.scheduler.away = NOBODY_ANSWERS
    with pytest.raises(Unavailable):
        await edge.relays.acquire(STREAM, wait_s)
    assert len(edge.links.subscriptions) == 1


@in_virtual_time
async def test_a_scheduler_that_is_back_sends_a_reader_on_from_where_the_stream_was() -> None:
    edge = await left_alone()
    acquired = asyncio.create_task(edge.relays.acquire(STREAM, WAIT_S))
    (await edge.links.opened(2)).events.subscription_opened(NO_EPOCH, NO_PLACE)
    edge.scheduler.away = None
    edge.scheduler.put(location(5, "q"))
    moved = await edge.links.opened(3)
    assert moved.origin == "q"
    moved.serve(run_of(gop(0, 3), revision=5, publication=SECOND), revision=5)
    relay = await acquired
    assert (relay.reader.epoch, relay.location) == (epoch(5), location(5, "q"))
    assert edge.links.subscriptions[1].closed


@in_virtual_time
async def test_an_origin_that_is_looked_at_for_want_of_a_scheduler_is_refused_what_is_outdated() -> None:
    edge = await left_alone()
    edge.fences.see(STREAM, epoch(2), SECOND)  # the edge has heard of a later owner since
    acquired = asyncio.create_task(edge.relays.acquire(STREAM, WAIT_S))
    (await edge.links.opened(2)).serve(run_of(gop(3, 3)))
    (relay,) = edge.relays
    assert (relay.reader.counters.fenced, relay.reader.counters.units) == (3, 0)
    edge.links.subscriptions[1].serve(run_of(gop(0, 3), revision=2, publication=SECOND), revision=2)
    assert (await acquired).reader.seen == (epoch(2), SECOND)


@in_virtual_time
async def test_a_stream_that_was_read_at_the_heir_last_is_looked_for_there() -> None:
    edge, heir = Edge(), place(1)._replace(heir=True)
    edge.scheduler.put(location(1, heir="p"))
    acquired = asyncio.create_task(edge.relays.acquire(STREAM, WAIT_S))
    (await edge.links.opened(1)).serve(run_of(gop(0, 3)))
    edge.scheduler.away = NOBODY_ANSWERS
    edge.links.subscriptions[0].events.subscription_closed(CloseReason.LINK_LOST, "broken")
    (await edge.links.opened(2)).events.subscription_opened(epoch(1), heir)
    (await acquired).let_go()
    await asyncio.sleep(60)
    acquired = asyncio.create_task(edge.relays.acquire(STREAM, WAIT_S))
    before = len(edge.links.subscriptions)
    again = await edge.links.opened(before + 1)
    assert (again.origin, again.request.place) == ("p", heir)
    again.events.subscription_opened(epoch(1), heir)
    run = run_of(gop(3, 3))
    run.place = heir
    again.events.receive(run)
    await acquired


@in_virtual_time
async def test_a_stream_whose_origin_could_not_be_reached_for_long_is_looked_for_there_when_its_players_come_back() -> None:
    edge = Edge()
    _, player = await edge.playing()
    edge.scheduler.away = NOBODY_ANSWERS
    for subscription in edge.links.subscriptions:
        subscription.events.subscription_closed(CloseReason.LINK_LOST, "broken")
    await asyncio.sleep(35)
    assert player.closed == ["no origin could be reached"]
    before = len(edge.links.subscriptions)
    acquired = asyncio.create_task(edge.relays.acquire(STREAM, WAIT_S))
    (await edge.links.opened(before + 1)).serve(run_of(gop(3, 3)))
    await acquired


@in_virtual_time
async def test_notice_of_a_move_is_remembered_of_a_stream_that_was_played() -> None:
    edge = await left_alone()
    edge.relays.moved(location(3, "q"))
    edge.relays.moved(location(2, "p"))
    edge.relays.moved(replace(location(9), stream=STREAM._replace(name="another")))
    with pytest.raises(Unavailable):
        await edge.relays.acquire(STREAM._replace(name="another"), WAIT_S)
    acquired = asyncio.create_task(edge.relays.acquire(STREAM, WAIT_S))
    again = await edge.links.opened(2)
    again.serve(run_of(gop(0, 3), revision=3), revision=3)
    assert ((await acquired).publication, again.origin, again.request.place) == (FIRST, "q", place(3))


@in_virtual_time
async def test_a_later_relay_refuses_what_is_below_an_epoch_that_an_origin_has_only_named() -> None:
    edge = Edge()
    relay, _ = await edge.playing()
    edge.links.subscriptions[0].events.subscription_closed(CloseReason.LINK_LOST, "broken")
    (await edge.links.opened(2)).serve(revision=2)
    relay.let_go()
    await asyncio.sleep(3.1)
    assert len(edge.relays) == 0
    acquired = asyncio.create_task(edge.relays.acquire(STREAM, WAIT_S))
    (await edge.links.opened(3)).events.receive(run_of(gop(3, 3)))
    assert edge.relays.reader_totals.fenced == 3
    edge.links.subscriptions[2].events.receive(run_of(gop(0, 3), revision=2, publication=SECOND))
    assert (await acquired).reader.last is not None


@in_virtual_time
async def test_a_later_relay_still_refuses_an_owner_that_was_outdated_before() -> None:
    edge = Edge()
    edge.scheduler.put(location(7))
    acquired = asyncio.create_task(edge.relays.acquire(STREAM, WAIT_S))
    (await edge.links.opened(1)).serve(run_of(gop(0, 3), revision=7))
    (await acquired).let_go()
    await asyncio.sleep(3.1)
    assert len(edge.relays) == 0
    acquired = asyncio.create_task(edge.relays.acquire(STREAM, WAIT_S))
    (await edge.links.opened(2)).events.receive(run_of(gop(0, 3), revision=6, publication=SECOND))
    assert edge.relays.reader_totals.fenced == 3
    edge.links.subscriptions[1].events.receive(run_of(gop(3, 3), revision=7))
    assert (await acquired).reader.last is not None


@in_virtual_time
async def test_a_later_relay_refuses_another_publication_under_the_same_epoch() -> None:
    edge = Edge()
    relay, _ = await edge.playing()
    relay.let_go()
    await asyncio.sleep(3.1)
    acquired = asyncio.create_task(edge.relays.acquire(STREAM, WAIT_S))
    (await edge.links.opened(2)).serve(run_of(gop(0, 3), publication=SECOND))
    assert edge.relays.reader_totals.fenced == 3
    edge.links.subscriptions[1].events.receive(run_of(gop(3, 3)))
    await acquired


@in_virtual_time
async def test_a_relay_refuses_what_is_below_an_epoch_that_its_edge_has_published_under() -> None:
    edge = Edge()
    edge.fences.see(STREAM, epoch(5))
    edge.scheduler.put(location(1))
    acquired = asyncio.create_task(edge.relays.acquire(STREAM, WAIT_S))
    (await edge.links.opened(1)).serve(run_of(gop(0, 3), revision=4), revision=4)
    assert edge.relays.reader_totals.fenced == 3
    edge.links.subscriptions[0].events.receive(run_of(gop(0, 3), revision=6, publication=SECOND))
    await acquired


@in_virtual_time
async def test_a_relay_that_fails_at_its_first_units_lets_nobody_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    edge = Edge()
    edge.scheduler.put(location(1))
    acquired = asyncio.create_task(edge.relays.acquire(STREAM, WAIT_S))
    subscription = await edge.links.opened(1)
    with monkeypatch.context() as broken:
        broken.setattr(next(iter(edge.relays)).outputs.settling, "see", failing_by_a_bug)
        subscription.serve(run_of(gop(0, 3)))
    begun = asyncio.get_running_loop().time()
    with pytest.raises(StreamNotFound, match="internal error"):
        await acquired
    assert asyncio.get_running_loop().time() - begun < 0.1
    acquired = asyncio.create_task(edge.relays.acquire(STREAM, WAIT_S))
    (await edge.links.opened(2)).serve(run_of(gop(0, 3)))
    await acquired


@in_virtual_time
async def test_a_relay_that_fails_on_what_was_held_ends_and_the_next_one_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    edge = Edge()
    relay, player = await edge.playing()
    relay.outputs.settling.end()
    for _ in range(9):
        Player(relay)
    edge.links.subscriptions[0].events.receive(run_of([video(3)]))
    assert relay.outputs.held_bytes
    monkeypatch.setattr(relay.outputs._ring, "append", failing_by_a_bug)
    await asyncio.sleep(0.1)
    assert (player.closed, relay.players, len(edge.relays)) == (["internal error"], 0, 0)
    acquired = asyncio.create_task(edge.relays.acquire(STREAM, WAIT_S))
    (await edge.links.opened(2)).serve(run_of(gop(0, 3)))
    assert await acquired is not relay
