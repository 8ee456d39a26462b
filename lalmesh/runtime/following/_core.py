"""Where a reader takes its stream from: a pure core, ``handle(event, now_s) -> commands`` (docs/design.md §5, Origin lost).

A reader *follows* one subscription. It may have others: at the heir where the origin is lost, at the place that the stream has
moved to. Whichever comes there first waits, reader or publication; the subscription that is followed stays until another one
delivers, and where it ends before, one that has opened takes its place. Nobody follows a lower place than one that was seen, but
where that one gives nothing: an opening that came late makes an heir known that its publication has given up already.
Nobody gives up a place that has opened: its publisher may be silent for as long as it likes, and of a link that breaks it is told.

```
              Told                       Opened by a group that is known      Closed
   looking ───────────► at its origin ──────────────────────────► following ─────────► looking: at the heir at once,
      ▲                                                             │   ▲               at both with growing pauses,
      └──────────── nothing for `lost_s`: Finish ◄──────────────────┘   │ Told            wherever the scheduler says
                                                                        └── and at the new place, until that delivers
```
Its shell owns the subscriptions, asks the scheduler, and gives units to the reader; the core knows them by number.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import assert_never

from lalmesh.names import StreamKey
from lalmesh.runtime.following._events import (
    Closed,
    Command,
    Delivered,
    Event,
    Finish,
    Locate,
    NotLocated,
    Opened,
    Started,
    TimerFired,
    Told,
)
from lalmesh.runtime.following._pauses import ASK_AGAIN_S, MAX_BELOW_S, MAX_RETRY_S, STEADY_S, Pause
from lalmesh.runtime.following._ports import Ports
from lalmesh.runtime.following._settings import FollowSettings
from lalmesh.runtime.link import CloseReason
from lalmesh.runtime.ownership import NO_EPOCH, NO_PLACE, Epoch, Location, NodeAddress, NodeId, Place
from lalmesh.runtime.reader import Reader
from lalmesh.runtime.scheduling import MAX_LOCATE_S

LOCATE_S = 2.0  #: that the scheduler is given to learn of a higher place
LOOK_AGAIN_S = 2.0  #: before it gives up: for an origin to say whether the publication has come that it is waited for at
ALONE_AFTER = 2  #: attempts at an origin after which it counts as one that this reader cannot reach
UNREACHABLE = "no origin could be reached"


class Following:
    """One reader's way after its stream."""

    def __init__(self, settings: FollowSettings, reader: Reader, rng: random.Random) -> None:
        """Follow for `reader`, whose memory says what was seen; `rng` spreads the pauses of many readers."""
        self.followed: int | None = None  #: the subscription whose units are taken
        self.settled = False  #: whether it has delivered
        self._settings = settings
        self._reader = reader
        self._ports = Ports()
        self._location: Location | None = None  # the highest place that was told, of the scheduler's
        self._tried: Counter[NodeId] = Counter()  # attempts that failed since a subscription was followed
        self._followed_at_s = 0.0
        self._lost_at_s: float | None = None  # since when nothing comes from where the stream should be
        self._units = 0  # the reader's count then
        self._has_looked_again = False  # since then
        self._asking = False
        self._asks, self._retries = Pause(rng), Pause(rng)
        self._over = False

    @property
    def next_timer(self) -> float | None:
        """When `TimerFired` is due."""
        if self._over:
            return None
        times = (self._asks.at_s, self._retries.at_s, self._look_again_at_s(), self._give_up_at_s())
        return min((at for at in times if at is not None), default=None)

    def known(self, stream: StreamKey) -> Location | None:
        """Where `stream`, the one that is read, is followed, or was told to be where that is higher; None: nothing is known."""
        told, port = self._location, self._ports.get(self.followed) if self.followed is not None else None
        if port is None or port.place == NO_PLACE or (told is not None and told.place >= port.place):
            return told
        heir = told.heir if told is not None and told.origin.node == port.origin.node else None
        return Location(stream=stream, place=port.place, origin=port.origin, heir=heir)

    def handle(self, event: Event, now_s: float) -> list[Command]:
        """Take one event in; `now_s` is any clock that rises, in seconds."""
        if self._over:
            return []
        match event:
            case Started():
                self._lose(now_s)
                return self._ask()
            case Told():
                return self._told(event, now_s)
            case NotLocated(retry_after_s):
                self._asking = False
                self._ask_later(now_s, retry_after_s)
                return []
            case Opened():
                return self._opened(event, now_s)
            case Delivered():
                return self._delivered(event, now_s)
            case Closed():
                return self._closed(event, now_s)
            case TimerFired():
                return self._timer_fired(now_s)
            case _:
                assert_never(event)

    # where the stream is

    def _told(self, event: Told, now_s: float) -> list[Command]:
        location = event.location
        self._asking = self._asking and not event.asked
        if location.place.heir:  # its origin has lost the publication, and can only guess where that goes
            if event.asked:
                self._ask_later(now_s)
            return self._ports.subscribe(location.origin, location.place) if location.place > self._reader.place else []
        if location.place < self._reader.place or (self._location is not None and location.place <= self._location.place):
            if event.asked:
                self._ask_later(now_s)
            return []
        self._location = location
        if event.asked:
            self._ask_later(now_s, ASK_AGAIN_S)  # it may have moved on before this origin was reached
        if self._is_behind():
            self._lose(now_s)
        elif self.followed is not None:  # it is where it was followed already, by the origin's word or as the heir
            self._lost_at_s = None
            return []
        return self._ports.subscribe(location.origin, location.place)

    def _is_behind(self) -> bool:
        """Whether the stream is known to be somewhere else than where it is followed, or was."""
        return self._has_moved_on() or self._is_below()

    def _has_moved_on(self) -> bool:
        """Whether the scheduler has told of a higher place, at another origin."""
        port, now = self._ports[self.followed] if self.followed is not None else None, self._location
        return port is not None and now is not None and port.origin.node != now.origin.node and port.place < now.place

    def _is_below(self) -> bool:
        """Whether it is followed at a lower place than one that was seen, for want of units from that."""
        return self.followed is not None and self._ports[self.followed].place < self._reader.place

    def _is_served_below(self) -> bool:
        """Whether units have come from that lower place, and may go on to come: its publication is there, be it silent."""
        return self.settled and self._is_below() and not self._has_moved_on()

    def _is_unproven(self) -> bool:
        """Whether it is followed at an heir that gives nothing: only the origin that has lost the publication guessed at it."""
        return self.followed is not None and not self.settled and self._ports[self.followed].place > self._place()

    def _candidates(self) -> Iterator[NodeAddress]:
        """Where the stream may be read: its origin, and where that does not give it, or not all, the heir of that."""
        if self._location is None:
            return
        if self.followed is None or self._is_behind() or self._is_unproven():
            yield self._location.origin
        if (self.followed is None or self._is_below()) and self._location.heir is not None:
            yield self._location.heir

    # subscriptions

    def _opened(self, event: Opened, now_s: float) -> list[Command]:
        port = self._ports.get(event.port)
        if port is None or event.epoch == NO_EPOCH or not self._reader.moved(event.epoch, event.place):
            return []  # or an outdated group, where the publication may come still: its units are judged when they do
        port.epoch, port.place = event.epoch, event.place
        if self.followed is None:
            self._follow(event.port, now_s)
        return []

    def _delivered(self, event: Delivered, now_s: float) -> list[Command]:
        port = self._ports.get(event.port)
        if port is None:
            return []
        port.place = max(port.place, event.place)
        if event.port != self.followed and not self._reader.follows(event.epoch, port.place) and not self._takes_over(event.epoch):
            return []
        port.epoch = max(port.epoch, event.epoch)
        self._follow(event.port, now_s)
        self.settled = True
        if not self._is_behind():
            self._retries.at_s = None
        if self._is_served_below():
            self._lost_at_s = None
        wanted = {origin.node for origin in self._candidates()}
        return self._ports.leave_all_but(self.followed, wanted)

    def _takes_over(self, epoch: Epoch) -> bool:
        """Whether units of `epoch` are followed from a lower place: the higher one gives nothing, and their writer is the same."""
        return not self.settled and epoch == self._reader.seen.epoch

    def _follow(self, number: int, now_s: float) -> None:
        if self.followed != number:
            self.followed, self.settled, self._followed_at_s = number, False, now_s
        self._tried.clear()
        self._asks.end()
        if not self._asking:
            self._ask_later(now_s, ASK_AGAIN_S)
        if not self._is_behind():
            self._lost_at_s = self._retries.at_s = None
        if self._is_unproven():
            self._retry_later(now_s)

    def _closed(self, event: Closed, now_s: float) -> list[Command]:
        port = self._ports.pop(event.port)
        if port is None:
            return []
        was_followed = event.port == self.followed
        if event.reason is CloseReason.STREAM_ENDED and (was_followed or self.followed is None):
            return self._finish(event.detail)
        if was_followed:
            self.followed, self.settled = None, False
            if now_s - self._followed_at_s >= STEADY_S:
                self._retries.shorten()
            self._lose(now_s)
            if (opened := self._ports.highest_opened(self._reader)) is not None:
                self._follow(opened, now_s)
        self._tried[port.origin.node] += 1
        if not any(self._candidates()):
            return []
        self._retry_later(now_s)
        untried = [origin for origin in self._candidates() if not self._tried[origin.node]]
        return [*self._ask(), *(command for origin in untried for command in self._ports.subscribe(origin, self._place()))]

    def _place(self) -> Place:
        return self._location.place if self._location is not None else NO_PLACE

    # pauses and the end of patience

    def _lose(self, now_s: float) -> None:
        if self._lost_at_s is None and not self._is_served_below():
            self._lost_at_s, self._units = now_s, self._reader.counters.units
            self._has_looked_again = False

    def _give_up_at_s(self) -> float | None:
        if self._lost_at_s is None or (self._settings.awaits_first and self._reader.last is None):
            return None
        return self._lost_at_s + self._settings.lost_s

    def _look_again_at_s(self) -> float | None:
        """When to open anew what waits for the publication, of which origins tell only by its units; None: nothing waits."""
        give_up_at_s = self._give_up_at_s()
        if give_up_at_s is None or self._has_looked_again or not self._ports.waiting:
            return None
        return give_up_at_s - LOOK_AGAIN_S

    def _is_open_where_told(self) -> bool:
        """Whether the place that the scheduler has told, or a higher one, is open and not outdated: its publisher is silent."""
        told = self._location
        return told is not None and any(
            port.origin.node == told.origin.node or port.place >= told.place for port in self._ports.opened(self._reader.epoch)
        )

    def _needs_word(self) -> bool:
        """Whether the scheduler has to say something: where to look, or which heir there is where the stream is read by now."""
        return self.followed is None or self._is_below() or self._ports[self.followed].place > self._place()

    def _ask(self) -> list[Command]:
        if self._asking or not self._needs_word():
            return []
        self._asking, self._asks.at_s = True, None
        place = self._place() if self.followed is not None else max(self._reader.place, self._place())
        if place == NO_PLACE:
            return [Locate(NO_PLACE, MAX_LOCATE_S)]
        origin = self._location.origin.node if self._location is not None else None
        alone = origin if origin is not None and self._tried[origin] >= ALONE_AFTER else None
        return [Locate(place, LOCATE_S, alone)]

    def _ask_later(self, now_s: float, at_least_s: float = 0.0) -> None:
        if self._needs_word():
            self._asks.begin(now_s, self._longest_s(), at_least_s)

    def _retry_later(self, now_s: float) -> None:
        if self._retries.at_s is None:
            self._retries.begin(now_s, self._longest_s())

    def _longest_s(self) -> float:
        return MAX_BELOW_S if self._is_served_below() else MAX_RETRY_S

    def _timer_fired(self, now_s: float) -> list[Command]:
        commands: list[Command] = []
        give_up_at_s, look_again_at_s = self._give_up_at_s(), self._look_again_at_s()
        if look_again_at_s is not None and now_s >= look_again_at_s:
            self._has_looked_again = True
            commands += self._ports.open_waiting_again(self._place())
        if give_up_at_s is not None and now_s >= give_up_at_s:
            is_served = self.followed is not None and self._reader.counters.units != self._units  # where it was
            if not is_served and not self._is_open_where_told():
                return self._finish(UNREACHABLE)
            self._lost_at_s = None
            self._lose(now_s)
        if self._asks.is_over(now_s):
            commands += self._ask()
        if self._retries.is_over(now_s):
            commands += [command for origin in self._candidates() for command in self._ports.subscribe(origin, self._place())]
        return commands

    def _finish(self, reason: str) -> list[Command]:
        self._over = True
        return [Finish(reason)]
