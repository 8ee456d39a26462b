"""What can happen to a group, and what it can ask for (`group.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from lalmesh.runtime.link import CloseReason
from lalmesh.runtime.ownership import Epoch, Location, NodeAddress, Place, UnitName
from lalmesh.runtime.ring import Cursor


class GroupState(Enum):
    """Where a group is in its life."""

    WAITING = "waiting"  #: readers are here, no publication has been
    LIVE = "live"
    GRACE = "grace"  #: the publisher has gone and may come back
    RELEASING = "releasing"  #: the registry is being asked whether the stream has ended
    MOVED = "moved"  #: the stream has another origin; whoever still writes and reads here is served until it has left
    CLOSED = "closed"


# events


@dataclass(slots=True, frozen=True)
class PublicationOpened:
    """A publication with a checked grant wants in."""

    port: int
    epoch: Epoch
    publication: bytes
    place: Place
    heir: NodeAddress | None = None  #: where it goes if it loses this origin
    replay_us: int = 0  #: age of the oldest unit that it may replay, where that is more than is kept as a rule


@dataclass(slots=True, frozen=True)
class PublicationLost:
    """A publication has ended, or its link broke."""

    port: int
    cut_off: bool = False  #: its link broke: it may go on at the heir


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
    """The scheduler has written down where the stream is: at another origin, or `here`, where the heir's place rises with it."""

    location: Location
    here: bool = False


Event = PublicationOpened | PublicationLost | SubscriberJoined | SubscriberLeft | TimerFired | ReleaseAnswered | Moved


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
class TellPublication:
    """Tell a publication where the stream is; it goes on being taken in."""

    port: int
    location: Location


@dataclass(slots=True, frozen=True)
class AcceptSubscriber:
    """Answer a reader and send to it from the cursor."""

    port: int
    epoch: Epoch
    place: Place
    cursor: Cursor


@dataclass(slots=True, frozen=True)
class TellSubscriber:
    """Tell a reader where the stream is, or is likely to be; it goes on being sent to."""

    port: int
    location: Location


@dataclass(slots=True, frozen=True)
class CloseSubscriber:
    """End a reader."""

    port: int
    reason: CloseReason
    detail: str


@dataclass(slots=True, frozen=True)
class Release:
    """Ask the registry whether the stream has ended, and delete the group there if so."""

    epoch: Epoch
    place: Place


@dataclass(slots=True, frozen=True)
class Forget:
    """The group is closed."""


Command = (
    AcceptPublication | TellPublication | ClosePublication | AcceptSubscriber | TellSubscriber | CloseSubscriber | Release | Forget
)
