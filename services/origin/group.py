"""The group: what an origin holds of one stream. A pure core: ``handle(event, now_s) -> commands``, with one owner.

```
waiting ──PublicationOpened──► live ──PublicationLost──► grace ──GraceExpired──► releasing ──Released──► closed
                                 ▲                         │                        │
                                 └────PublicationOpened────┴────────────────────────┘  (a publisher came back)
```
From `waiting` it goes to `closed` when nobody waits any more or nothing came; from the others, when the stream has another origin
(`Moved`). `closed` is the end: whatever comes after is refused.

The group checks that what comes is the next, keeps it in its ring, and says from where each subscriber is to be sent. It changes
no unit. Its shell owns the ports of publications and subscribers; the core knows them by number.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import assert_never

from lalmesh.names import StreamKey
from lalmesh.runtime.link import CloseReason
from lalmesh.runtime.ownership import NO_EPOCH, NO_PLACE, Epoch, Place, UnitName
from lalmesh.runtime.ring import Cursor, Ring, RingLimits, Run

MAX_SUBSCRIBERS = 10_000  #: readers of one stream: nodes, not players


class GroupState(Enum):
    """Where a group is in its life."""

    WAITING = "waiting"  #: readers are here, no publication has been
    LIVE = "live"
    GRACE = "grace"  #: the publisher has gone and may come back
    RELEASING = "releasing"  #: the registry is being asked whether the stream has ended
    CLOSED = "closed"


# events


@dataclass(slots=True, frozen=True)
class PublicationOpened:
    """A publication with a checked grant wants in."""

    port: int
    epoch: Epoch
    publication: bytes
    place: Place


@dataclass(slots=True)
class RunReceived:
    """Units of a publication."""

    port: int
    run: Run


@dataclass(slots=True, frozen=True)
class PublicationLost:
    """A publication has ended, or its link broke."""

    port: int


@dataclass(slots=True, frozen=True)
class SubscriberJoined:
    """A reader wants the stream, after a unit that it has or from a random access point."""

    port: int
    after: UnitName | None
    keep_us: int = 0  #: how much to keep for whoever goes on after it, and as long after it has left; microseconds


@dataclass(slots=True, frozen=True)
class SubscriberLeft:
    """A reader has gone."""

    port: int


@dataclass(slots=True, frozen=True)
class TimerFired:
    """The time that `Group.next_timer` named has come."""


@dataclass(slots=True, frozen=True)
class ReleaseAnswered:
    """What the registry said to `Release`: the stream has ended, or (False) somebody claims it; None: it did not answer."""

    released: bool | None
    place: Place  #: that of the `Release`: a publisher may have come and gone since


@dataclass(slots=True, frozen=True)
class Moved:
    """The stream has another origin, at `place`."""

    place: Place


Event = PublicationOpened | RunReceived | PublicationLost | SubscriberJoined | SubscriberLeft | TimerFired | ReleaseAnswered | Moved


# commands


@dataclass(slots=True, frozen=True)
class AcceptPublication:
    """Tell a publication what the group holds."""

    port: int
    held: UnitName | None
    place: Place


@dataclass(slots=True, frozen=True)
class ClosePublication:
    """Refuse or end a publication."""

    port: int
    reason: CloseReason
    detail: str


@dataclass(slots=True, frozen=True)
class AcceptSubscriber:
    """Answer a reader and send to it from the cursor."""

    port: int
    epoch: Epoch
    place: Place
    cursor: Cursor


@dataclass(slots=True, frozen=True)
class CloseSubscriber:
    """End a reader."""

    port: int
    reason: CloseReason
    detail: str


@dataclass(slots=True, frozen=True)
class Wake:
    """There is more in the ring for every subscriber."""


@dataclass(slots=True, frozen=True)
class Release:
    """Ask the registry whether the stream has ended, and delete the group there if so."""

    epoch: Epoch
    place: Place


@dataclass(slots=True, frozen=True)
class Forget:
    """The group is closed."""


Command = AcceptPublication | ClosePublication | AcceptSubscriber | CloseSubscriber | Wake | Release | Forget

_WAKE: list[Command] = [Wake()]


@dataclass(slots=True, frozen=True, kw_only=True)
class GroupSettings:
    """What a group keeps, and how long it waits."""

    ring: RingLimits = field(default_factory=lambda: RingLimits(keep_us=3_000_000))
    grace_s: float = 30.0
    release_retry_s: float = 2.0  #: after a registry that did not answer, or a claim that has not been followed by a publication
    waiting_s: float = 30.0  #: how long readers may wait for a first publication


@dataclass(slots=True)
class GroupCounters:
    """What came in. Only rises."""

    units: int = 0
    payload_bytes: int = 0
    missing: int = 0  #: units announced as lost by publications, after the first that came
    repeated: int = 0  #: units that were here already
    refused: int = 0  #: units of outdated publications
    publications: int = 0


class Group:
    """What an origin holds of one stream."""

    def __init__(self, stream: StreamKey, settings: GroupSettings) -> None:
        """Start waiting."""
        self.stream = stream
        self.state = GroupState.WAITING
        self.epoch: Epoch = NO_EPOCH
        self.place: Place = NO_PLACE
        self.publication = b""
        self.ring = Ring(settings.ring)
        self.counters = GroupCounters()
        self.next_timer: float | None = None  #: when `TimerFired` is due
        self._settings = settings
        self._writer: int | None = None  # port of the live publication
        self._subscribers: set[int] = set()
        self._keeps: dict[int, int] = {}  # µs by port, of the subscribers that want anything kept
        self._left_keep_us = 0  # the same of those that left not long ago
        self._left_until_s = 0.0

    @property
    def subscribers(self) -> int:
        """How many readers there are."""
        return len(self._subscribers)

    def handle(self, event: Event, now_s: float) -> list[Command]:
        """Take one event in; `now_s` is any clock that rises, in seconds."""
        if self.state is GroupState.CLOSED:
            return _refused(event)
        match event:
            case RunReceived(port, run):
                if self._left_keep_us and now_s >= self._left_until_s:
                    self._left_keep_us = 0
                    self._keep()
                return self._run_received(port, run)
            case PublicationOpened():
                return self._publication_opened(event)
            case PublicationLost(port):
                return self._publication_lost(port, now_s)
            case SubscriberJoined():
                return self._subscriber_joined(event, now_s)
            case SubscriberLeft(port):
                return self._subscriber_left(port, now_s)
            case TimerFired():
                return self._timer_fired(now_s)
            case ReleaseAnswered(released, place):
                return self._release_answered(released, place, now_s)
            case Moved(place):
                return self._moved(place)
            case _:
                assert_never(event)

    # the publication

    def _publication_opened(self, event: PublicationOpened) -> list[Command]:
        if event.epoch < self.epoch or (event.epoch == self.epoch and self.publication not in (b"", event.publication)):
            detail = f"epoch {event.epoch.term}.{event.epoch.revision} is outdated"
            return [ClosePublication(event.port, CloseReason.FENCED, detail)]
        commands: list[Command] = []
        if self._writer is not None and self._writer != event.port:
            commands.append(ClosePublication(self._writer, CloseReason.FENCED, "a newer publication has come"))
        if event.publication != self.publication:
            self.counters.publications += 1
        self._writer, self.epoch, self.publication = event.port, event.epoch, event.publication
        self.place = self.ring.place = max(self.place, event.place)
        self.state, self.next_timer = GroupState.LIVE, None
        commands.append(AcceptPublication(event.port, self.ring.last_name, self.place))
        return commands

    def _run_received(self, port: int, run: Run) -> list[Command]:
        if port != self._writer or run.epoch != self.epoch or run.publication != self.publication:
            self.counters.refused += len(run.units)
            return []
        last = self.ring.last_name
        if last is not None and last.publication == run.publication:
            known = last.seq + 1 - run.first_seq
            if known > 0:
                self.counters.repeated += min(known, len(run.units))
                if known >= len(run.units):
                    return []
                run = Run(run.epoch, run.publication, run.tracks, run.units[known:])
            run.missing = run.first_seq - last.seq - 1
        else:
            run.missing = run.first_seq
        if last is not None:  # before the first unit here, others may have been at another origin
            self.counters.missing += run.missing
        self.counters.units += len(run.units)
        self.counters.payload_bytes += sum([len(unit.payload) for unit in run.units])
        self.ring.append(run)
        return _WAKE

    def _publication_lost(self, port: int, now_s: float) -> list[Command]:
        if port != self._writer:
            return []
        self._writer = None
        self.state = GroupState.GRACE
        self.next_timer = now_s + self._settings.grace_s
        return []

    # the readers

    def _subscriber_joined(self, event: SubscriberJoined, now_s: float) -> list[Command]:
        if len(self._subscribers) >= MAX_SUBSCRIBERS:
            return [CloseSubscriber(event.port, CloseReason.LIMIT, f"{MAX_SUBSCRIBERS} readers")]
        self._subscribers.add(event.port)
        if event.keep_us:
            self._keeps[event.port] = event.keep_us
            self._keep()
        if self.state is GroupState.WAITING and self.next_timer is None:
            self.next_timer = now_s + self._settings.waiting_s
        cursor = Cursor.joining(self.ring) if event.after is None else Cursor.resuming(self.ring, event.after)
        return [AcceptSubscriber(event.port, self.epoch, self.place, cursor)]

    def _subscriber_left(self, port: int, now_s: float) -> list[Command]:
        self._subscribers.discard(port)
        keep_us = self._keeps.pop(port, 0)
        if keep_us:
            self._left_keep_us = max(self._left_keep_us, keep_us)
            self._left_until_s = max(self._left_until_s, now_s + keep_us / 1e6)
            self._keep()
        if self.state is GroupState.WAITING and not self._subscribers:
            return self._close(CloseReason.DONE, "nobody waits")
        return []

    def _keep(self) -> None:
        """Let the ring keep what the readers want, those too that left not long ago: another may go on where one has died."""
        keep_us = max(self._settings.ring.keep_us, self._left_keep_us, *self._keeps.values())
        if keep_us != self.ring.limits.keep_us:
            self.ring.limits = replace(self.ring.limits, keep_us=keep_us)

    # the end

    def _timer_fired(self, now_s: float) -> list[Command]:
        if self.next_timer is None or now_s < self.next_timer:
            return []
        self.next_timer = None
        if self.state is GroupState.WAITING:
            return self._close(CloseReason.NOT_FOUND, "no publication came")
        if self.state is GroupState.GRACE:
            self.state = GroupState.RELEASING
            return [Release(self.epoch, self.place)]
        return []

    def _release_answered(self, released: bool | None, place: Place, now_s: float) -> list[Command]:
        if self.state is not GroupState.RELEASING or place != self.place:
            return []  # a publication has come meanwhile
        if released:
            return self._close(CloseReason.STREAM_ENDED, "the publisher did not come back")
        self.state = GroupState.GRACE
        self.next_timer = now_s + self._settings.release_retry_s
        return []

    def _moved(self, place: Place) -> list[Command]:
        """Send everyone to where the stream is now; readers first get all that is here."""
        if self.state is GroupState.WAITING or place <= self.place:
            return []  # those who wait were sent here, perhaps for a place that is higher still
        writer, self._writer = self._writer, None
        ended: list[Command] = []
        if writer is not None:
            ended.append(ClosePublication(writer, CloseReason.SOURCE_LOST, "the stream has another origin"))
        return ended + self._close(CloseReason.SOURCE_LOST, "the stream has another origin")

    def _close(self, reason: CloseReason, detail: str) -> list[Command]:
        self.state, self.next_timer = GroupState.CLOSED, None
        commands: list[Command] = [CloseSubscriber(port, reason, detail) for port in sorted(self._subscribers)]
        self._subscribers.clear()
        commands.append(Forget())
        return commands


def _refused(event: Event) -> list[Command]:
    """What a closed group answers."""
    match event:
        case PublicationOpened(port=port):
            return [ClosePublication(port, CloseReason.NOT_FOUND, "the group is closed")]
        case SubscriberJoined(port=port):
            return [CloseSubscriber(port, CloseReason.NOT_FOUND, "the group is closed")]
        case _:
            return []
