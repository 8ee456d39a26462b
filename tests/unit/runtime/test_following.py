"""Where a reader takes its stream from: the decisions."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st
from support.edge_fakes import ORIGINS, STREAM, epoch, gop, location, place, run_of

from lalmesh.runtime.config import Config
from lalmesh.runtime.following import (
    UNREACHABLE,
    Closed,
    Command,
    Delivered,
    Event,
    Finish,
    Following,
    FollowSettings,
    Locate,
    NotLocated,
    Opened,
    Started,
    Subscribe,
    TimerFired,
    Told,
    Unsubscribe,
)
from lalmesh.runtime.link import CloseReason
from lalmesh.runtime.ownership import NO_EPOCH, NO_PLACE, Place
from lalmesh.runtime.reader import Reader
from services.standalone.settings import lost_s

SETTINGS = FollowSettings(lost_s=30)
LOST = CloseReason.LINK_LOST


@dataclass
class Reading:
    """A core with a reader, and a shell that notes what it does."""

    reader: Reader = field(default_factory=Reader)
    now: float = 100.0
    settings: FollowSettings = SETTINGS
    open: dict[int, str] = field(default_factory=dict)  #: origin by subscription
    commands: list[Command] = field(default_factory=list)
    finished: str = ""

    def __post_init__(self) -> None:
        self.core = Following(self.settings, self.reader, random.Random(1))
        self.does(Started())

    def does(self, event: Event, after_s: float = 0.0) -> list[Command]:
        self.now += after_s
        if isinstance(event, Closed):
            self.open.pop(event.port, None)
        commands = self.core.handle(event, self.now)
        for command in commands:
            match command:
                case Subscribe(port, origin, _):
                    assert origin.node.name not in self.open.values()
                    self.open[port] = origin.node.name
                case Unsubscribe(port):
                    del self.open[port]
                case Finish(reason):
                    self.finished = reason
                case Locate():
                    pass
        self.commands += commands
        return commands

    def delivers(self, port: int, revision: int, at: Place | None = None) -> list[Command]:
        """Units of the only publication come by that subscription."""
        commands = self.does(Delivered(port, epoch(1), at or place(revision)))
        if self.core.settled and self.core.followed == port:
            run = run_of(gop(self.reader.counters.units, 1))
            run.place = at or place(revision)
            self.reader.receive(run)
        return commands

    def following(self) -> Reading:
        """Following the stream at origin o, whose heir is p."""
        self.does(Told(location(1, heir="p"), asked=True))
        self.does(Opened(1, epoch(1), place(1)))
        self.delivers(1, 1)
        return self

    def fires(self) -> list[Command]:
        """The next timer."""
        assert self.core.next_timer is not None
        self.now = max(self.now, self.core.next_timer)
        return self.does(TimerFired())


def subscribed(commands: list[Command]) -> list[str]:
    return [command.origin.node.name for command in commands if isinstance(command, Subscribe)]


def stays(reading: Reading, for_s: float) -> None:
    """The scheduler says nothing new, and no subscription anything, for so long or until it gives up."""
    until_s = reading.now + for_s
    while not reading.finished and (reading.core._asking or (reading.core.next_timer or until_s) < until_s):
        if reading.core._asking:
            reading.does(NotLocated())
        elif reading.core.next_timer is not None:
            reading.fires()
    reading.now = max(reading.now, until_s) if not reading.finished else reading.now


def test_it_asks_where_the_stream_is_and_follows_its_origin() -> None:
    reading = Reading()
    assert reading.commands == [Locate(NO_PLACE, 10.0)]
    assert subscribed(reading.does(Told(location(1), asked=True))) == ["o"]
    reading.does(Opened(1, epoch(1), place(1)))
    assert (reading.core.followed, reading.core.next_timer) == (1, None)


def test_an_answer_that_it_is_nowhere_is_asked_for_again_with_growing_pauses() -> None:
    reading, pauses = Reading(settings=FollowSettings(awaits_first=True)), list[float]()
    for _ in range(9):
        asked = reading.now
        reading.does(NotLocated())
        assert reading.fires() == [Locate(NO_PLACE, 10.0)]
        pauses.append(reading.now - asked)
    assert max(pauses[:2]) < 0.2
    assert 0.5 <= pauses[-1] <= 1.0


def test_a_scheduler_that_asks_for_patience_gets_it() -> None:
    reading = Reading()
    reading.does(NotLocated(5.0))
    reading.fires()
    assert reading.now >= 105


def test_a_broken_link_sends_it_to_the_heir_at_once_and_to_the_scheduler() -> None:
    reading = Reading().following()
    assert reading.does(Closed(1, LOST)) == [Locate(place(1), 2.0), Subscribe(2, ORIGINS["p"], place(1))]
    assert subscribed(reading.fires()) == ["o"], "the origin itself may be back"


def test_whichever_delivers_first_is_followed_and_the_other_one_left() -> None:
    reading = Reading().following()
    reading.does(Closed(1, LOST))
    reading.does(Opened(2, NO_EPOCH, NO_PLACE))
    reading.fires()
    reading.does(Opened(3, epoch(1), place(1)))
    assert (reading.core.followed, reading.open) == (3, {2: "p", 3: "o"}), "the heir may deliver still"
    assert reading.delivers(2, 1, place(1)._replace(heir=True)) == [Unsubscribe(3)]
    assert reading.core.followed == 2


def test_where_the_heir_took_over_the_origin_before_is_not_followed_unless_it_delivers() -> None:
    reading = Reading().following()
    reading.does(Closed(1, LOST))
    reading.delivers(2, 1, place(1)._replace(heir=True))
    reading.does(Closed(2, LOST))
    reading.fires()
    (back,) = [port for port, origin in reading.open.items() if origin == "o"]
    reading.does(Opened(back, epoch(1), place(1)))
    assert reading.core.followed is None
    reading.delivers(back, 1)
    assert reading.core.followed == back


def test_an_heir_that_opened_and_gives_nothing_does_not_keep_it_from_the_origin_that_delivers() -> None:
    reading = Reading().following()
    reading.does(Closed(1, LOST))
    reading.fires()
    reading.does(Opened(2, epoch(1), place(1)._replace(heir=True)))
    (back,) = [port for port, origin in reading.open.items() if origin == "o"]
    assert reading.core.followed == 2
    assert reading.delivers(back, 1) == []
    assert (reading.core.followed, reading.open[2]) == (back, "p"), "the heir may deliver still"
    reading.does(NotLocated())
    assert reading.core.next_timer is not None, "it asks on for the place that was seen"
    assert reading.delivers(2, 1, place(1)._replace(heir=True)) == [Unsubscribe(back)]


def test_an_heir_that_opened_and_gives_nothing_does_not_keep_it_from_asking_the_origin_again() -> None:
    reading = Reading().following()
    reading.does(Told(replace(location(1), origin=ORIGINS["p"], place=place(1)._replace(heir=True))))
    reading.does(Closed(1, LOST))
    reading.does(Opened(2, epoch(1), place(1)._replace(heir=True)))
    assert reading.core.followed == 2
    assert subscribed(reading.fires()) == ["o"]
    (back,) = [port for port, origin in reading.open.items() if origin == "o"]
    reading.delivers(back, 1)
    assert reading.core.followed == back


def below() -> tuple[Reading, int]:
    """Back at the origin, after the heir has opened and given nothing; and the number of the subscription there."""
    reading = Reading().following()
    reading.does(Closed(1, LOST))
    reading.fires()
    reading.does(Opened(2, epoch(1), place(1)._replace(heir=True)))
    (back,) = [port for port, origin in reading.open.items() if origin == "o"]
    reading.delivers(back, 1)
    return reading, back


def passes(reading: Reading, until_s: float) -> int:
    """Nobody answers and no heir is there until then: how many questions that makes."""
    before = len(reading.commands)
    while reading.now < until_s and not reading.finished:
        if reading.core._asking:
            reading.does(NotLocated())
        for port in [port for port, origin in reading.open.items() if origin == "p"]:
            reading.does(Closed(port, CloseReason.NOT_FOUND))
        reading.fires()
    return sum(isinstance(command, Locate) for command in reading.commands[before:])


def test_below_the_place_that_was_seen_it_asks_less_and_less_and_so_it_tries_the_heir() -> None:
    reading, _ = below()
    passes(reading, 160.0)
    assert 5 < passes(reading, 1060.0) < 150  # with pauses of up to 30 s, of questions and of attempts at the heir


def test_below_the_place_that_was_seen_a_publisher_that_is_silent_is_not_taken_for_lost_but_a_broken_link_is() -> None:
    reading, back = below()
    passes(reading, 1000.0)
    assert (reading.finished, reading.core.followed) == ("", back)
    reading.does(Closed(back, LOST))
    broken_at_s = reading.now
    passes(reading, 2000.0)
    assert (reading.finished, reading.now) == (UNREACHABLE, broken_at_s + 30.0)


def test_an_answer_that_tells_only_of_an_heir_is_asked_again() -> None:
    reading = Reading()
    reading.does(Told(replace(location(1), place=place(1)._replace(heir=True)), asked=True))
    assert reading.core.next_timer is not None


def test_units_of_an_epoch_before_the_one_that_was_named_are_not_followed() -> None:
    reading = Reading().following()
    reading.does(Closed(1, LOST))
    reading.fires()
    reading.does(Opened(2, epoch(2), place(2)))
    (back,) = [port for port, origin in reading.open.items() if origin == "o"]
    assert reading.delivers(back, 1) == []
    assert reading.core.followed == 2


def test_an_heir_that_is_written_down_is_followed_as_before_and_its_heir_known() -> None:
    reading = Reading().following()
    reading.does(Closed(1, LOST))
    reading.delivers(2, 1, place(1)._replace(heir=True))
    assert reading.does(Told(location(2, "p", heir="q"))) == []
    assert reading.core.next_timer is None
    assert subscribed(reading.does(Closed(2, LOST))) == ["q"]


def test_at_an_heir_it_asks_until_that_is_written_down_with_an_heir_of_its_own() -> None:
    reading = Reading().following()
    reading.does(Closed(1, LOST))
    reading.delivers(2, 1, place(1)._replace(heir=True))
    for _ in range(5):  # nobody says so, as while every scheduler is away
        assert reading.does(NotLocated()) == []
        assert reading.fires() == [Locate(place(1), 2.0)]
    assert reading.does(Told(location(2, "p", heir="q"), asked=True)) == []
    assert reading.core.next_timer is None
    assert subscribed(reading.does(Closed(2, LOST))) == ["q"]


def test_units_of_a_place_that_nobody_told_of_make_it_ask_which_heir_there_is() -> None:
    reading = Reading().following()
    assert reading.delivers(1, 2) == []
    assert reading.fires() == [Locate(place(1), 2.0)]
    assert reading.does(Told(location(2, heir="q"), asked=True)) == []
    assert reading.core.next_timer is None
    assert reading.delivers(1, 2) == []
    assert subscribed(reading.does(Closed(1, LOST))) == ["q"]


def test_without_a_grace_an_origin_that_is_lost_is_followed_by_its_heir() -> None:
    config = Config.model_validate({"origin": {"grace_s": 0}})
    reading = Reading(settings=FollowSettings(lost_s=lost_s(config))).following()
    reading.does(Closed(1, LOST))
    stays(reading, 0.1)
    reading.does(Opened(2, epoch(1), place(1)._replace(heir=True)))
    assert (reading.finished, reading.core.followed) == ("", 2)


def test_a_stream_that_moves_is_read_at_both_places_until_the_new_one_delivers() -> None:
    reading = Reading().following()
    assert reading.does(Told(location(2, "q"))) == [Subscribe(2, ORIGINS["q"], place(2))]
    reading.does(Opened(2, epoch(1), place(2)))
    assert reading.core.followed == 1
    assert reading.delivers(2, 2) == [Unsubscribe(1)]
    assert (reading.core.followed, reading.core.next_timer) == (2, None)


def test_where_the_old_place_is_lost_the_new_one_that_has_opened_is_followed() -> None:
    reading = Reading().following()
    reading.does(Told(location(2, "q")))
    reading.does(Opened(2, epoch(1), place(2)))
    assert reading.does(Closed(1, LOST)) == []
    assert (reading.core.followed, reading.core.settled, reading.core.next_timer) == (2, False, None)
    assert reading.delivers(2, 2) == []
    assert (reading.core.settled, reading.open) == (True, {2: "q"})


def test_a_place_that_has_opened_and_was_outdated_since_is_not_followed() -> None:
    reading = Reading().following()
    reading.does(Told(location(2, "q")))
    reading.does(Opened(2, epoch(1), place(2)))
    reading.delivers(1, 3)
    assert reading.does(Closed(1, LOST)) != []
    assert reading.core.followed is None


def test_a_new_place_that_fails_is_tried_again_while_the_old_one_delivers() -> None:
    reading = Reading().following()
    reading.does(Told(location(2, "q")))
    assert reading.does(Closed(2, LOST)) == []
    assert subscribed(reading.fires()) == ["q"]
    assert reading.core.followed == 1


def test_a_place_that_is_not_higher_is_no_news() -> None:
    reading = Reading().following()
    assert reading.does(Told(location(1, "q"))) == []
    assert reading.does(Told(location(0, "q"))) == []
    assert reading.open == {1: "o"}


def test_a_new_place_at_the_same_origin_tells_of_its_heir() -> None:
    reading = Reading().following()
    reading.delivers(1, 2)
    assert reading.does(Told(location(2, "o", heir="q"))) == []
    assert subscribed(reading.does(Closed(1, LOST))) == ["q"]


def test_word_of_an_origin_that_lost_its_publication_opens_the_heir_beside_it() -> None:
    reading = Reading().following()
    heirs = location(1, "p")
    hint = Told(type(heirs)(stream=heirs.stream, place=place(1)._replace(heir=True), origin=heirs.origin))
    assert subscribed(reading.does(hint)) == ["p"]
    assert reading.core.followed == 1
    reading.delivers(1, 1)
    assert reading.does(Closed(2, CloseReason.NOT_FOUND)) == []
    assert (reading.open, reading.core.next_timer) == ({1: "o"}, None)


def test_where_nothing_is_found_for_long_it_gives_up() -> None:
    reading = Reading().following()
    reading.does(Closed(1, LOST))
    reading.does(Closed(2, LOST))
    while not reading.finished:
        for port in list(reading.open):
            reading.does(Closed(port, LOST))
        if reading.core.next_timer is not None:
            reading.fires()
    assert (reading.finished, reading.now) == (UNREACHABLE, 130.0)
    assert reading.does(Told(location(9))) == []


def test_a_new_place_out_of_reach_is_given_up_only_where_the_old_one_delivers_no_more() -> None:
    reading = Reading().following()
    reading.does(Told(location(2, "q")))
    reading.delivers(1, 1)
    stays(reading, 30.0)
    assert not reading.finished
    stays(reading, 1000.0)
    assert (reading.finished, reading.now) == (UNREACHABLE, 160.0)


def test_a_publisher_that_is_silent_after_its_stream_has_moved_is_not_taken_for_lost() -> None:
    reading = Reading().following()
    reading.does(Told(location(5, "q")))
    reading.does(Opened(2, epoch(1), place(5)))
    stays(reading, 1000.0)
    assert (reading.finished, reading.open) == ("", {1: "o", 2: "q"})
    assert reading.delivers(2, 5) == [Unsubscribe(1)]
    assert reading.core.next_timer is None


def test_a_publisher_that_is_silent_at_the_heir_is_not_taken_for_lost_once_that_is_written_down() -> None:
    reading = Reading().following()
    heir = place(1)._replace(heir=True)
    reading.does(Told(replace(location(1), origin=ORIGINS["p"], place=heir)))
    reading.does(Opened(2, epoch(1), heir))
    reading.does(Told(location(5, "p", heir="q")))
    stays(reading, 1000.0)
    assert (reading.finished, reading.core.followed) == ("", 1)


def test_a_new_place_that_is_open_and_lost_afterwards_is_given_up() -> None:
    reading = Reading().following()
    reading.does(Told(location(5, "q")))
    reading.does(Opened(2, epoch(1), place(5)))
    stays(reading, 100.0)
    reading.does(Closed(2, LOST))
    lost_at_s = reading.now
    stays(reading, 1000.0)
    assert reading.finished == UNREACHABLE
    assert reading.now - lost_at_s <= 30.0


def test_a_new_place_that_cannot_be_reached_is_given_up_though_the_old_one_is_open() -> None:
    reading = Reading().following()
    reading.does(Told(location(5, "q")))
    stays(reading, 1000.0)
    assert (reading.finished, reading.now) == (UNREACHABLE, 130.0)


def test_a_new_place_that_knows_only_an_outdated_publication_is_given_up() -> None:
    reading = Reading().following()
    reading.does(Told(location(5, "q")))
    reading.does(Opened(2, epoch(0), place(5)))
    stays(reading, 1000.0)
    assert (reading.finished, reading.now) == (UNREACHABLE, 130.0)


def test_where_it_waits_for_the_publication_it_looks_again_before_it_gives_up() -> None:
    reading = Reading().following()
    reading.does(Closed(1, LOST))
    reading.does(Opened(2, NO_EPOCH, NO_PLACE))  # it was there first; who publishes has come since, and is silent
    stays(reading, 29.0)
    (again,) = [port for port, origin in reading.open.items() if origin == "p"]
    assert (reading.finished, again != 2) == ("", True)
    reading.does(Opened(again, epoch(1), place(1)._replace(heir=True)))
    assert reading.core.followed == again
    stays(reading, 1000.0)
    assert not reading.finished


def test_what_it_follows_is_never_opened_anew_though_it_waited_there_for_the_publication() -> None:
    reading = Reading().following()
    reading.does(Closed(1, LOST))
    reading.does(Opened(2, NO_EPOCH, NO_PLACE))
    reading.delivers(2, 1, place(1)._replace(heir=True))
    reading.does(Told(location(5, "q")))
    begun = len(reading.commands)
    stays(reading, 29.0)
    assert reading.commands[begun:].count(Unsubscribe(2)) == 0
    assert (reading.core.followed, reading.open[2]) == (2, "p")


def test_where_no_publication_has_come_it_looks_once_and_gives_up_in_time() -> None:
    reading = Reading().following()
    reading.does(Closed(1, LOST))
    reading.does(Opened(2, NO_EPOCH, NO_PLACE))
    begun = len(reading.commands)
    stays(reading, 29.0)
    (again,) = [port for port, origin in reading.open.items() if origin == "p"]
    reading.does(Opened(again, NO_EPOCH, NO_PLACE))
    stays(reading, 1000.0)
    assert (reading.finished, reading.now) == (UNREACHABLE, 130.0)
    assert subscribed(reading.commands[begun:]).count("p") == 1


def test_the_end_of_the_stream_ends_it_unless_it_is_followed_elsewhere() -> None:
    reading = Reading().following()
    reading.does(Told(location(2, "q")))
    assert reading.does(Closed(2, CloseReason.STREAM_ENDED, "over")) == []
    assert reading.does(Closed(1, CloseReason.STREAM_ENDED, "over")) == [Finish("over")]


def test_pauses_begin_anew_after_a_steady_while() -> None:
    reading = Reading(settings=FollowSettings(lost_s=1000))
    reading.does(Told(location(1), asked=True))
    for _ in range(8):
        reading.does(Closed(max(reading.open), LOST))
        reading.fires()
    port = max(reading.open)
    reading.does(Opened(port, epoch(1), place(1)))
    reading.does(Closed(port, LOST), after_s=6)
    before = reading.now
    reading.fires()
    assert reading.now - before <= 0.05


def test_it_knows_where_it_reads_the_stream_for_another_reader_to_begin_there() -> None:
    reading, heir = Reading(), place(1)._replace(heir=True)
    assert reading.core.known(STREAM) is None
    reading.does(Told(location(1, heir="p"), asked=True))
    assert reading.core.known(STREAM) == location(1, heir="p")
    reading.does(Opened(1, epoch(1), place(1)))
    reading.delivers(1, 2)
    assert reading.core.known(STREAM) == location(2, heir="p")
    reading.does(Closed(1, LOST))
    assert reading.core.known(STREAM) == location(1, heir="p")
    reading.delivers(2, 2, heir)
    assert reading.core.known(STREAM) == replace(location(1, "p"), place=heir)
    reading.does(Told(location(5, "q")))
    assert reading.core.known(STREAM) == location(5, "q")
    reading.does(Closed(2, CloseReason.STREAM_ENDED, "over"))
    assert reading.core.known(STREAM) == location(5, "q")


_PORTS = st.integers(1, 6)
_PLACES = st.builds(Place, st.just(1), st.integers(1, 4), st.booleans())
_EVENTS = st.one_of(
    st.builds(Told, st.builds(location, st.integers(1, 4), st.sampled_from("opq"), st.sampled_from(["", *"opq"])), st.booleans()),
    st.builds(Opened, _PORTS, st.builds(epoch, st.integers(0, 2)), _PLACES),
    st.builds(Delivered, _PORTS, st.builds(epoch, st.integers(1, 2)), _PLACES),
    st.builds(Closed, _PORTS, st.sampled_from([LOST, CloseReason.NOT_FOUND, CloseReason.DRAINING]), st.just("")),
    st.just(NotLocated()),
    st.just(TimerFired()),
)


@given(st.lists(st.tuples(_EVENTS, st.floats(0, 3)), max_size=40))
def test_whatever_happens_one_is_followed_no_lower_than_before_and_the_search_goes_on(events: list[tuple[Event, float]]) -> None:
    reading, highest = Reading(), (NO_EPOCH, NO_PLACE)
    for event, pause in events:
        reading.does(event, pause)
        core, reader = reading.core, reading.reader
        if reading.finished:
            assert reading.finished == UNREACHABLE
            return
        assert core.followed is None or core.followed in reading.open
        assert set(core._ports) == set(reading.open)
        if isinstance(event, Delivered) and core.settled and core.followed == event.port:
            run = run_of(gop(0, 1), revision=event.epoch.revision)
            run.place = event.place
            reader.receive(run)
        assert (reader.epoch, reader.place) >= highest or reader.epoch > highest[0]
        highest = (reader.epoch, reader.place)
        assert core.followed is not None or core._asking or core._asks.at_s is not None, "nobody looks for the stream"
