"""Where a publication writes: a pure core, ``handle(event, now_s) -> commands`` (docs/design.md §5, Origin lost).

```
 opening ──Opened──► writing ──Closed──► at the heir, at once, with the same grant ──Opened──► writing, and written down (`Move.at`)
                        │                      │ Closed
                        │                      └──► both again with growing pauses, and wherever the scheduler says (`Move`)
                        └──Told of a higher place──► there too ──Opened──► writing there; the place before is closed
```
The newer place wins, and what is written at two places is so only until the newer one has opened. The heir's place is above that
of its origin, and readers that saw it follow nothing lower: so once the heir has taken over there is no way back to the origin but
by the scheduler's word. Units are named, so what reaches a reader by two ways is the same.

The last units of a publisher that has left (`Left`) may still be on their way. They go where it writes, or, while that is nowhere,
the same ways as before, until an origin has said that it has all.

The shell owns the outlets, which the core knows by number, and asks the scheduler; `publication.py` has the units.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import assert_never

from lalmesh.runtime.link import CloseReason
from lalmesh.runtime.ownership import NO_PLACE, Grant, NodeAddress, Place
from lalmesh.runtime.scheduling import Claim, Held, Move, Refusal, Refused
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

FIRST_RETRY_S = 0.1  #: before an origin is tried again, and before the scheduler is asked again
MAX_RETRY_S = 2.0  #: pauses double up to this
PROMPT_FAILURES = 2  #: of origin and heir, after which the scheduler is asked at once; after more there are pauses
STEADY_S = 5.0  #: an origin that took units for so long was no failure


@dataclass(slots=True)
class _Port:
    """A way to an origin."""

    origin: NodeAddress
    as_heir: bool
    place: Place
    opened_at_s: float | None = None

    def granted(self, place: Place) -> None:
        """The newest grant names this origin, at `place`: if it was an heir, it is one no more."""
        self.as_heir, self.place = False, max(self.place, place)


class Writing:
    """One publication's way to its origins."""

    def __init__(self, grant: Grant, rng: random.Random) -> None:
        """Write by `grant`; `rng` spreads the pauses of many publications."""
        self.grant = grant  #: the newest
        self._rng = rng
        self._ports: dict[int, _Port] = {}
        self._next_port = 1
        self._written: int | None = None  # the port that has opened
        self._opening: int | None = None
        self._heir_opened = False  # the heir of the present grant has taken over
        self._told_place = NO_PLACE  # the highest that was told without a grant
        self._tried: list[str] = []  # names of origins that failed since one was steady
        self._avoided: tuple[str, ...] = ()  # of those, the ones that the scheduler was told of when it was asked last
        self._failures = 0  # since then
        self._turns = 0  # of trying origin and heir again
        self._claim_wanted = False  # the registry has forgotten the claim
        self._asking = False
        self._ask_at_s: float | None = None
        self._ask_pause_s = FIRST_RETRY_S
        self._retry_at_s: float | None = None
        self._retry_pause_s = FIRST_RETRY_S
        self._has_left = False  # the publisher
        self._over = False

    @property
    def place(self) -> Place:
        """Of the group that is written to; as granted while none is."""
        return self._ports[self._written].place if self._written is not None else self.grant.place

    @property
    def is_written(self) -> bool:
        """Whether an origin takes units."""
        return self._written is not None

    @property
    def next_timer(self) -> float | None:
        """When `TimerFired` is due."""
        times = (self._ask_at_s, self._retry_at_s)
        return None if self._over else min((at for at in times if at is not None), default=None)

    def held(self) -> Held:
        """What the registry is to know again if it has forgotten."""
        grant, port = self.grant, self._ports[self._written] if self._written is not None else None
        if port is None or port.origin.node == grant.origin.node:
            return Held(epoch=grant.epoch, place=self.place, origin=grant.origin, heir=grant.heir)
        return Held(epoch=grant.epoch, place=port.place, origin=port.origin)

    def handle(self, event: Event, now_s: float) -> list[Command]:
        """Take one event in; `now_s` is any clock that rises, in seconds."""
        if self._over:
            return []
        match event:
            case Started():
                return self._open(self.grant.origin)
            case Opened():
                return self._opened(event, now_s)
            case Closed():
                return self._closed(event, now_s)
            case Told():
                return self._told(event, now_s)
            case Left():
                self._has_left = True
                return [] if self._written is None else [Finish(self._written)]
            case ClaimWanted():
                self._claim_wanted = True
                return self._ask_if_needed()
            case Answered(answer):
                return self._answered(answer, now_s)
            case TimerFired():
                return self._timer_fired(now_s)
            case _:
                assert_never(event)

    # origins

    def _open(self, origin: NodeAddress, *, as_heir: bool = False) -> list[Command]:
        number = self._opening = self._next_port
        self._next_port += 1
        place = self.grant.place._replace(heir=True) if as_heir else self.grant.place
        self._ports[number] = _Port(origin, as_heir, place)
        return [Open(number, origin, self.grant, as_heir)]

    def _close(self, number: int | None) -> list[Command]:
        return [] if number is None or self._ports.pop(number, None) is None else [Close(number)]

    def _opened(self, event: Opened, now_s: float) -> list[Command]:
        port = self._ports.get(event.port)
        if port is None:
            return []
        commands = self._close(self._written) if self._written != event.port else []
        self._written, self._opening, self._retry_at_s = event.port, None, None
        port.opened_at_s, port.place = now_s, max(port.place, event.place)
        self._heir_opened = self._heir_opened or port.as_heir
        if self._has_left:
            commands.append(Finish(event.port))
        return commands + self._ask_if_needed()

    def _closed(self, event: Closed, now_s: float) -> list[Command]:
        port = self._ports.pop(event.port, None)
        if port is None:
            return []
        if event.reason is CloseReason.FENCED:
            return self._end(event.detail)
        if event.reason is CloseReason.DONE and self._has_left and event.port == self._written:
            self._over = True
            return [AllSent()]
        if port.opened_at_s is not None and now_s - port.opened_at_s >= STEADY_S:
            self._tried, self._failures = [], 0
            self._retry_pause_s = self._ask_pause_s = FIRST_RETRY_S
        self._failures += 1
        if port.origin.node.name not in self._tried:
            self._tried.append(port.origin.node.name)
        if event.port == self._written:
            self._written = None
        if event.port == self._opening:
            self._opening = None
        if self._opening is not None:
            return []
        if self._written is not None:  # the new place is out of reach, the one before is not
            self._ask_later(now_s)
            return []
        return self._go_on(now_s, event.reason)

    def _go_on(self, now_s: float, reason: CloseReason) -> list[Command]:
        """Nothing is open: the heir at once; where none is known, after a broken link, the same origin once."""
        heir = self.grant.heir
        if heir is not None and heir.node.name not in self._tried:
            return self._open(heir, as_heir=True)
        if heir is None and self._failures == 1 and reason is CloseReason.LINK_LOST:
            return self._open(self.grant.origin)
        self._retry_at_s = now_s + self._retry_pause_s * self._rng.uniform(0.5, 1.0)
        self._retry_pause_s = min(MAX_RETRY_S, self._retry_pause_s * 2)
        if self._failures <= PROMPT_FAILURES:
            return self._ask_if_needed()
        if self._ask_at_s is None and not self._asking:
            self._ask_later(now_s)
        return []

    def _try_again(self) -> list[Command]:
        """Origin and heir in turn; only the heir once it has taken over."""
        heir, turn = self.grant.heir, self._turns
        self._turns += 1
        if heir is not None and (self._heir_opened or turn % 2):
            return self._open(heir, as_heir=True)
        return self._open(self.grant.origin)

    # the scheduler

    def _told(self, event: Told, now_s: float) -> list[Command]:
        grant, place = event.grant, event.location.place
        if grant is not None and (grant.epoch, grant.publication) == (self.grant.epoch, self.grant.publication):
            return self._adopt(grant) if grant.place > self.grant.place else []
        if place.heir or place <= max(self.grant.place, self._told_place):
            return []
        self._told_place = place
        return self._ask_if_needed()

    def _needs_word(self) -> bool:
        """Whether the scheduler has to say something: where to write, the grant for where it is, or yes to where it is."""
        if self._told_place > self.grant.place:
            return True
        if self._opening is not None:
            return False
        return self._written is None or self._ports[self._written].origin.node != self.grant.origin.node

    def _ask_if_needed(self) -> list[Command]:
        self._ask_at_s = None
        if self._asking or not (self._claim_wanted or self._needs_word()):
            return []
        self._asking = True
        self._avoided = ()
        if self._claim_wanted:
            return [AskClaim(Claim(stream=self.grant.stream, publication=self.grant.publication, held=self.held()))]
        grant, port = self.grant, self._ports[self._written] if self._written is not None else None
        heir = port.origin.node if port is not None and port.as_heir else None
        self._avoided = avoid = tuple(name for name in self._tried if heir is None or name != heir.name)
        move = Move(stream=grant.stream, epoch=grant.epoch, place=grant.place, publication=grant.publication, avoid=avoid, at=heir)
        return [AskMove(move)]

    def _ask_later(self, now_s: float, at_least_s: float = 0.0) -> None:
        self._ask_at_s = now_s + max(at_least_s, self._ask_pause_s * self._rng.uniform(0.5, 1.0))
        self._ask_pause_s = min(MAX_RETRY_S, self._ask_pause_s * 2)

    def _answered(self, answer: Grant | Refused, now_s: float) -> list[Command]:
        self._asking = False
        if isinstance(answer, Refused):
            return self._refused(answer, now_s)
        self._claim_wanted = False
        commands = self._adopt(answer)
        if self._needs_word() and self._ask_at_s is None:
            self._ask_later(now_s)
        return commands

    def _refused(self, refused: Refused, now_s: float) -> list[Command]:
        if refused.refusal in (Refusal.FENCED, Refusal.EXISTS):
            return self._end(refused.detail)
        if refused.refusal is Refusal.NOT_FOUND and not self._claim_wanted:
            self._claim_wanted = True
            return self._ask_if_needed()
        if refused.refusal is Refusal.NO_ORIGIN and self._avoided:
            self._tried = []  # what was lost before may be back, and is asked for before a pause
            return self._ask_if_needed()
        if self._claim_wanted or self._needs_word():
            self._ask_later(now_s, refused.retry_after_s)
        return []

    def _adopt(self, grant: Grant) -> list[Command]:
        """Write by a newer grant: at the place that it names, keeping what is open until that is."""
        if (grant.epoch, grant.place) <= (self.grant.epoch, self.grant.place):
            return []
        is_same_epoch, is_same_origin = grant.epoch == self.grant.epoch, grant.origin.node == self.grant.origin.node
        self.grant, self._heir_opened = grant, False
        if grant.heir is not None:  # it is there, by the scheduler's word, whatever was tried under its name before
            self._tried = [name for name in self._tried if name != grant.heir.node.name]
        if not is_same_epoch:  # units are written under another epoch from now on
            return [*self._close(self._take_written()), *self._close(self._opening), *self._open(grant.origin)]
        written = self._ports[self._written] if self._written is not None else None
        if written is not None and written.origin.node == grant.origin.node:
            written.granted(grant.place)
            closed = self._close(self._opening)
            self._opening = None
            return closed
        if written is not None and written.as_heir and is_same_origin:  # another was named after this one had taken over
            return self._ask_if_needed()
        opening = self._ports[self._opening] if self._opening is not None else None
        if opening is not None and opening.origin.node == grant.origin.node:
            opening.granted(grant.place)
            return []
        if written is not None:  # the group goes elsewhere, whoever had taken it over
            written.as_heir = False
        self._retry_at_s = None
        return [*self._close(self._opening), *self._open(grant.origin)]

    def _take_written(self) -> int | None:
        written, self._written = self._written, None
        return written

    def _timer_fired(self, now_s: float) -> list[Command]:
        commands: list[Command] = []
        if self._retry_at_s is not None and now_s >= self._retry_at_s:
            self._retry_at_s = None
            if self._written is None and self._opening is None:
                commands += self._try_again()
        if self._ask_at_s is not None and now_s >= self._ask_at_s:
            commands += self._ask_if_needed()
        return commands

    def _end(self, detail: str) -> list[Command]:
        self._over = True
        return [End(f"taken over: {detail}")]
