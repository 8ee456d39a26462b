"""The group: its diagram, its checks, its cursors."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.edge_fakes import FIRST, ORIGINS, SECOND, STREAM, audio, epoch, gop, location, place, run_of, video

from lalmesh.runtime.link import CloseReason
from lalmesh.runtime.ownership import NO_EPOCH, NO_PLACE, Place, UnitName
from lalmesh.runtime.ring import TRIM_US, Cursor, Run
from services.origin import group as group_module
from services.origin.events import (
    AcceptPublication,
    AcceptSubscriber,
    ClosePublication,
    CloseSubscriber,
    Command,
    Event,
    Forget,
    GroupState,
    Moved,
    PublicationLost,
    PublicationOpened,
    Release,
    ReleaseAnswered,
    SubscriberJoined,
    SubscriberLeft,
    TellPublication,
    TellSubscriber,
    TimerFired,
)
from services.origin.group import MAX_RELEASE_PAUSE_S, REPLAY_S, Group, GroupSettings

SETTINGS = GroupSettings(grace_s=30, release_retry_s=2, waiting_s=20)


def opened(port: int = 1, revision: int = 1, publication: bytes = FIRST) -> PublicationOpened:
    return PublicationOpened(port, epoch(revision), publication, place(revision), ORIGINS["p"])


@dataclass(frozen=True)
class RunReceived:
    """What a group takes in without an event."""

    port: int
    run: Run


def happens(made: Group, event: Event | RunReceived, now: float) -> list[Command]:
    if isinstance(event, RunReceived):
        made.receive(event.port, event.run, now)
        return []
    return made.handle(event, now)


def group(*events: Event | RunReceived) -> Group:
    made = Group(STREAM, SETTINGS, random.Random(1))
    for event in events:
        happens(made, event, 0.0)
    return made


def seqs(cursor: Cursor) -> list[int]:
    return [unit.seq for run in runs(cursor) for unit in run.units]


def runs(cursor: Cursor) -> list[Run]:
    return list(iter(lambda: cursor.read(1 << 30), None))


def cursor_of(commands: list[Command]) -> Cursor:
    (accepted,) = commands
    assert isinstance(accepted, AcceptSubscriber)
    return accepted.cursor


# the diagram


def test_a_group_waits_for_its_first_publication_and_then_lives() -> None:
    waiting = group(SubscriberJoined(5, None))
    assert (waiting.state, waiting.next_timer) == (GroupState.WAITING, 20.0)
    assert waiting.handle(opened(), 1.0) == [AcceptPublication(1, None, place(1))]
    assert (waiting.state, waiting.next_timer) == (GroupState.LIVE, None)


def test_readers_wait_for_a_first_publication_only_so_long() -> None:
    waiting = group(SubscriberJoined(5, None), SubscriberJoined(6, None))
    assert waiting.handle(TimerFired(), 19.9) == []
    commands = waiting.handle(TimerFired(), 20.0)
    assert [type(command) for command in commands] == [CloseSubscriber, CloseSubscriber, Forget]
    assert isinstance(commands[0], CloseSubscriber)
    assert commands[0].reason is CloseReason.NOT_FOUND
    assert waiting.state is GroupState.CLOSED


def test_a_group_for_which_nobody_waits_any_more_is_forgotten() -> None:
    waiting = group(SubscriberJoined(5, None), SubscriberJoined(6, None), SubscriberLeft(5))
    assert waiting.state is GroupState.WAITING
    assert waiting.handle(SubscriberLeft(6), 0.0) == [Forget()]


def test_a_lost_publication_leaves_the_group_in_grace() -> None:
    live = group(opened())
    assert live.handle(PublicationLost(1), 10.0) == []
    assert (live.state, live.next_timer) == (GroupState.GRACE, 40.0)


def test_after_the_grace_the_registry_is_asked_once() -> None:
    grace = group(opened(), PublicationLost(1))
    assert grace.handle(TimerFired(), 30.0) == [Release(epoch(1), place(1))]
    assert (grace.state, grace.next_timer) == (GroupState.RELEASING, None)
    assert grace.handle(TimerFired(), 31.0) == []


def test_a_released_group_ends_its_readers_and_is_forgotten() -> None:
    releasing = group(opened(), SubscriberJoined(5, None), PublicationLost(1))
    releasing.handle(TimerFired(), 30.0)
    closed, forget = releasing.handle(ReleaseAnswered(True, place(1)), 31.0)
    assert isinstance(closed, CloseSubscriber)
    assert (closed.port, closed.reason) == (5, CloseReason.STREAM_ENDED)
    assert (forget, releasing.state) == (Forget(), GroupState.CLOSED)


@pytest.mark.parametrize("answer", [False, None])
def test_a_claim_or_no_answer_brings_the_grace_back(answer: bool | None) -> None:
    releasing = group(opened(), PublicationLost(1))
    releasing.handle(TimerFired(), 30.0)
    assert releasing.handle(ReleaseAnswered(answer, place(1)), 31.0) == []
    assert releasing.state is GroupState.GRACE
    assert releasing.next_timer is not None
    assert 32.0 <= releasing.next_timer <= 33.0


def pauses_until(answered: Group, until_s: float, answer: bool | None = None) -> list[float]:
    """The pauses between the questions of a group in grace to a registry that answers at once."""
    pauses, now_s = [], answered.next_timer or 0.0
    while now_s < until_s:
        assert answered.handle(TimerFired(), now_s) == [Release(epoch(1), answered.place)]
        answered.handle(ReleaseAnswered(answer, answered.place), now_s)
        assert answered.next_timer is not None
        pauses.append(answered.next_timer - now_s)
        now_s = answered.next_timer
    return pauses


def test_a_registry_that_does_not_answer_is_asked_ever_less_often() -> None:
    pauses = pauses_until(group(opened(), PublicationLost(1)), 30.0 + 3600.0)
    assert len(pauses) < 150
    assert all(0.8 * longest <= pause <= longest for pause, longest in zip(pauses, (2, 4, 8, 16, 30, 30, 30), strict=False))
    assert max(pauses) <= MAX_RELEASE_PAUSE_S


def test_groups_that_asked_together_spread() -> None:
    first, second = (Group(STREAM, SETTINGS, random.Random(seed)) for seed in (1, 2))
    for each in (first, second):
        each.handle(opened(), 0.0)
        each.handle(PublicationLost(1), 0.0)
    assert pauses_until(first, 99.0) != pauses_until(second, 99.0)


def test_a_registry_that_answers_and_a_publisher_that_comes_back_make_pauses_short_again() -> None:
    grace = group(opened(), PublicationLost(1))
    pauses_until(grace, 999.0)
    assert grace.next_timer is not None
    assert pauses_until(grace, grace.next_timer + 1.0, answer=False) == [2.0]
    pauses_until(grace, 1999.0)
    grace.handle(opened(), 2000.0)
    grace.handle(PublicationLost(1), 2000.0)
    assert pauses_until(grace, 2031.0)[0] <= 2.0


def test_a_publisher_that_comes_back_ends_the_grace() -> None:
    grace = group(opened(), PublicationLost(1))
    grace.handle(opened(2, 2, SECOND), 10.0)
    assert (grace.state, grace.next_timer) == (GroupState.LIVE, None)


def test_a_publisher_that_comes_back_while_the_registry_is_asked_goes_on() -> None:
    releasing = group(opened(), PublicationLost(1))
    releasing.handle(TimerFired(), 30.0)
    releasing.handle(opened(2, 2, SECOND), 30.5)
    assert releasing.handle(ReleaseAnswered(True, place(1)), 31.0) == []
    assert releasing.state is GroupState.LIVE


def test_a_late_answer_to_an_earlier_question_ends_nothing() -> None:
    releasing = group(opened(), PublicationLost(1))
    releasing.handle(TimerFired(), 30.0)
    releasing.handle(opened(2, 2, SECOND), 30.5)
    releasing.handle(PublicationLost(2), 30.6)
    releasing.handle(TimerFired(), 61.0)
    assert releasing.handle(ReleaseAnswered(True, place(1)), 61.1) == []
    assert releasing.state is GroupState.RELEASING


def test_the_loss_of_a_publication_that_was_replaced_changes_nothing() -> None:
    live = group(opened(), opened(2, 2, SECOND), PublicationLost(1))
    assert live.state is GroupState.LIVE


# other origins


def moved(revision: int) -> Moved:
    return Moved(location(revision, "p"))


def told(commands: list[Command]) -> list[tuple[str, int]]:
    """Who is told where the stream is, and nothing else."""
    assert all(isinstance(command, TellPublication | TellSubscriber) for command in commands)
    return [(type(command).__name__, command.port) for command in commands if hasattr(command, "port")]


def test_a_stream_that_has_another_origin_is_served_until_the_last_one_has_left() -> None:
    live = group(opened(), RunReceived(1, run_of(gop(0, 3))), SubscriberJoined(5, None))
    assert live.handle(moved(1), 1.0) == []
    assert told(live.handle(moved(2), 1.0)) == [("TellPublication", 1), ("TellSubscriber", 5)]
    assert (live.handle(moved(2), 1.5), live.state) == ([], GroupState.MOVED)
    assert live.receive(1, run_of(gop(3, 1)), 2.0)
    assert live.handle(PublicationLost(1), 3.0) == []
    assert live.handle(SubscriberLeft(5), 4.0) == [Forget()]


def test_who_comes_after_a_stream_has_moved_is_sent_on() -> None:
    left = group(opened(), SubscriberJoined(5, None), moved(2))
    _, sent_on = left.handle(SubscriberJoined(6, None), 1.0)
    assert sent_on == TellSubscriber(6, location(2, "p"))
    (closed,) = left.handle(opened(2), 1.0)
    assert isinstance(closed, ClosePublication)
    assert closed.reason is CloseReason.SOURCE_LOST


def test_a_stream_may_come_back_where_it_was() -> None:
    left = group(opened(), SubscriberJoined(5, None), moved(2), PublicationLost(1))
    left.handle(opened(2, 3), 1.0)
    assert (left.state, left.place) == (GroupState.LIVE, place(3))
    assert len(left.handle(SubscriberJoined(6, None), 1.0)) == 1


def test_a_stream_that_is_sent_back_before_anyone_has_left_goes_on() -> None:
    back = group(opened(), SubscriberJoined(5, None), moved(2), Moved(location(3), here=True))
    assert (back.state, back.place, back.next_timer) == (GroupState.LIVE, place(3), None)


def test_readers_that_stay_where_a_stream_has_left_are_sent_away_in_time() -> None:
    left = group(opened(), SubscriberJoined(5, None), moved(2), PublicationLost(1))
    assert left.handle(TimerFired(), 29.0) == []
    closed, forget = left.handle(TimerFired(), 30.0)
    assert closed == CloseSubscriber(5, CloseReason.SOURCE_LOST, "the stream has another origin")
    assert forget == Forget()


def test_a_moved_stream_without_anyone_is_forgotten_at_once() -> None:
    assert group(opened(), PublicationLost(1)).handle(moved(2), 1.0) == [Forget()]


def test_those_who_wait_for_a_publication_are_told_and_not_sent_away() -> None:
    waiting = group(SubscriberJoined(5, None))
    assert told(waiting.handle(moved(7), 1.0)) == [("TellSubscriber", 5)]
    assert waiting.state is GroupState.WAITING


def test_readers_of_a_publication_that_was_cut_off_hear_of_its_heir() -> None:
    live = group(opened(), SubscriberJoined(5, None))
    (told_of,) = live.handle(PublicationLost(1, cut_off=True), 1.0)
    assert isinstance(told_of, TellSubscriber)
    assert (told_of.location.origin, told_of.location.place) == (ORIGINS["p"], place(1)._replace(heir=True))
    assert live.handle(SubscriberJoined(6, None), 1.0)[1] == TellSubscriber(6, told_of.location)
    live.handle(opened(2), 2.0)
    assert len(live.handle(SubscriberJoined(7, None), 3.0)) == 1


def test_a_publication_that_has_said_goodbye_has_no_heir() -> None:
    assert group(opened(), SubscriberJoined(5, None)).handle(PublicationLost(1), 1.0) == []


def test_the_place_of_an_heir_rises_when_it_is_written_down() -> None:
    heir = group(PublicationOpened(1, epoch(1), FIRST, place(1)._replace(heir=True)), RunReceived(1, run_of(gop(0, 1))))
    assert heir.handle(Moved(location(2), here=True), 1.0) == []
    (accepted,) = heir.handle(SubscriberJoined(5, None), 1.0)
    assert isinstance(accepted, AcceptSubscriber)
    assert (accepted.place, runs(accepted.cursor)[0].place) == (place(2), place(2))


def test_a_group_whose_place_rises_while_it_asks_to_be_released_asks_again() -> None:
    releasing = group(opened(), PublicationLost(1))
    releasing.handle(TimerFired(), 30.0)
    assert releasing.handle(Moved(location(2), here=True), 30.5) == []
    assert releasing.handle(ReleaseAnswered(False, place(1)), 30.6) == []
    assert releasing.next_timer is not None
    assert releasing.handle(TimerFired(), releasing.next_timer) == [Release(epoch(1), place(2))]


def test_a_publication_that_opens_again_under_the_place_before_keeps_the_higher_one() -> None:
    heir = group(opened(), Moved(location(2), here=True))
    closed, accepted = heir.handle(opened(2), 1.0)
    assert closed == ClosePublication(1, CloseReason.DONE, "opened again")
    assert accepted == AcceptPublication(2, None, place(2))


def test_a_closed_group_stays_closed() -> None:
    closed = group(SubscriberJoined(5, None), SubscriberLeft(5))
    assert [type(command) for command in closed.handle(opened(), 1.0)] == [ClosePublication]
    assert [type(command) for command in closed.handle(SubscriberJoined(6, None), 1.0)] == [CloseSubscriber]
    assert closed.handle(TimerFired(), 99.0) == []
    assert (closed.state, closed.subscribers) == (GroupState.CLOSED, 0)


# who may write


def test_a_second_publication_of_a_lower_epoch_is_fenced() -> None:
    live = group(opened(revision=2))
    (closed,) = live.handle(opened(2, 1, SECOND), 1.0)
    assert isinstance(closed, ClosePublication)
    assert (closed.port, closed.reason) == (2, CloseReason.FENCED)
    assert live.publication == FIRST


def test_a_second_publication_of_the_same_epoch_is_fenced() -> None:
    (closed,) = group(opened()).handle(opened(2, 1, SECOND), 1.0)
    assert isinstance(closed, ClosePublication)
    assert (closed.port, closed.reason) == (2, CloseReason.FENCED)


def test_a_publication_of_a_higher_epoch_replaces_the_one_before() -> None:
    live = group(opened(), RunReceived(1, run_of(gop(0, 3))))
    fenced, accepted = live.handle(opened(2, 2, SECOND), 1.0)
    assert isinstance(fenced, ClosePublication)
    assert (fenced.port, fenced.reason) == (1, CloseReason.FENCED)
    assert accepted == AcceptPublication(2, UnitName(FIRST, 2), place(2))
    assert not live.receive(1, run_of(gop(3, 2)), 1.0)
    assert live.counters.refused == 2


def test_the_same_publication_over_another_link_is_told_what_is_here() -> None:
    live = group(opened(), RunReceived(1, run_of(gop(0, 3))))
    commands = live.handle(opened(2), 1.0)
    assert AcceptPublication(2, UnitName(FIRST, 2), place(1)) in commands
    assert live.counters.publications == 1


def test_units_under_another_epoch_than_the_publications_are_refused() -> None:
    live = group(opened(revision=2))
    assert not live.receive(1, run_of(gop(0, 3), revision=1), 1.0)
    assert (live.counters.refused, live.counters.units) == (3, 0)


# what comes in


def test_units_wake_the_readers_and_are_counted() -> None:
    live = group(opened())
    assert live.receive(1, run_of([video(0, key=True, payload=b"12345"), audio(1, b"678")]), 1.0)
    assert (live.counters.units, live.counters.payload_bytes, live.counters.missing) == (2, 8, 0)


def test_what_is_here_already_is_dropped() -> None:
    live = group(opened(), RunReceived(1, run_of(gop(0, 4))))
    assert not live.receive(1, run_of(gop(0, 4)), 1.0)
    assert live.receive(1, run_of(video(seq) for seq in range(2, 6)), 1.0)
    assert (live.counters.repeated, live.counters.units, live.counters.missing) == (6, 6, 0)
    assert live.ring.last_name == UnitName(FIRST, 5)


def test_a_hole_is_counted_and_announced_to_readers() -> None:
    live = group(opened(), RunReceived(1, run_of(gop(0, 3))))
    cursor = cursor_of(live.handle(SubscriberJoined(5, None), 1.0))
    live.receive(1, run_of([video(7), video(8)]), 1.0)
    assert [(run.first_seq, run.missing) for run in runs(cursor)] == [(0, 0), (7, 4)]
    assert live.counters.missing == 4


def test_a_publication_that_was_at_another_origin_before_has_lost_nothing_here() -> None:
    live = group(opened(), RunReceived(1, run_of(gop(100, 3))))
    assert live.counters.missing == 0
    cursor = cursor_of(live.handle(SubscriberJoined(5, UnitName(FIRST, 97)), 1.0))
    assert [(run.first_seq, run.missing) for run in runs(cursor)] == [(100, 2)]


# readers


def test_a_reader_joins_at_the_last_random_access_point() -> None:
    live = group(opened(), RunReceived(1, run_of(gop(0, 5) + gop(5, 3))))
    assert seqs(cursor_of(live.handle(SubscriberJoined(5, None), 1.0))) == [5, 6, 7]


def test_a_reader_that_comes_before_the_random_access_point_gets_everything_from_it_on() -> None:
    live = group(opened(), RunReceived(1, run_of([video(0), video(1)])))
    cursor = cursor_of(live.handle(SubscriberJoined(5, None), 1.0))
    assert seqs(cursor) == []
    live.receive(1, run_of([video(2), *gop(3, 2)]), 1.0)
    assert seqs(cursor) == [3, 4]


def test_a_reader_resumes_after_the_unit_that_it_has() -> None:
    live = group(opened(), RunReceived(1, run_of(gop(0, 5))))
    accepted = live.handle(SubscriberJoined(5, UnitName(FIRST, 2)), 1.0)
    assert seqs(cursor_of(accepted)) == [3, 4]
    assert isinstance(accepted[0], AcceptSubscriber)
    assert (accepted[0].epoch, accepted[0].place) == (epoch(1), place(1))


def test_a_reader_that_waits_before_the_publication_gets_what_it_lacks() -> None:
    waiting = group()
    accepted = waiting.handle(SubscriberJoined(5, UnitName(FIRST, 2)), 1.0)
    assert isinstance(accepted[0], AcceptSubscriber)
    assert (accepted[0].epoch, accepted[0].place) == (NO_EPOCH, NO_PLACE)
    waiting.handle(opened(), 1.0)
    waiting.receive(1, run_of(gop(0, 5)), 1.0)
    assert seqs(cursor_of(accepted)) == [3, 4]


def test_a_reader_of_the_earlier_publication_gets_its_rest_and_all_of_the_next() -> None:
    live = group(opened(), RunReceived(1, run_of(gop(0, 4))), opened(2, 2, SECOND))
    live.receive(2, run_of(gop(0, 2), revision=2, publication=SECOND), 1.0)
    cursor = cursor_of(live.handle(SubscriberJoined(5, UnitName(FIRST, 1)), 1.0))
    assert [(run.publication, [unit.seq for unit in run.units], run.missing) for run in runs(cursor)][-1] == (SECOND, [0, 1], 0)


def test_readers_over_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_module, "MAX_SUBSCRIBERS", 2)
    live = group(opened(), SubscriberJoined(5, None), SubscriberJoined(6, None))
    (closed,) = live.handle(SubscriberJoined(7, None), 1.0)
    assert isinstance(closed, CloseSubscriber)
    assert (closed.port, closed.reason) == (7, CloseReason.LIMIT)
    assert live.subscribers == 2


# anything at all


def test_a_reader_may_have_more_kept_than_a_group_keeps_by_itself() -> None:
    live = group(opened(), SubscriberJoined(5, None, keep_us=8_000_000))
    for seq in range(300):
        live.receive(1, run_of([video(seq, key=seq % 25 == 0)]), REPLAY_S)
    assert 0 <= live.ring.newest(1)[0].wall_us - live.ring.newest(300)[0].wall_us - 8_000_000 < TRIM_US


def test_what_a_reader_had_kept_stays_for_as_long_after_it_has_left() -> None:
    live = group(opened(), SubscriberJoined(5, None, keep_us=8_000_000))
    live.receive(1, run_of([video(0, key=True)]), REPLAY_S)
    live.handle(SubscriberLeft(5), 20.0)
    live.receive(1, run_of([video(1)]), 27.9)
    assert live.ring.limits.keep_us == 8_000_000
    live.receive(1, run_of([video(2)]), 28.0)
    assert live.ring.limits.keep_us == SETTINGS.ring.keep_us


def test_what_readers_have_not_got_when_all_stood_still_is_kept_until_they_have_had_time_for_it() -> None:
    live = group(opened())
    for seq in range(110):
        live.receive(1, run_of([video(seq, key=seq % 25 == 0)]), 1.0)
    reader = Cursor.resuming(live.ring, UnitName(FIRST, 108))  # it lacks one
    backlog = [video(seq, key=seq % 25 == 0) for seq in range(110, 260)]
    for unit in backlog:
        unit.wall_us = 110 * 40_000 + 7_000_000
    live.receive(1, run_of(backlog), 7.0)
    assert seqs(reader) == list(range(109, 260))
    assert live.ring.limits.keep_us > SETTINGS.ring.keep_us
    late = video(260)
    late.wall_us = backlog[-1].wall_us + 1
    live.receive(1, run_of([late]), 7.0 + REPLAY_S)
    assert live.ring.limits.keep_us == SETTINGS.ring.keep_us


def test_what_a_publication_replays_is_kept_until_readers_have_had_time_for_it() -> None:
    live = group(replace(opened(), replay_us=20_000_000), SubscriberJoined(5, None))
    reader = Cursor(live.ring, 0)
    for seq in range(500):  # 20 s that no origin had taken
        live.receive(1, run_of([video(seq, key=seq % 25 == 0)]), REPLAY_S - 0.1)
    assert seqs(reader) == list(range(500))
    live.receive(1, run_of([video(500, key=True)]), REPLAY_S)
    assert len(live.ring) < 80  # 3 s


@pytest.mark.parametrize("at", [place(1)._replace(heir=True), place(7)], ids=["heir", "moved"])
def test_readers_of_a_lost_origin_have_time_to_come(at: Place) -> None:
    taken_over = group(replace(opened(), place=at))
    for seq in range(1000, 1225):  # 9 s: what was replayed, and what came since
        taken_over.receive(1, run_of([video(seq, key=seq % 25 == 0)]), (seq - 1000) / 25)
    reader = Cursor.resuming(taken_over.ring, UnitName(FIRST, 1000))
    assert seqs(reader) == list(range(1001, 1225))
    for seq in (1225, 1226):
        taken_over.receive(1, run_of([video(seq, key=seq == 1225)]), REPLAY_S)
    assert len(taken_over.ring) < 80  # 3 s


def test_a_stream_that_begins_here_or_that_readers_have_here_is_kept_as_a_rule() -> None:
    usual = group(opened())
    assert usual.ring.limits.keep_us == SETTINGS.ring.keep_us
    here = group(opened(), RunReceived(1, run_of([video(0, key=True)])), PublicationLost(1, cut_off=True))
    here.handle(replace(opened(2), place=place(7)), 5.0)
    assert here.ring.limits.keep_us == SETTINGS.ring.keep_us


@dataclass
class Shell:
    """Carries out what a group says as its shell does, and notes what must not be."""

    core: Group = field(default_factory=lambda: Group(STREAM, SETTINGS, random.Random(1)))
    publications: set[int] = field(default_factory=set)
    subscribers: dict[int, Cursor] = field(default_factory=dict)
    got: dict[int, list[tuple[bytes, int]]] = field(default_factory=dict)
    forgotten: bool = False

    def carry_out(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case AcceptPublication(port, _, _):
                    assert port in self.publications
                case ClosePublication(port, _, _):
                    self.publications.remove(port)
                case AcceptSubscriber(port, _, _, cursor):
                    self.subscribers[port] = cursor
                case CloseSubscriber(port, _, _):
                    self.subscribers.pop(port, None)
                case TellPublication(port, _):
                    assert port in self.publications
                case TellSubscriber(port, _):
                    assert port in self.subscribers
                case Forget():
                    assert not self.forgotten
                    self.forgotten = True
                case _:
                    pass
        for port, cursor in self.subscribers.items():
            self.got.setdefault(port, []).extend((run.publication, unit.seq) for run in runs(cursor) for unit in run.units)


LEGAL = {
    GroupState.WAITING: {GroupState.LIVE, GroupState.CLOSED},
    GroupState.LIVE: {GroupState.GRACE, GroupState.MOVED, GroupState.CLOSED},
    GroupState.GRACE: {GroupState.LIVE, GroupState.RELEASING, GroupState.MOVED, GroupState.CLOSED},
    GroupState.RELEASING: {GroupState.LIVE, GroupState.GRACE, GroupState.MOVED, GroupState.CLOSED},
    GroupState.MOVED: {GroupState.LIVE, GroupState.GRACE, GroupState.CLOSED},
    GroupState.CLOSED: set(),
}
_PUBLICATIONS = [bytes([number]) * 16 for number in range(3)]
_REVISIONS = st.integers(1, 3)
_PORTS = st.integers(1, 5)
_SEQS = st.integers(0, 12)
_RUNS = st.builds(
    lambda first, count, revision, which: run_of(
        [video(seq, key=seq % 3 == 0) for seq in range(first, first + count)],
        revision=revision,
        publication=_PUBLICATIONS[which],
    ),
    _SEQS,
    st.integers(1, 4),
    _REVISIONS,
    st.integers(0, 2),
)
_EVENTS = st.one_of(
    st.builds(lambda port, revision, which: opened(port, revision, _PUBLICATIONS[which]), _PORTS, _REVISIONS, st.integers(0, 2)),
    st.builds(RunReceived, _PORTS, _RUNS),
    st.builds(RunReceived, _PORTS, _RUNS),
    st.builds(PublicationLost, _PORTS, st.booleans()),
    st.builds(
        SubscriberJoined,
        st.integers(10, 12),
        st.none() | st.builds(UnitName, st.sampled_from(_PUBLICATIONS), _SEQS),
    ),
    st.builds(SubscriberLeft, st.integers(10, 12)),
    st.just(TimerFired()),
    st.builds(ReleaseAnswered, st.sampled_from([True, False, None]), st.builds(place, _REVISIONS)),
    st.builds(Moved, st.builds(location, _REVISIONS, st.sampled_from("op")), st.booleans()),
)


@given(st.lists(st.tuples(_EVENTS, st.floats(0, 40)), max_size=25))
def test_no_sequence_of_events_breaks_a_group(events: list[tuple[Event | RunReceived, float]]) -> None:
    shell, now = Shell(), 0.0
    used: set[int] = set()  # a port is opened once
    made = shell.core
    for event, pause in events:
        now += pause
        if isinstance(event, PublicationOpened):
            if event.port in used:
                continue
            used.add(event.port)
            shell.publications.add(event.port)
        elif isinstance(event, PublicationLost):
            shell.publications.discard(event.port)
        elif isinstance(event, SubscriberLeft):
            shell.subscribers.pop(event.port, None)
        elif isinstance(event, SubscriberJoined):
            if event.port in shell.subscribers:
                continue
            shell.got.pop(event.port, None)
        before = made.state
        shell.carry_out(happens(made, event, now))
        assert made.state is before or made.state in LEGAL[before]
        assert made.subscribers == len(shell.subscribers)
        assert shell.forgotten == (made.state is GroupState.CLOSED)
        _check_timer(made, now)
    for got in shell.got.values():
        assert len(got) == len(set(got)), "a reader got a unit twice"


def _check_timer(made: Group, now: float) -> None:
    if made.state in (GroupState.LIVE, GroupState.CLOSED, GroupState.RELEASING):
        assert made.next_timer is None
    elif made.state is GroupState.GRACE or (made.state is GroupState.WAITING and made.subscribers):
        assert made.next_timer is not None
        assert made.next_timer <= now + 30
