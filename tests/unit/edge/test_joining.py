"""Players that wait for a stream: told of from their request on, ended like those that play."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry
from support.edge_context import edge_context
from support.edge_fakes import EDGE, STREAM, FakeLinks, FakeScheduler, epoch, gop, location, place, run_of
from support.virtual_time import in_virtual_time

from lalmesh.errors import StreamNotFound, Unavailable
from lalmesh.runtime.event_outbox import EventOutbox
from lalmesh.runtime.events import Event
from lalmesh.runtime.link import CloseReason
from lalmesh.runtime.listener import BLACKLISTED
from lalmesh.runtime.scheduling import Refusal, Refused
from services.edge.client import Client
from services.edge.client_events import ClientEvents
from services.edge.endings import NOT_BEGUN
from services.edge.joining import Joining
from services.edge.metrics import EdgeMetrics
from services.edge.relay import Relay

CLIENT = Client(protocol="http-flv", address="192.0.2.7", peer="192.0.2.7:9")
WAIT_S = 10.0


class Edge:
    """An edge at which players wait, and what it told so far."""

    def __init__(self) -> None:
        self.scheduler, self.links = FakeScheduler(), FakeLinks()
        self.outbox, self.told = EventOutbox(EDGE.node, self._take), list[tuple[str, object]]()
        events = ClientEvents(self.outbox, clock=asyncio.get_running_loop().time)
        metrics = EdgeMetrics(CollectorRegistry())
        self.context = edge_context(metrics, self.scheduler, self.links, wait_publisher_s=WAIT_S, events=events)
        self.context.sessions.watchers.append(events)
        self.telling = asyncio.create_task(self.outbox.run())

    async def _take(self, events: Sequence[Event]) -> None:
        self.told += [(event.kind, event.facts.get("reason", "")) for event in events]

    async def begin(self) -> None:
        self.scheduler.put(location(1))
        (await self.links.opened(1)).serve(run_of(gop(0, 1)))


@in_virtual_time
async def test_one_that_waits_is_told_of_at_once_and_as_missing_soon() -> None:
    edge = Edge()
    waiting = asyncio.create_task(edge.context.join(STREAM, CLIENT))
    await asyncio.sleep(1)
    assert edge.told == [("sub_start", ""), ("stream_not_found", "")]
    await edge.begin()
    joining = await waiting
    with joining.given_back_unless_taken():
        joining.take()
    await asyncio.sleep(1)
    assert len(edge.told) == 2
    assert list(edge.context.sessions) == [joining.session]
    edge.telling.cancel()


@in_virtual_time
async def test_one_that_finds_nothing_is_over_and_the_stream_is_told_of_once() -> None:
    edge = Edge()
    with pytest.raises(StreamNotFound):
        await edge.context.join(STREAM, CLIENT)
    await asyncio.sleep(1)
    reason = f"{STREAM}: nobody published it within {WAIT_S:g} s"
    assert edge.told == [("sub_start", ""), ("stream_not_found", ""), ("sub_stop", reason)]
    assert not len(edge.context.sessions)
    edge.telling.cancel()


@in_virtual_time
async def test_one_that_leaves_is_over() -> None:
    edge = Edge()
    waiting = asyncio.create_task(edge.context.join(STREAM, CLIENT))
    await asyncio.sleep(1)
    waiting.cancel()
    await asyncio.sleep(1)
    assert edge.told[2:] == [("sub_stop", "closed by the peer")]
    edge.telling.cancel()


@in_virtual_time
async def test_one_that_is_kicked_or_sent_elsewhere_waits_no_more() -> None:
    edge = Edge()
    waiting = [asyncio.create_task(edge.context.join(STREAM, CLIENT)) for _ in range(2)]
    await asyncio.sleep(1)
    kicked, drained = edge.context.sessions
    kicked.close("enough")
    assert drained.ask_to_reconnect()
    errors = await asyncio.gather(*waiting, return_exceptions=True)
    assert [(type(error), str(error)) for error in errors] == [(Unavailable, "enough"), (Unavailable, "the edge drains")]
    await asyncio.sleep(1)
    assert edge.told[-2:] == [("sub_stop", "enough"), ("sub_stop", "the edge drains")]
    edge.telling.cancel()


@in_virtual_time
async def test_one_that_is_ended_again_before_it_has_heard_of_it_hears_of_the_first() -> None:
    edge, loop, errors = Edge(), asyncio.get_running_loop(), list[object]()
    loop.set_exception_handler(lambda _, context: errors.append(context.get("exception")))
    waiting = asyncio.create_task(edge.context.join(STREAM, CLIENT))
    await asyncio.sleep(1)
    (session,) = edge.context.sessions
    session.close("kicked")
    loop.call_soon(session.close, BLACKLISTED)
    with pytest.raises(Unavailable, match="kicked"):
        await waiting
    assert errors == []
    edge.telling.cancel()


@in_virtual_time
async def test_one_that_is_kicked_as_its_stream_comes_does_not_begin() -> None:
    edge = Edge()
    playing = asyncio.create_task(edge.context.relay(STREAM, CLIENT))
    await edge.begin()
    come: asyncio.Future[Relay] = asyncio.get_running_loop().create_future()
    joining = Joining(edge.context.sessions, CLIENT, STREAM)
    waiting = asyncio.create_task(joining.wait(come))
    relay = await playing  # held for who waits
    await asyncio.sleep(1)
    come.set_result(relay)
    joining.session.close("enough")
    with pytest.raises(Unavailable, match="enough"):
        await waiting
    await asyncio.sleep(10)
    assert (len(edge.context.relays), len(edge.context.sessions), edge.told[-1]) == (0, 0, ("sub_stop", "enough"))
    edge.telling.cancel()


@in_virtual_time
async def test_one_that_is_kicked_before_its_first_media_or_cannot_begin_gives_the_relay_back() -> None:
    edge = Edge()
    waiting = asyncio.create_task(edge.context.join(STREAM, CLIENT))
    await edge.begin()
    joining = await waiting
    joining.session.close("enough")
    with pytest.raises(Unavailable, match="enough"), joining.given_back_unless_taken():
        joining.check()
    await asyncio.sleep(10)
    assert (len(edge.context.relays), len(edge.context.sessions), edge.told[-1]) == (0, 0, ("sub_stop", "enough"))
    edge.telling.cancel()


@in_virtual_time
async def test_one_that_does_not_begin_is_told_why_not() -> None:
    edge = Edge()
    asking = [asyncio.create_task(edge.context.join(STREAM, CLIENT)) for _ in range(4)]
    await edge.begin()
    left, broken, wordless, ended = await asyncio.gather(*asking)
    with left.given_back_unless_taken():
        pass
    for joining, error in ((broken, OSError("reset")), (wordless, OSError())):
        with pytest.raises(OSError), joining.given_back_unless_taken():
            raise error
    ended.session.close("enough")
    with pytest.raises(OSError), ended.given_back_unless_taken():
        raise OSError("reset by us")
    await asyncio.sleep(1)
    assert [reason for kind, reason in edge.told if kind == "sub_stop"] == [NOT_BEGUN, "reset", NOT_BEGUN, "enough"]
    edge.telling.cancel()


@in_virtual_time
async def test_nobody_is_asked_whether_a_stream_is_missing_that_came_at_once_and_everybody_later() -> None:
    edge = Edge()
    waiting = asyncio.create_task(edge.context.join(STREAM, CLIENT))
    await edge.begin()
    with (await waiting).given_back_unless_taken():
        await asyncio.sleep(1)
    assert not [wanted for wanted in edge.scheduler.wanted if wanted.at_once]
    await asyncio.sleep(10)  # the relay has gone
    edge.scheduler.location = None
    for _ in range(2):
        with pytest.raises(StreamNotFound):
            await edge.context.join(STREAM, CLIENT)
    looks = [wanted for wanted in edge.scheduler.wanted if wanted.at_once]
    assert len(looks) == 2 + 1, "the relay asked too, once, as it knew where the stream had been"
    edge.telling.cancel()


@in_virtual_time
async def test_what_a_relay_is_about_to_bring_is_not_told_to_be_missing_before_the_wait_is_over() -> None:
    edge = Edge()
    edge.scheduler.away = Refused(Refusal.NOT_FOUND, "about to be fetched", 1.0)
    with pytest.raises(StreamNotFound):
        await asyncio.gather(edge.context.join(STREAM, CLIENT), _later(edge))
    await asyncio.sleep(1)
    assert [kind for kind, _ in edge.told] == ["sub_start", "stream_not_found", "sub_stop"]
    edge.telling.cancel()


@in_virtual_time
@pytest.mark.parametrize("wait_s", [0.0, 1.0])
async def test_a_stream_that_its_own_edge_publishes_is_played_while_no_scheduler_answers(wait_s: float) -> None:
    edge = Edge()
    edge.scheduler.heir = "p"
    publishing = await edge.context.publish(STREAM, CLIENT, lambda _: None)
    (await edge.links.published(1)).events.publication_opened(None, place(1))
    edge.scheduler.away = Refused(Refusal.UNAVAILABLE, "no scheduler answers")
    waiting = asyncio.create_task(edge.context.join(STREAM, CLIENT, wait_s))
    subscription = await edge.links.opened(1)
    assert (subscription.origin, subscription.request.place) == ("o", place(1))
    subscription.serve(run_of(gop(0, 1), publication=publishing.core.publication))
    with (await waiting).given_back_unless_taken():
        pass
    publishing.close()
    edge.telling.cancel()


@in_virtual_time
async def test_a_stream_that_its_own_edge_publishes_is_played_at_the_heir_that_took_over_while_no_scheduler_answers() -> None:
    edge = Edge()
    edge.scheduler.heir = "p"
    publishing = await edge.context.publish(STREAM, CLIENT, lambda _: None)
    outlet = await edge.links.published(1)
    outlet.events.publication_opened(None, place(1))
    edge.scheduler.move_answers = [Refused(Refusal.UNAVAILABLE, "no scheduler answers")] * 99
    edge.scheduler.away = Refused(Refusal.UNAVAILABLE, "no scheduler answers")
    outlet.events.publication_closed(CloseReason.LINK_LOST, "broken")
    heir = place(1)._replace(heir=True)
    (await edge.links.published(2)).events.publication_opened(None, heir)
    waiting = asyncio.create_task(edge.context.join(STREAM, CLIENT))
    subscription = await edge.links.opened(1)
    assert (subscription.origin, subscription.request.place) == ("p", heir)
    subscription.events.subscription_opened(epoch(1), heir)
    run = run_of(gop(0, 1), publication=publishing.core.publication)
    run.place = heir
    subscription.events.receive(run)
    with (await waiting).given_back_unless_taken():
        pass
    publishing.close()
    edge.telling.cancel()


@in_virtual_time
async def test_where_a_later_owner_was_seen_an_edge_does_not_look_at_what_it_publishes_itself() -> None:
    edge = Edge()
    publishing = await edge.context.publish(STREAM, CLIENT, lambda _: None)
    (await edge.links.published(1)).events.publication_opened(None, place(1))
    edge.context.publishers.fences.see(STREAM, epoch(2))
    edge.scheduler.away = Refused(Refusal.UNAVAILABLE, "no scheduler answers")
    with pytest.raises(Unavailable, match="no scheduler answers"):
        await edge.context.join(STREAM, CLIENT)
    assert not edge.links.subscriptions
    publishing.close()
    edge.telling.cancel()


async def _later(edge: Edge) -> None:
    await asyncio.sleep(WAIT_S / 2)
    assert [kind for kind, _ in edge.told] == ["sub_start"]
