"""Where a publication writes: the decisions."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.edge_fakes import EDGE, FIRST, ORIGINS, STREAM, epoch, location, place

from lalmesh.runtime.link import CloseReason
from lalmesh.runtime.ownership import Grant
from lalmesh.runtime.scheduling import Claim, Held, Move, Refusal, Refused
from services.edge.writing import Writing
from services.edge.writing_events import (
    AllSent,
    Answered,
    AskClaim,
    AskMove,
    ClaimWanted,
    Close,
    Closed,
    Command,
    End,
    Event,
    Finish,
    Left,
    Open,
    Opened,
    Started,
    TimerFired,
    Told,
)

LOST = CloseReason.LINK_LOST
FULL = Refused(Refusal.NO_ORIGIN, "none has room", 7.0)
AWAY = Answered(Refused(Refusal.UNAVAILABLE, "no scheduler", 0.5))


def grant(revision: int = 1, origin: str = "o", heir: str = "p", *, under: int = 1) -> Grant:
    return Grant(
        stream=STREAM,
        epoch=epoch(under),
        publication=FIRST,
        edge=EDGE,
        origin=ORIGINS[origin],
        heir=ORIGINS[heir] if heir else None,
        place=place(revision),
    )


@dataclass
class Written:
    """A core, and a shell that notes what it does."""

    granted: Grant = field(default_factory=grant)
    now: float = 100.0
    open: dict[int, str] = field(default_factory=dict)  #: origin by port
    opened: set[int] = field(default_factory=set)
    asking: int = 0
    ended: str = ""

    def __post_init__(self) -> None:
        self.core = Writing(self.granted, random.Random(1))
        self.does(Started())

    def does(self, event: Event, after_s: float = 0.0) -> list[Command]:
        self.now += after_s
        if isinstance(event, Closed):
            self.open.pop(event.port, None)
        if isinstance(event, Answered):
            self.asking -= 1
        commands = self.core.handle(event, self.now)
        for command in commands:
            match command:
                case Open(port, origin):
                    self.open[port] = origin.node.name
                case Close(port):
                    del self.open[port]
                case AskMove() | AskClaim():
                    self.asking += 1
                case Finish(port):
                    assert self.open[port]
                case AllSent():
                    self.open.clear()
                    self.ended = "all is sent"
                case End(reason):
                    self.ended = reason
        return commands

    def writing(self) -> Written:
        """Writing at origin o."""
        self.does(Opened(1, place(1)))
        return self

    def fires(self) -> list[Command]:
        assert self.core.next_timer is not None
        self.now = max(self.now, self.core.next_timer)
        return self.does(TimerFired())

    def at_heir(self) -> list[Command]:
        """The origin is lost, and the heir has taken over."""
        self.does(Closed(1, LOST))
        return self.does(Opened(2, place(1)._replace(heir=True)))


def ways(commands: list[Command]) -> list[tuple[str, bool]]:
    return [(command.origin.node.name, command.as_heir) for command in commands if isinstance(command, Open)]


def moved(revision: int, origin: str, heir: str = "") -> Told:
    return Told(location(revision, origin), grant(revision, origin, heir))


def asked_move(commands: list[Command]) -> Move:
    (move,) = [command.move for command in commands if isinstance(command, AskMove)]
    return move


@pytest.mark.parametrize("reason", [LOST, CloseReason.DRAINING, CloseReason.BAD_GRANT, CloseReason.LIMIT])
def test_a_lost_origin_is_left_for_the_heir_at_once_with_the_same_grant(reason: CloseReason) -> None:
    written = Written().writing()
    assert written.does(Closed(1, reason)) == [Open(2, ORIGINS["p"], grant(), as_heir=True)]
    assert written.core.next_timer is None


def test_that_the_heir_took_over_is_written_down_with_growing_pauses_while_nobody_answers() -> None:
    written = Written().writing()
    move = asked_move(written.at_heir())
    assert (move.at, move.place, move.avoid) == (ORIGINS["p"].node, place(1), ("o",))
    assert written.core.place == place(1)._replace(heir=True)
    pauses = []
    for _ in range(8):
        begun = written.now
        assert written.does(AWAY) == []
        assert asked_move(written.fires()) == move
        pauses.append(written.now - begun)
    assert (pauses[0], pauses[-1] > 1.0, max(pauses) <= 2.0) == (0.5, True, True)
    assert written.does(Answered(grant(2, "p", "q"))) == []
    assert (written.core.place, written.core.next_timer, written.open) == (place(2), None, {2: "p"})


def test_another_heir_reopens_nothing_and_is_where_the_publication_goes() -> None:
    written = Written().writing()
    assert written.does(moved(2, "o", "q")) == []
    assert (written.core.place, written.open, written.asking) == (place(2), {1: "o"}, 0)
    assert ways(written.does(Closed(1, LOST))) == [("q", True)]


def test_an_heir_that_failed_before_is_good_again_once_it_is_named_anew() -> None:
    written = Written().writing()
    written.at_heir()
    written.does(Answered(grant(2, "p", "")))
    assert written.does(moved(3, "p", "o")) == []
    assert ways(written.does(Closed(2, LOST))) == [("o", True)]


def test_an_heir_that_has_taken_over_stays_where_another_was_named_meanwhile() -> None:
    written = Written().writing()
    written.at_heir()
    assert written.does(moved(2, "o", "q")) == []
    move = asked_move(written.does(Answered(grant(2, "o", "q"))) or written.fires())
    assert (move.at, move.place) == (ORIGINS["p"].node, place(2))
    assert written.does(Answered(grant(3, "p", "q"))) == []
    assert (written.core.place, written.open) == (place(3), {2: "p"})


def test_an_heir_that_is_named_as_the_origin_while_it_is_opened_is_one_like_any_other() -> None:
    written = Written().writing()
    written.does(Closed(1, LOST))
    assert written.does(moved(2, "p")) == []
    assert written.does(Opened(2, place(1)._replace(heir=True))) == []
    assert (written.core.place, written.core.next_timer, written.asking) == (place(2), None, 0)
    move = asked_move(written.does(Closed(2, LOST)))
    assert (move.place, move.avoid, move.at) == (place(2), ("o", "p"), None)
    assert ways(written.fires()) == [("p", False)]


def test_an_heir_that_was_written_down_is_left_for_a_place_above_it() -> None:
    written = Written().writing()
    written.at_heir()
    written.does(Answered(grant(2, "p", "o")))
    assert ways(written.does(moved(3, "q"))) == [("q", False)]
    written.does(Closed(3, LOST))
    move = asked_move(written.fires())
    assert (move.place, move.at, written.open) == (place(3), None, {2: "p"})
    assert ways(written.does(Answered(grant(4, "q")))) == [("q", False)]


def test_where_another_heir_was_named_the_granted_origin_is_tried_again_too() -> None:
    written = Written().writing()
    written.at_heir()
    written.does(moved(2, "o", "q"))
    assert ways(written.does(Closed(2, LOST))) == [("q", True)]
    written.does(Closed(3, LOST))
    assert ways(written.fires()) == [("o", False)]
    written.does(Closed(4, LOST))
    assert ways(written.fires()) == [("q", True)]


def test_where_the_scheduler_has_moved_it_elsewhere_meanwhile_the_newer_place_wins() -> None:
    written = Written().writing()
    written.at_heir()
    assert ways(written.does(Answered(grant(2, "q", "o")))) == [("q", False)]
    assert written.open == {2: "p", 3: "q"}
    assert written.does(Opened(3, place(2))) == [Close(2)]


def test_if_the_heir_is_gone_too_the_scheduler_is_asked_and_both_are_tried_again() -> None:
    written = Written().writing()
    written.does(Closed(1, LOST))
    move = asked_move(written.does(Closed(2, LOST)))
    assert (move.avoid, move.at) == (("o", "p"), None)
    tried = []
    for port in (3, 4, 5):
        tried += ways(written.fires())
        written.does(Closed(port, LOST))
    assert tried == [("o", False), ("p", True), ("o", False)]
    assert ways(written.does(Answered(grant(2, "q")))) == [("q", False)]


def test_where_there_is_no_other_origin_it_asks_at_once_for_those_that_it_lost_and_then_waits_as_it_is_told() -> None:
    written = Written().writing()
    written.does(Closed(1, LOST))
    assert asked_move(written.does(Closed(2, LOST))).avoid == ("o", "p")
    assert asked_move(written.does(Answered(FULL))).avoid == ()
    assert written.does(Answered(FULL)) == []
    assert written.core._ask_at_s == written.now + 7.0


def test_at_an_heir_that_is_all_it_lost_the_same_question_is_not_asked_twice_in_a_row() -> None:
    written = Written().writing()
    written.at_heir()
    written.core._tried = ["p"]  # which it has lost before
    written.does(AWAY)
    asked = asked_move(written.fires())
    assert asked.avoid == ()
    assert written.does(Answered(FULL)) == []


def test_once_the_heir_has_taken_over_only_the_scheduler_sends_it_back() -> None:
    written = Written().writing()
    written.at_heir()
    written.does(AWAY)
    written.does(Closed(2, LOST))
    seen = list[tuple[str, bool]]()
    while len(seen) < 3:
        written.now = max(written.now, written.core.next_timer or 0.0)
        commands = written.does(TimerFired())
        seen += ways(commands)
        if any(isinstance(command, AskMove) for command in commands):
            written.does(AWAY)
        for port in list(written.open):
            written.does(Closed(port, LOST))
    assert seen == [("p", True)] * 3


def test_without_an_heir_the_same_origin_is_tried_once_before_anyone_is_asked() -> None:
    written = Written(grant(heir="")).writing()
    assert ways(written.does(Closed(1, LOST))) == [("o", False)]
    assert written.asking == 0
    asked_move(written.does(Closed(2, LOST)))


def test_a_planned_move_opens_at_the_new_origin_while_the_old_one_takes_units() -> None:
    written = Written().writing()
    assert ways(written.does(moved(2, "q"))) == [("q", False)]
    assert (written.open, written.core.place) == ({1: "o", 2: "q"}, place(1))
    assert written.does(Opened(2, place(2))) == [Close(1)]
    assert (written.core.place, written.core.next_timer) == (place(2), None)


def test_a_planned_move_to_an_origin_out_of_reach_is_answered_with_another() -> None:
    written = Written().writing()
    written.does(moved(2, "q"))
    assert written.does(Closed(2, LOST)) == []
    move = asked_move(written.fires())
    assert (move.place, move.avoid, move.at, written.open) == (place(2), ("q",), None, {1: "o"})
    assert ways(written.does(Answered(grant(3, "p")))) == [("p", False)]


def test_an_origin_that_is_lost_during_a_planned_move_is_not_waited_for() -> None:
    written = Written().writing()
    written.does(moved(2, "q", "p"))
    assert written.does(Closed(1, LOST)) == []
    assert ways(written.does(Closed(2, LOST))) == [("p", True)]


def test_word_of_a_higher_place_without_a_grant_has_the_scheduler_asked_for_it() -> None:
    written = Written().writing()
    move = asked_move(written.does(Told(location(2, "q"))))
    assert (move.place, move.at) == (place(1), None)
    assert written.does(Told(location(2, "q"))) == []
    assert ways(written.does(Answered(grant(2, "q")))) == [("q", False)]


def test_a_move_to_where_it_writes_already_opens_nothing() -> None:
    written = Written().writing()
    assert written.does(moved(2, "o", "q")) == []
    assert written.core.place == place(2)
    assert ways(written.does(Closed(1, LOST))) == [("q", True)]


def test_an_older_word_changes_nothing() -> None:
    written = Written(grant(5)).writing()
    assert written.does(moved(4, "q")) == []
    assert written.does(Told(location(5, "q"))) == []


def test_a_claim_that_the_registry_has_forgotten_is_made_again_with_what_is_held() -> None:
    written = Written().writing()
    written.at_heir()
    held = Held(epoch=epoch(1), place=place(1)._replace(heir=True), origin=ORIGINS["p"])
    assert written.does(Answered(Refused(Refusal.NOT_FOUND))) == [AskClaim(Claim(stream=STREAM, publication=FIRST, held=held))]
    assert written.does(Answered(grant(7, "p", "q"))) == []
    assert written.core.place == place(7)


def test_what_is_held_at_the_granted_origin_names_its_heir() -> None:
    assert Written().writing().core.held() == Held(epoch=epoch(1), place=place(1), origin=ORIGINS["o"], heir=ORIGINS["p"])


def test_a_claim_made_again_under_another_epoch_is_written_anew() -> None:
    written = Written().writing()
    written.does(ClaimWanted())
    commands = written.does(Answered(grant(7, "o", under=7)))
    assert commands == [Close(1), Open(2, ORIGINS["o"], grant(7, "o", under=7), as_heir=False)]


@pytest.mark.parametrize("refusal", [Refusal.FENCED, Refusal.EXISTS])
def test_who_has_been_outdated_ends(refusal: Refusal) -> None:
    written = Written().writing()
    written.does(ClaimWanted())
    assert written.does(Answered(Refused(refusal, "another"))) == [End("taken over: another")]
    assert (written.does(TimerFired()), written.core.next_timer) == ([], None)


def test_an_origin_that_knows_a_newer_publication_ends_it() -> None:
    assert Written().writing().does(Closed(1, CloseReason.FENCED, "newer")) == [End("taken over: newer")]


def test_a_claim_that_is_wanted_again_is_asked_for_until_it_is_there() -> None:
    written = Written().writing()
    (claim,) = written.does(ClaimWanted())
    assert written.does(ClaimWanted()) == []
    for refusal in (Refusal.NOT_JOINED, Refusal.UNAVAILABLE):
        assert written.does(Answered(Refused(refusal, "", 0.5))) == []
        assert written.fires() == [claim]
    assert written.does(Answered(grant(7, "o"))) == []
    assert (written.core.next_timer, written.core.place) == (None, place(7))


def test_a_claim_that_is_wanted_while_a_move_is_asked_for_waits_for_its_answer() -> None:
    written = Written().writing()
    written.at_heir()
    assert written.does(ClaimWanted()) == []
    written.does(AWAY)
    assert isinstance(written.fires()[0], AskClaim)


def test_after_a_steady_while_a_loss_is_a_first_one_again() -> None:
    written = Written().writing()
    written.at_heir()
    written.does(Answered(grant(2, "p", "o")))
    assert ways(written.does(Closed(2, LOST), after_s=6)) == [("o", True)]


def test_origins_that_open_and_break_are_followed_with_growing_pauses() -> None:
    written, begun, port = Written(grant(heir="")).writing(), 100.0, 1
    for revision in range(2, 12):
        commands = written.does(Closed(port, LOST))
        while not (ways(commands) or any(isinstance(command, AskMove) for command in commands)):
            commands = written.fires()
        if not ways(commands):
            commands = written.does(Answered(grant(revision, "pq"[revision % 2], "")))
        port = max(written.open)
        written.does(Opened(port, place(revision)))
    assert written.now - begun > 3.0


DONE = CloseReason.DONE


def test_the_last_units_go_where_it_writes_until_the_origin_has_all() -> None:
    written = Written().writing()
    assert written.does(Left()) == [Finish(1)]
    assert written.does(Closed(1, DONE)) == [AllSent()]
    assert (written.does(Told(location(5, "q"))), written.core.next_timer) == ([], None)


def test_the_last_units_that_an_origin_lost_go_to_its_heir() -> None:
    written = Written().writing()
    written.does(Left())
    assert ways(written.does(Closed(1, LOST))) == [("p", True)]
    assert Finish(2) in written.does(Opened(2, place(1)._replace(heir=True)))
    assert written.does(Closed(2, DONE)) == [AllSent()]


def test_the_last_units_wait_for_an_origin_that_has_not_answered() -> None:
    written = Written()
    assert written.does(Left()) == []
    assert written.does(Opened(1, place(1))) == [Finish(1)]


def test_the_last_units_wait_for_any_origin() -> None:
    written = Written(grant(heir="")).writing()
    written.does(Closed(1, LOST))
    written.does(Closed(2, LOST))
    assert written.does(Left()) == []
    written.does(Answered(grant(2, "q", "")))
    assert written.does(Opened(3, place(2))) == [Finish(3)]


def test_the_last_units_that_are_on_their_way_to_an_origin_go_to_the_one_that_comes_after_it_too() -> None:
    written = Written().writing()
    written.does(Left())
    written.does(moved(2, "q"))
    assert written.does(Opened(2, place(2))) == [Close(1), Finish(2)]
    assert written.does(Closed(2, DONE)) == [AllSent()]


def test_an_origin_that_has_all_of_a_publisher_that_is_still_there_was_lost() -> None:
    written = Written().writing()
    assert ways(written.does(Closed(1, DONE))) == [("p", True)]


def test_who_takes_over_ends_what_a_publisher_left_behind() -> None:
    written = Written().writing()
    written.does(Left())
    written.does(Closed(1, CloseReason.FENCED, "a newer one"))
    assert written.ended == "taken over: a newer one"


_PORTS = st.integers(1, 8)
_GRANTS = st.builds(
    lambda revision, origin, heir: grant(revision, origin, heir if heir != origin else ""),
    st.integers(1, 5),
    st.sampled_from("opq"),
    st.sampled_from(["", *"opq"]),
)
_REFUSED = st.builds(Refused, st.sampled_from([Refusal.UNAVAILABLE, Refusal.NO_ORIGIN, Refusal.NOT_FOUND]))
_EVENTS = st.one_of(
    st.builds(Opened, _PORTS, st.builds(place, st.integers(1, 5))),
    st.builds(Closed, _PORTS, st.sampled_from([LOST, CloseReason.BAD_GRANT, CloseReason.DRAINING, DONE]), st.just("")),
    st.just(Left()),
    st.builds(lambda granted: Told(location(granted.place.revision, granted.origin.node.name), granted), _GRANTS),
    st.builds(Told, st.builds(location, st.integers(1, 6), st.sampled_from("opq"))),
    st.builds(Answered, _GRANTS | _REFUSED),
    st.just(ClaimWanted()),
    st.just(TimerFired()),
)


@given(st.lists(st.tuples(_EVENTS, st.floats(0, 3)), max_size=40))
def test_whatever_happens_it_writes_at_two_places_at_most_and_goes_on(events: list[tuple[Event, float]]) -> None:
    written = Written()
    for event, pause in events:
        if isinstance(event, Answered) and not written.asking:
            continue
        if isinstance(event, Opened):
            if event.port not in written.open or event.port in written.opened:
                continue
            written.opened.add(event.port)
        before = written.core.grant
        written.does(event, pause)
        assert len(written.open) <= 2
        assert len(written.opened & written.open.keys()) <= 1, "two origins take units, and neither is to be closed"
        if written.ended:
            return
        assert set(written.core._ports) == set(written.open)
        assert (written.core.grant.epoch, written.core.grant.place) >= (before.epoch, before.place)
        assert written.asking <= 1
        assert written.open or written.core.next_timer is not None, "nothing is open, and nothing will be"
