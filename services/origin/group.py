"""The group: what an origin holds of one stream. A pure core: ``handle(event, now_s) -> commands``, with one owner.

```
waiting ──PublicationOpened──► live ──PublicationLost──► grace ──GraceExpired──► releasing ──Released──► closed
                                 ▲                         │                        │
                                 └────PublicationOpened────┴────────────────────────┘  (a publisher came back)
live, grace, releasing ──Moved──► moved ──the last one left──► closed
                                    └──PublicationOpened──► live  (the stream came back)
```
From `waiting` it goes to `closed` when nobody waits any more or nothing came. `closed` is the end: whatever comes after is refused.

The group checks that what comes is the next, keeps it in its ring, and says from where each subscriber is to be sent. It changes
no unit. Its shell owns the ports of publications and subscribers; the core knows them by number.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import assert_never

from lalmesh.names import StreamKey
from lalmesh.runtime.fences import FENCES_KEPT
from lalmesh.runtime.link import CloseReason
from lalmesh.runtime.ownership import NO_EPOCH, NO_PLACE, Epoch, Location, NodeAddress, Place
from lalmesh.runtime.ring import TRIM_US, Cursor, Ring, RingLimits, Run
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

MAX_SUBSCRIBERS = 10_000  #: readers of one stream: nodes, not players
#: pauses after a registry that did not answer double up to this: an outage may last, with thousands of groups in grace, and so long
#: after it at most a stream ends whose publisher has gone
MAX_RELEASE_PAUSE_S = 30.0
#: that readers have for what they may lack: as a publication comes from another origin, when it replays what no origin took, and
#: after a pause. For so long nothing is given up that was to be kept when it came here
REPLAY_S = 10.0
UNREAD_US = 500_000  #: how old a unit may be that readers have not got, while the nodes run
_SHORTEST_OF_A_PAUSE = 0.8  # of it, by chance, so that those who asked together spread


@dataclass(slots=True, frozen=True, kw_only=True)
class GroupSettings:
    """What a group keeps, and how long it waits."""

    ring: RingLimits = field(default_factory=lambda: RingLimits(keep_us=3_000_000, trim_us=TRIM_US))
    grace_s: float = 30.0  #: also how long readers are kept that stay when the stream has another origin
    #: after a claim that has not been followed by a publication, and at first after a registry that did not answer
    release_retry_s: float = 2.0
    waiting_s: float = 30.0  #: how long readers may wait for a first publication
    remembered_num: int = FENCES_KEPT  #: streams whose highest epoch an origin remembers


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

    def __init__(self, stream: StreamKey, settings: GroupSettings, rng: random.Random) -> None:
        """Start waiting; `rng` spreads the pauses of many groups."""
        self.stream = stream
        self.state = GroupState.WAITING
        self.epoch: Epoch = NO_EPOCH
        self.place: Place = NO_PLACE
        self.publication = b""
        self.ring = Ring(settings.ring)
        self.counters = GroupCounters()
        self.delay_us: int | None = None  #: how late the oldest unit of the newest run came, as the shell around this notes
        self.next_timer: float | None = None  #: when `TimerFired` is due
        self.settings = settings
        self._rng = rng
        self._release_pause_s = 0.0  # the last, after a registry that did not answer; 0: it has
        self._writer: int | None = None  # port of the live publication
        self._heir: NodeAddress | None = None  # of the present place
        self._elsewhere: Location | None = None  # where the stream is, or is likely to be, if not here
        self._subscribers: set[int] = set()
        self._keeps: dict[int, int] = {}  # µs by port, of the subscribers that want anything kept
        self._newest_us = 0  # when the edge received the newest unit
        self._pause_us = settings.ring.keep_us - UNREAD_US
        self._kept_us = 0  # the same for whoever goes on after those that left, and for a replay
        self._kept_until_s = 0.0

    @property
    def subscribers(self) -> int:
        """How many readers there are."""
        return len(self._subscribers)

    def handle(self, event: Event, now_s: float) -> list[Command]:
        """Take one event in; `now_s` is any clock that rises, in seconds."""
        if self.state is GroupState.CLOSED:
            return _refused(event)
        match event:
            case PublicationOpened():
                return self._publication_opened(event, now_s)
            case PublicationLost():
                return self._publication_lost(event, now_s)
            case SubscriberJoined():
                return self._subscriber_joined(event, now_s)
            case SubscriberLeft(port):
                return self._subscriber_left(port, now_s)
            case TimerFired():
                return self._timer_fired(now_s)
            case ReleaseAnswered(released, place):
                return self._release_answered(released, place, now_s)
            case Moved(location, here):
                return self._settled(location, now_s) if here else self._moved(location, now_s)
            case _:
                assert_never(event)

    # the publication

    def _publication_opened(self, event: PublicationOpened, now_s: float) -> list[Command]:
        if event.epoch < self.epoch or (event.epoch == self.epoch and self.publication not in (b"", event.publication)):
            detail = f"epoch {event.epoch.term}.{event.epoch.revision} is outdated"
            return [ClosePublication(event.port, CloseReason.FENCED, detail)]
        if self.state is GroupState.MOVED and self._elsewhere is not None and event.place < self._elsewhere.place:
            return [ClosePublication(event.port, CloseReason.SOURCE_LOST, "the stream has another origin")]
        commands: list[Command] = []
        if self._writer is not None and event.publication == self.publication:  # by another link; the one before is dead
            commands.append(ClosePublication(self._writer, CloseReason.DONE, "opened again"))
        elif self._writer is not None:
            commands.append(ClosePublication(self._writer, CloseReason.FENCED, "a newer publication has come"))
        if event.publication != self.publication:
            self.counters.publications += 1
        self._writer, self.epoch, self.publication = event.port, event.epoch, event.publication
        if event.place >= self.place:
            self.place = self.ring.place = event.place
            self._heir = event.heir
        self.state, self.next_timer, self._elsewhere = GroupState.LIVE, None, None
        self._release_pause_s = 0.0
        if event.replay_us or (_was_elsewhere(event) and self.ring.seq_after(event.publication) is None):
            self._keep_for_readers(event.replay_us, now_s)
        commands.append(AcceptPublication(event.port, self.ring.last_name, self.place))
        return commands

    def receive(self, port: int, run: Run, now_s: float) -> bool:
        """Take the units of a publication in; whether readers have more now. No event, as it is what happens all the time."""
        if self.state is GroupState.CLOSED:
            return False
        if self._kept_us and now_s >= self._kept_until_s:
            self._kept_us = 0
            self._keep()
        if port != self._writer or run.publication != self.publication or run.epoch != self.epoch:
            self.counters.refused += len(run.units)
            return False
        ring, counters = self.ring, self.counters
        next_seq, first_seq = ring.seq_after(run.publication), run.units[0].seq
        if next_seq is not None:
            if (known := next_seq - first_seq) > 0:
                counters.repeated += min(known, len(run.units))
                if known >= len(run.units):
                    return False
                run = Run(run.epoch, run.publication, run.tracks, run.units[known:])
                first_seq = next_seq
            run.missing = first_seq - next_seq
            counters.missing += run.missing
        else:
            run.missing = first_seq
            if ring.last_name is not None:  # before the first unit here, others may have been at another origin
                counters.missing += first_seq
        counters.units += len(run.units)
        newest_us = run.units[-1].wall_us
        if newest_us - self._newest_us > self._pause_us and self._newest_us:
            # this origin, or the edge, may have stood still, with units that readers have not got: they are old beside these
            self._keep_for_readers(newest_us - self._newest_us, now_s)
        self._newest_us = newest_us
        counters.payload_bytes += ring.append(run)
        return True

    def _publication_lost(self, event: PublicationLost, now_s: float) -> list[Command]:
        if event.port != self._writer:
            return []
        self._writer = None
        self.next_timer = now_s + self.settings.grace_s
        if self.state is GroupState.MOVED:
            return self._close_if_left()
        self.state = GroupState.GRACE
        if event.cut_off and self._heir is not None:
            self._elsewhere = Location(stream=self.stream, place=self.place._replace(heir=True), origin=self._heir)
            return self._tell(self._elsewhere)
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
            self.next_timer = now_s + self.settings.waiting_s
        cursor = Cursor.joining(self.ring) if event.after is None else Cursor.resuming(self.ring, event.after)
        commands: list[Command] = [AcceptSubscriber(event.port, self.epoch, self.place, cursor)]
        if self._elsewhere is not None:
            commands.append(TellSubscriber(event.port, self._elsewhere))
        return commands

    def _subscriber_left(self, port: int, now_s: float) -> list[Command]:
        self._subscribers.discard(port)
        keep_us = self._keeps.pop(port, 0)
        if keep_us:
            self._keep_for(keep_us, now_s + keep_us / 1e6)
        if self.state is GroupState.WAITING and not self._subscribers:
            return self._close(CloseReason.DONE, "nobody waits")
        return self._close_if_left() if self.state is GroupState.MOVED else []

    def _keep_for_readers(self, age_us: int, now_s: float) -> None:
        """They may lack what is as old as is kept as a rule, or `age_us`: it stays until they have had time for it."""
        self._keep_for(max(age_us, self.settings.ring.keep_us) + int(REPLAY_S * 1e6), now_s + REPLAY_S)

    def _keep_for(self, keep_us: int, until_s: float) -> None:
        self._kept_us = max(self._kept_us, keep_us)
        self._kept_until_s = max(self._kept_until_s, until_s)
        self._keep()

    def _keep(self) -> None:
        """Let the ring keep what the readers want, those too that left not long ago: another may go on where one has died.

        And what readers lack when a publication has come from another origin, or replays: they come, and get it, a part at a time.
        """
        keep_us = max(self.settings.ring.keep_us, self._kept_us, *self._keeps.values())
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
        if self.state is GroupState.MOVED and self._writer is None:
            return self._close(CloseReason.SOURCE_LOST, "the stream has another origin")
        return []

    def _release_answered(self, released: bool | None, place: Place, now_s: float) -> list[Command]:
        if self.state is not GroupState.RELEASING or place != self.place:
            return []  # a publication has come meanwhile
        if released:
            return self._close(CloseReason.STREAM_ENDED, "the publisher did not come back")
        pause_s = self.settings.release_retry_s
        if released is None:
            self._release_pause_s = min(MAX_RELEASE_PAUSE_S, max(pause_s, self._release_pause_s * 2))
            pause_s = self._release_pause_s * self._rng.uniform(_SHORTEST_OF_A_PAUSE, 1.0)
        else:
            self._release_pause_s = 0.0
        self.state, self.next_timer = GroupState.GRACE, now_s + pause_s
        return []

    # other origins

    def _settled(self, location: Location, now_s: float) -> list[Command]:
        """The stream is here: where this is the heir that took over, its place is one like any other now."""
        if self.state is GroupState.WAITING or location.place <= self.place:
            return []
        if self.state is GroupState.MOVED:
            if self._elsewhere is not None and location.place < self._elsewhere.place:
                return []
            self.state = GroupState.LIVE if self._writer is not None else GroupState.GRACE
            self.next_timer = None if self._writer is not None else now_s + self.settings.grace_s
        elif self.state is GroupState.RELEASING:  # for a place that was left: what is answered to that counts no more
            self.state, self.next_timer = GroupState.GRACE, now_s + self.settings.release_retry_s
        self.place = self.ring.place = location.place
        self._heir, self._elsewhere = location.heir, None
        return []

    def _moved(self, location: Location, now_s: float) -> list[Command]:
        """Tell everyone where the stream is now, and serve them until they have left."""
        known = self._elsewhere.place if self.state is GroupState.MOVED and self._elsewhere is not None else self.place
        if location.place <= max(known, self.place):
            return []
        if self.state is GroupState.WAITING:  # those who wait were sent here, perhaps for a place that is higher still
            return self._tell(location)
        self._elsewhere = location
        if self.state is not GroupState.MOVED:
            self.state = GroupState.MOVED
            self.next_timer = None if self._writer is not None else now_s + self.settings.grace_s
        return self._close_if_left() or self._tell(location)

    def _tell(self, location: Location) -> list[Command]:
        commands: list[Command] = [TellSubscriber(port, location) for port in sorted(self._subscribers)]
        return commands if self._writer is None else [TellPublication(self._writer, location), *commands]

    def _close_if_left(self) -> list[Command]:
        """The end of a group that has moved, once nobody is here any more."""
        if self._writer is not None or self._subscribers:
            return []
        return self._close(CloseReason.SOURCE_LOST, "the stream has another origin")

    def _close(self, reason: CloseReason, detail: str) -> list[Command]:
        self.state, self.next_timer = GroupState.CLOSED, None
        commands: list[Command] = [CloseSubscriber(port, reason, detail) for port in sorted(self._subscribers)]
        self._subscribers.clear()
        commands.append(Forget())
        return commands


def _was_elsewhere(event: PublicationOpened) -> bool:
    """Whether the stream was at another origin under this claim, from which its readers come."""
    place = event.place
    return place.heir or (place.term, place.revision) > event.epoch


def _refused(event: Event) -> list[Command]:
    """What a closed group answers."""
    match event:
        case PublicationOpened(port=port):
            return [ClosePublication(port, CloseReason.NOT_FOUND, "the group is closed")]
        case SubscriberJoined(port=port):
            return [CloseSubscriber(port, CloseReason.NOT_FOUND, "the group is closed")]
        case _:
            return []
