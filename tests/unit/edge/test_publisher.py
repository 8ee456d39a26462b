"""The shell of a publication: claims, origins that are lost, the end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace

import pytest
from support.edge_fakes import BOTH, EDGE, ORIGINS, STREAM, FakeLinks, FakeOutlet, FakeScheduler, epoch, location, place
from support.virtual_time import in_virtual_time, settle

from lalmesh.errors import Fenced, NoOriginAvailable, ServiceError, StreamExists, Unavailable
from lalmesh.media import AccessUnit, MediaEvent, TracksChanged
from lalmesh.names import StreamKey
from lalmesh.runtime.fences import Fence
from lalmesh.runtime.link import CloseReason
from lalmesh.runtime.ownership import UnitName
from lalmesh.runtime.scheduling import Refusal, Refused
from services.edge.publication import MORE_US, PublicationSettings
from services.edge.publisher import ENDING_S, JOINING_PAUSE_S, UNDO_ATTEMPTS, Publishers
from services.edge.publishing import Publishing

CLAIM_TIMEOUT_S = 4.9
ASKED_AS_A_STRANGER = int(CLAIM_TIMEOUT_S / JOINING_PAUSE_S) + 1  #: times within that
NOW_US = 1_700_000_000_000_000


class Edge:
    """The publications of an edge with a scheduler and links that tests drive."""

    def __init__(self, *, take_over: bool = False) -> None:
        self.scheduler = FakeScheduler()
        self.links = FakeLinks()
        self.ended: list[str] = []
        self.publishers = Publishers(
            EDGE, self.scheduler, self.links, PublicationSettings(), take_over=take_over, claim_timeout_s=CLAIM_TIMEOUT_S
        )

    async def start(self) -> Publishing:
        return await self.publishers.start(STREAM, self.ended.append)

    async def live(self) -> tuple[Publishing, FakeOutlet]:
        """A publication that its origin has taken in."""
        publishing = await self.start()
        outlet = await self.links.published(1)
        outlet.events.publication_opened(None, place(1))
        return publishing, outlet

    async def lose(self, number: int, reason: CloseReason = CloseReason.LINK_LOST) -> None:
        """The publication of that number, from 1, is closed by its link."""
        (await self.links.published(number)).events.publication_closed(reason, "")


def send(publishing: Publishing, numbers: Iterable[int]) -> None:
    events: list[MediaEvent] = [] if publishing.core.tracks.tracks else [TracksChanged(BOTH)]
    events += [AccessUnit(1, number * 3600, 0, number % 25 == 0, b"v") for number in numbers]
    publishing.feed(events, NOW_US)


@in_virtual_time
async def test_units_go_to_the_origin_that_was_granted() -> None:
    edge = Edge()
    publishing, outlet = await edge.live()
    send(publishing, range(3))
    assert (outlet.origin, outlet.seqs) == ("o", [0, 1, 2])
    assert {run.epoch for run in outlet.sent} == {epoch(1)}
    assert (len(edge.publishers), edge.scheduler.claims[0].take_over) == (1, False)


@in_virtual_time
async def test_units_that_come_before_the_origin_has_answered_wait() -> None:
    edge = Edge()
    publishing = await edge.start()
    send(publishing, range(3))
    (outlet,) = edge.links.publications
    assert outlet.seqs == []
    outlet.events.publication_opened(UnitName(b"x" * 16, 99), place(1))
    assert outlet.seqs == [0, 1, 2]


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (Refusal.EXISTS, StreamExists),
        (Refusal.FENCED, Fenced),
        (Refusal.NO_ORIGIN, NoOriginAvailable),
        (Refusal.UNAVAILABLE, Unavailable),
        (Refusal.NOT_JOINED, Unavailable),
        (Refusal.SETTLING, Unavailable),
    ],
)
def test_a_claim_that_is_refused_says_why(refusal: Refusal, error: type[ServiceError]) -> None:
    @in_virtual_time
    async def check() -> None:
        edge = Edge()
        edge.scheduler.claim_refusals = [Refused(refusal, "because", 0.5)] * 99
        with pytest.raises(error, match="because"):
            await edge.start()
        assert (len(edge.publishers), edge.links.publications) == (0, [])

    check()


@in_virtual_time
async def test_a_claim_whose_publisher_has_gone_is_given_back() -> None:
    edge = Edge()
    edge.scheduler.claim_gate.clear()
    starting = asyncio.create_task(edge.start())
    await settle()
    starting.cancel()
    edge.scheduler.claim_gate.set()
    await settle()
    assert [released.epoch for released in edge.scheduler.released] == [epoch(1)]


@in_virtual_time
async def test_a_claim_that_may_have_been_granted_is_given_back() -> None:
    edge = Edge(take_over=True)
    edge.scheduler.claim_refusals = [Refused(Refusal.UNAVAILABLE, "", 0.5)] * 2
    with pytest.raises(Unavailable):
        await edge.start()
    await asyncio.sleep(10)
    assert [(claim.take_over, claim.repeat_only) for claim in edge.scheduler.claims] == [
        (True, False),
        (False, True),
        (False, True),
    ]
    assert len({claim.publication for claim in edge.scheduler.claims}) == 1
    assert len(edge.scheduler.released) == 1


@in_virtual_time
async def test_a_claim_that_was_answered_with_a_refusal_is_not_asked_about_again() -> None:
    edge = Edge()
    edge.scheduler.claim_refusals = [Refused(Refusal.SETTLING, "the cluster settles", 1.0)]
    with pytest.raises(Unavailable) as refused:
        await edge.start()
    await asyncio.sleep(60)
    assert (refused.value.retry_after_s, len(edge.scheduler.claims), edge.scheduler.released) == (1.0, 1, [])


@pytest.mark.parametrize("refusal", [Refusal.UNAVAILABLE, Refusal.NOT_JOINED])
@in_virtual_time
async def test_what_a_claim_without_an_answer_got_is_asked_for_some_times_without_a_grant_anew(refusal: Refusal) -> None:
    edge = Edge()
    asked = ASKED_AS_A_STRANGER if refusal is Refusal.NOT_JOINED else 1
    edge.scheduler.claim_refusals = [Refused(refusal)] * asked + [Refused(Refusal.NOT_FOUND, "nothing was granted", 1.0)] * 99
    with pytest.raises(Unavailable):
        await edge.start()
    await asyncio.sleep(60)
    assert [claim.repeat_only for claim in edge.scheduler.claims] == [False] * asked + [True] * UNDO_ATTEMPTS
    assert edge.scheduler.released == []


@in_virtual_time
async def test_a_claim_that_another_replica_does_not_know_the_edge_for_is_given_back() -> None:
    edge = Edge()
    edge.scheduler.claim_refusals = [Refused(Refusal.NOT_JOINED)] * (ASKED_AS_A_STRANGER + 1)
    with pytest.raises(Unavailable):
        await edge.start()
    await asyncio.sleep(10)
    assert len(edge.scheduler.released) == 1


@in_virtual_time
async def test_an_edge_that_has_just_lost_its_scheduler_asks_again() -> None:
    edge = Edge()
    edge.scheduler.claim_refusals = [Refused(Refusal.NOT_JOINED)] * 3
    publishing = await edge.start()
    assert len({claim.publication for claim in edge.scheduler.claims}) == 1
    assert (len(edge.scheduler.claims), publishing.grant is not None) == (4, True)


@in_virtual_time
async def test_the_end_of_the_publisher_gives_the_claim_back() -> None:
    edge = Edge()
    publishing, outlet = await edge.live()
    publishing.close()
    publishing.close()
    await settle()
    (released,) = edge.scheduler.released
    assert (released.epoch, released.publication) == (epoch(1), publishing.core.publication)
    assert (outlet.closed, len(edge.publishers), edge.ended) == (CloseReason.DONE, 0, [])


async def left(edge: Edge, numbers: Iterable[int] = range(3)) -> tuple[Publishing, FakeOutlet]:
    """A publisher that has sent some units and gone; its origin has not said that it has them."""
    publishing, outlet = await edge.live()
    outlet.answers = False
    send(publishing, numbers)
    publishing.close()
    await settle()
    assert (outlet.closed, publishing.has_left, edge.scheduler.released) == (CloseReason.DONE, True, [])
    return publishing, outlet


@in_virtual_time
async def test_the_last_units_of_a_publisher_that_an_origin_lost_go_to_another_before_the_claim_is_given_back() -> None:
    edge = Edge()
    edge.scheduler.heir = "q"
    publishing, outlet = await left(edge)
    outlet.events.publication_closed(CloseReason.LINK_LOST, "")
    heir = await edge.links.published(2)
    heir.events.publication_opened(UnitName(publishing.core.publication, 0), place(1)._replace(heir=True))
    assert (heir.origin, heir.seqs, heir.closed) == ("q", [1, 2], CloseReason.DONE)
    await settle()
    assert (len(edge.scheduler.released), len(edge.publishers), edge.ended) == (1, 0, [])


@in_virtual_time
async def test_the_last_units_of_a_publisher_wait_for_an_origin_that_has_not_answered() -> None:
    edge = Edge()
    publishing = await edge.start()
    send(publishing, range(3))
    publishing.close()
    await asyncio.sleep(1)
    assert edge.scheduler.released == []
    (outlet,) = edge.links.publications
    outlet.events.publication_opened(None, place(1))
    await settle()
    assert (outlet.seqs, outlet.closed, len(edge.scheduler.released)) == ([0, 1, 2], CloseReason.DONE, 1)


@in_virtual_time
async def test_who_sent_nothing_has_nothing_to_be_waited_for() -> None:
    edge = Edge()
    (await edge.start()).close()
    await settle()
    assert len(edge.scheduler.released) == 1


@in_virtual_time
async def test_the_last_units_have_so_long_and_no_longer(caplog: pytest.LogCaptureFixture) -> None:
    edge = Edge()
    await left(edge)
    await asyncio.sleep(edge.publishers.delivery_s - 0.1)
    assert edge.scheduler.released == []
    await asyncio.sleep(0.2)
    assert (len(edge.scheduler.released), len(edge.publishers), edge.ended) == (1, 0, [])
    assert "the last units may be lost" in caplog.text


@pytest.mark.parametrize("take_over", [False, True])
def test_a_newcomer_waits_for_the_last_units_of_the_one_before_but_not_for_ever(*, take_over: bool) -> None:
    @in_virtual_time
    async def check() -> None:
        edge = Edge(take_over=take_over)
        first, outlet = await left(edge)
        coming = asyncio.create_task(edge.start())
        await asyncio.sleep(1)
        outlet.events.publication_closed(CloseReason.DONE, "")
        second = await coming
        assert [released.publication for released in edge.scheduler.released] == [first.core.publication]
        (await edge.links.published(2)).answers = False
        send(second, range(3))
        second.close()
        begun = asyncio.get_running_loop().time()
        await edge.start()
        assert asyncio.get_running_loop().time() - begun == pytest.approx(edge.publishers.delivery_s)

    check()


@in_virtual_time
async def test_a_way_to_an_origin_that_cannot_be_closed_keeps_no_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    edge = Edge()
    publishing, outlet = await edge.live()
    monkeypatch.setattr(outlet, "close", lambda _reason: [].pop())
    publishing.give_up()
    await settle()
    assert (len(edge.publishers), len(edge.scheduler.released)) == (0, 1)


@in_virtual_time
async def test_all_streams_of_an_edge_share_what_is_kept_while_no_origin_takes_them() -> None:
    edge = Edge()
    for number in range(64):
        await edge.publishers.start(StreamKey("live", f"cam{number}"), edge.ended.append)
    shares = [publishing.core.ring.limits.max_bytes for publishing in edge.publishers]
    assert (shares[0], shares[-1]) == (64 << 20, 16 << 20)


@in_virtual_time
async def test_an_edge_that_stops_gives_up_on_last_units_in_time() -> None:
    edge = Edge()
    await left(edge)
    begun = asyncio.get_running_loop().time()
    await edge.publishers.close(3.0)
    assert asyncio.get_running_loop().time() - begun <= 3.0
    assert (len(edge.publishers), len(edge.scheduler.released)) == (0, 1)


@in_virtual_time
async def test_what_no_origin_takes_is_kept_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    edge = Edge()
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    monkeypatch.setattr("services.edge.publishing.now_us", lambda: NOW_US + int((loop.time() - begun_s) * 1e6))
    publishing, outlet = await edge.live()
    assert outlet.request.replay_s == 0
    await publish_for(publishing, 20.0)
    assert len(publishing.core.ring) < 120  # of 25 a second
    edge.scheduler.move_answers = [Refused(Refusal.NO_ORIGIN, "none", 0.5)] * 99
    await edge.lose(1)
    await edge.lose(2)
    await publish_for(publishing, 20.0)
    kept = len(publishing.core.ring)
    assert 575 <= kept < 625
    await edge.lose(3)
    fourth = await edge.links.published(4)
    assert fourth.request.replay_s == pytest.approx(kept / 25, abs=1.0)
    fourth.events.publication_opened(None, place(1))
    assert len(fourth.seqs) == kept
    await publish_for(publishing, 2 * MORE_US / 1e6)
    assert len(publishing.core.ring) < 120


async def publish_for(publishing: Publishing, seconds: float) -> None:
    """As `send`, in real time."""
    for _ in range(int(seconds * 25)):
        number = publishing.core.counters.units
        events: list[MediaEvent] = [] if publishing.core.tracks.tracks else [TracksChanged(BOTH)]
        publishing.feed([*events, AccessUnit(1, number * 3600, 0, number % 25 == 0, b"v")], NOW_US + number * 40_000)
        await asyncio.sleep(0.04)


@in_virtual_time
async def test_a_publisher_that_comes_back_at_once_does_not_find_its_own_claim() -> None:
    edge = Edge()
    publishing, _ = await edge.live()
    edge.scheduler.release_s = 1.0
    publishing.close()
    await edge.start()
    assert [type(asked).__name__ for asked in edge.scheduler.asked] == ["Claim", "Released", "Claim"]


@in_virtual_time
async def test_a_claim_that_could_not_be_given_back_is_given_back_later_and_keeps_nobody_waiting() -> None:
    edge = Edge()
    publishing, _ = await edge.live()
    edge.scheduler.release_failures = 3
    publishing.close()
    await settle()
    again = await edge.start()  # whoever publishes next waits for the first answer only
    await asyncio.sleep(10)
    (released,) = edge.scheduler.released
    assert released.publication == publishing.core.publication != again.core.publication
    assert edge.scheduler.release_failures == 0
    await edge.publishers.close(1.0)


@in_virtual_time
async def test_an_edge_that_stops_leaves_claims_to_its_lease() -> None:
    edge = Edge()
    publishing, _ = await edge.live()
    edge.scheduler.release_failures = 1_000
    publishing.close()
    await asyncio.sleep(100)
    assert 1_000 - edge.scheduler.release_failures < 12  # with growing pauses
    begun = asyncio.get_running_loop().time()
    await edge.publishers.close(5.0)
    assert asyncio.get_running_loop().time() == begun


@in_virtual_time
async def test_after_a_broken_link_the_same_origin_is_tried_at_once_and_gets_what_it_lacks() -> None:
    edge = Edge()
    publishing, _ = await edge.live()
    send(publishing, range(3))
    await edge.lose(1)
    send(publishing, range(3, 5))
    again = await edge.links.published(2)
    again.events.publication_opened(UnitName(publishing.core.publication, 1), place(1))
    assert (again.origin, again.seqs, edge.scheduler.moves) == ("o", [2, 3, 4], [])


@in_virtual_time
async def test_an_origin_that_stays_lost_is_left_for_another_with_all_that_is_kept() -> None:
    edge = Edge()
    publishing, _ = await edge.live()
    send(publishing, range(3))
    await edge.lose(1)
    await edge.lose(2)
    third = await edge.links.published(3)
    third.events.publication_opened(None, place(2))
    (move,) = edge.scheduler.moves
    assert (move.avoid, move.place, move.epoch) == (("o",), place(1), epoch(1))
    assert (third.origin, third.seqs) == ("p", [0, 1, 2])
    assert publishing.core.ring.place == place(2)


@in_virtual_time
async def test_an_origin_that_has_restarted_is_not_asked_again() -> None:
    edge = Edge()
    await edge.live()
    await edge.lose(1, CloseReason.BAD_GRANT)
    assert (await edge.links.published(2)).origin == "p"


@in_virtual_time
async def test_without_another_origin_the_same_one_is_tried_again() -> None:
    edge = Edge()
    await edge.live()
    edge.scheduler.move_answers = [Refused(Refusal.NO_ORIGIN, "none", 0.5)] * 5
    for number in range(1, 5):
        await edge.lose(number)
    assert [outlet.origin for outlet in edge.links.publications] == ["o"] * 4
    assert edge.ended == []


@in_virtual_time
async def test_pauses_grow_also_where_the_origin_answers_before_it_is_lost_again() -> None:
    edge = Edge()
    await edge.live()
    loop = asyncio.get_running_loop()
    started = loop.time()
    for number in range(1, 9):
        outlet = await edge.links.published(number)
        outlet.events.publication_opened(None, place(1))
        outlet.events.publication_closed(CloseReason.LINK_LOST, "")
    await edge.links.published(9)
    assert loop.time() - started > 1.5


@in_virtual_time
async def test_after_a_steady_while_a_broken_link_is_a_first_failure_again() -> None:
    edge = Edge()
    await edge.live()
    await edge.lose(1)
    (await edge.links.published(2)).events.publication_opened(None, place(1))
    await asyncio.sleep(6)
    await edge.lose(2)
    await edge.links.published(3)
    assert edge.scheduler.moves == []


@in_virtual_time
async def test_an_origin_that_knows_a_newer_publication_ends_it() -> None:
    edge = Edge()
    await edge.live()
    await edge.lose(1, CloseReason.FENCED)
    await settle()
    assert (len(edge.ended), len(edge.publishers), len(edge.links.publications)) == (1, 0, 1)


@in_virtual_time
async def test_a_scheduler_that_knows_a_newer_publication_ends_it_and_its_origin_hears_of_that() -> None:
    edge = Edge()
    _, outlet = await edge.live()
    edge.publishers.fenced(STREAM, epoch(1))
    assert edge.ended == []
    edge.publishers.fenced(STREAM, epoch(2))
    assert (len(edge.ended), outlet.closed) == (1, CloseReason.DONE)


@in_virtual_time
async def test_a_newer_publisher_on_this_edge_ends_the_one_before() -> None:
    edge = Edge(take_over=True)
    _, outlet = await edge.live()
    second = await edge.publishers.start(STREAM, lambda _: None)
    assert (edge.ended, outlet.closed) == (["taken over: a newer publisher on this edge"], CloseReason.DONE)
    assert list(edge.publishers) == [second]


@in_virtual_time
async def test_of_two_claims_that_are_answered_in_the_other_order_the_later_one_lives() -> None:
    edge, answered = Edge(take_over=True), asyncio.Event()
    edge.scheduler.claim_gate = answered
    earlier = asyncio.create_task(edge.start())
    await settle()
    edge.scheduler.claim_gate = asyncio.Event()
    edge.scheduler.claim_gate.set()
    later, _ = await edge.live()
    answered.set()
    with pytest.raises(Fenced):
        await earlier
    await settle()
    assert (later.core.epoch, list(edge.publishers), edge.ended) == (epoch(2), [later], [])
    assert [released.epoch for released in edge.scheduler.released] == [epoch(1)]


@in_virtual_time
async def test_a_grant_below_what_was_seen_of_a_stream_is_given_back() -> None:
    edge = Edge()
    edge.publishers.fences.see(STREAM, epoch(7), b"another publication")
    with pytest.raises(Fenced):
        await edge.start()
    await settle()
    assert (len(edge.publishers), [released.epoch for released in edge.scheduler.released]) == (0, [epoch(1)])


@in_virtual_time
async def test_a_move_that_is_fenced_ends_the_publication() -> None:
    edge = Edge()
    await edge.live()
    edge.scheduler.move_answers = [Refused(Refusal.FENCED, "another epoch")]
    await edge.lose(1, CloseReason.DRAINING)
    await asyncio.sleep(0.1)
    assert edge.ended == ["taken over: another epoch"]


@in_virtual_time
async def test_a_claim_that_the_registry_has_forgotten_is_made_again() -> None:
    edge = Edge()
    publishing, _ = await edge.live()
    send(publishing, range(3))
    edge.scheduler.move_answers = [Refused(Refusal.NOT_FOUND, "claim it again")]
    edge.scheduler._granted.clear()
    await edge.lose(1, CloseReason.DRAINING)
    again = await edge.links.published(2)
    again.events.publication_opened(None, place(2))
    assert ({run.epoch for run in again.sent}, again.seqs) == ({epoch(2)}, [0, 1, 2])
    assert edge.scheduler.claims[1].publication == publishing.core.publication


@in_virtual_time
async def test_a_question_that_fails_by_a_bug_is_asked_again_and_units_go_on_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    edge = Edge()
    publishing, outlet = await edge.live()
    with monkeypatch.context() as patch:
        patch.setattr(edge.scheduler, "_answer_claim", lambda _asked: 1 / 0)
        edge.publishers.reclaim([STREAM])
        await asyncio.sleep(0.03)
    send(publishing, range(3))
    await asyncio.sleep(60)
    assert (len(edge.scheduler.claims), edge.ended) == (3, [])
    assert (outlet.seqs, outlet.closed) == ([0, 1, 2], None)


@in_virtual_time
async def test_a_forgotten_claim_that_somebody_else_has_made_ends_the_publication() -> None:
    edge = Edge()
    await edge.live()
    edge.scheduler.move_answers = [Refused(Refusal.NOT_FOUND)]
    edge.scheduler.claim_refusals = [Refused(Refusal.EXISTS, "published elsewhere")] * 2
    await edge.lose(1, CloseReason.DRAINING)
    await asyncio.sleep(0.1)
    assert edge.ended == ["taken over: published elsewhere"]


@in_virtual_time
async def test_a_publisher_that_goes_while_an_origin_is_looked_for_gives_the_claim_back() -> None:
    edge = Edge()
    publishing, _ = await edge.live()
    await edge.lose(1)
    await edge.lose(2)
    publishing.close()
    await asyncio.sleep(10)
    assert (len(edge.links.publications), len(edge.scheduler.released), edge.ended) == (2, 1, [])


@in_virtual_time
async def test_the_end_of_the_edge_gives_every_claim_back() -> None:
    edge = Edge()
    await edge.live()
    await edge.publishers.close(3.0)
    assert (len(edge.publishers), len(edge.scheduler.released)) == (0, 1)


@in_virtual_time
async def test_one_that_fails_as_it_ends_gives_its_claim_back_as_others_do() -> None:
    edge = Edge()
    failing = await edge.start()
    failing.leaving = lambda: [].pop()
    other = await edge.publishers.start(StreamKey("live", "b"), edge.ended.append)
    await edge.publishers.close(3.0)
    released = {released.publication for released in edge.scheduler.released}
    assert released == {failing.core.publication, other.core.publication}


@in_virtual_time
async def test_the_heir_gets_at_once_what_it_lacks_and_that_is_written_down() -> None:
    edge = Edge()
    edge.scheduler.heir = "q"
    publishing, _ = await edge.live()
    send(publishing, range(3))
    outlet = edge.links.publications[0]
    outlet.events.publication_closed(CloseReason.LINK_LOST, "")
    heir = edge.links.publications[1]
    assert (heir.origin, heir.request.take_over_as_heir, heir.request.grant) == ("q", True, outlet.request.grant)
    send(publishing, [3])
    heir.events.publication_opened(None, place(1)._replace(heir=True))
    await asyncio.sleep(0.1)
    assert (heir.seqs, edge.scheduler.moves[0].at) == ([0, 1, 2, 3], ORIGINS["q"].node)
    assert (publishing.core.ring.place, len(edge.links.publications)) == (place(2), 2)


@in_virtual_time
async def test_a_planned_move_gives_every_unit_to_the_new_origin_and_ends_the_old_one_after_that() -> None:
    edge = Edge()
    publishing, old = await edge.live()
    send(publishing, range(3))
    assert publishing.grant is not None
    granted = replace(publishing.grant, origin=ORIGINS["p"], place=place(2))
    edge.publishers.moved(location(2, "p"), granted)
    new = edge.links.publications[1]
    send(publishing, [3])
    assert (old.seqs, new.seqs, old.closed) == ([0, 1, 2, 3], [], None)
    new.events.publication_opened(UnitName(publishing.core.publication, 1), place(2))
    send(publishing, [4])
    assert (old.seqs, new.seqs, old.closed) == ([0, 1, 2, 3], [2, 3, 4], CloseReason.SOURCE_LOST)


@in_virtual_time
async def test_an_edge_that_loses_a_link_asks_once_for_all_that_was_on_it() -> None:
    edge = Edge()
    for name in "abcde":
        await edge.publishers.start(StreamKey("live", name), edge.ended.append)
    for outlet in list(edge.links.publications):
        outlet.events.publication_closed(CloseReason.DRAINING, "")
    await asyncio.sleep(0.1)
    assert (edge.scheduler.move_calls, len(edge.links.publications)) == ([5], 10)


@in_virtual_time
async def test_what_the_registry_has_forgotten_is_claimed_again_in_one_call_with_what_is_held() -> None:
    edge = Edge()
    streams = [StreamKey("live", name) for name in "abc"]
    for stream in streams:
        await edge.publishers.start(stream, edge.ended.append)
    edge.publishers.reclaim([*streams, StreamKey("live", "nobody")])
    await asyncio.sleep(0.1)
    assert edge.scheduler.claim_calls == [1, 1, 1, 3]
    assert [claim.held.epoch for claim in edge.scheduler.claims[3:] if claim.held] == [epoch(1), epoch(2), epoch(3)]
    assert edge.ended == []


@in_virtual_time
async def test_a_stream_that_somebody_else_has_claimed_again_first_ends_here() -> None:
    edge = Edge()
    await edge.live()
    edge.scheduler.claim_refusals = [Refused(Refusal.FENCED, "epoch 9 is there")]
    edge.publishers.reclaim([STREAM])
    await asyncio.sleep(0.1)
    assert edge.ended == ["taken over: epoch 9 is there"]


@in_virtual_time
async def test_what_an_edge_has_published_and_heard_of_it_remembers() -> None:
    edge = Edge()
    publishing, _ = await edge.live()
    assert edge.publishers.fences.of(STREAM) == Fence(epoch(1), publishing.core.publication)
    edge.publishers.fenced(STREAM, epoch(7))
    assert edge.publishers.fences.of(STREAM) == Fence(epoch(7))


@in_virtual_time
async def test_a_core_that_fails_ends_the_publication(monkeypatch: pytest.MonkeyPatch) -> None:
    edge = Edge()
    publishing, _ = await edge.live()
    monkeypatch.setattr(publishing._writing, "handle", lambda _event, _now: 1 / 0)
    await edge.lose(1)
    assert (edge.ended, len(edge.publishers)) == (["internal error"], 0)


@in_virtual_time
async def test_a_newcomer_at_the_same_edge_is_refused_whatever_the_registry_knows() -> None:
    edge = Edge()
    await edge.live()
    with pytest.raises(StreamExists, match="at this edge"):
        await edge.start()
    assert len(edge.scheduler.claims) == 1


@in_virtual_time
async def test_an_encoder_that_comes_back_before_its_end_has_been_read_is_let_in() -> None:
    edge = Edge()
    publishing, _ = await edge.live()
    back = asyncio.create_task(edge.start())
    await asyncio.sleep(ENDING_S / 2)
    publishing.close()
    assert await back is not publishing
    assert len(edge.publishers) == 1


@in_virtual_time
async def test_the_longer_a_turn_the_longer_an_end_is_waited_for() -> None:
    edge = Edge()
    edge.publishers.turn_s = 1.0
    publishing, _ = await edge.live()
    back = asyncio.create_task(edge.start())
    await asyncio.sleep(2.0)
    publishing.close()
    assert await back is not publishing


@in_virtual_time
async def test_a_stream_that_another_edge_may_be_about_to_give_back_is_claimed_twice() -> None:
    edge = Edge()
    edge.scheduler.claim_refusals = [Refused(Refusal.EXISTS, "because", 0.0)]
    await edge.start()
    assert len(edge.scheduler.claims) == 2
