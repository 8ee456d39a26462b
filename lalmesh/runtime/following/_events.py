"""What can happen to a reader on its way, and what it can ask for (`_core.py`)."""

from __future__ import annotations

from dataclasses import dataclass

from lalmesh.runtime.link import CloseReason
from lalmesh.runtime.ownership import Epoch, Location, NodeAddress, NodeId, Place

# events


@dataclass(slots=True, frozen=True)
class Started:
    """Begin to look for the stream."""


@dataclass(slots=True, frozen=True)
class Told:
    """Where the stream is: the scheduler answered or gave notice, or an origin did, of a place or of its heir."""

    location: Location
    asked: bool = False  #: it answers `Locate`


@dataclass(slots=True, frozen=True)
class NotLocated:
    """The scheduler did not say where the stream is."""

    retry_after_s: float = 0.0


@dataclass(slots=True, frozen=True)
class Opened:
    """A subscription has reached an origin; without an epoch its group waits for the publication as the reader does."""

    port: int
    epoch: Epoch
    place: Place


@dataclass(slots=True, frozen=True)
class Delivered:
    """Units have come by a subscription that has not been `settled` yet."""

    port: int
    epoch: Epoch
    place: Place


@dataclass(slots=True, frozen=True)
class Closed:
    """A subscription has ended."""

    port: int
    reason: CloseReason
    detail: str = ""


@dataclass(slots=True, frozen=True)
class TimerFired:
    """The time that `Following.next_timer` named has come."""


Event = Started | Told | NotLocated | Opened | Delivered | Closed | TimerFired


# commands


@dataclass(slots=True, frozen=True)
class Subscribe:
    """Subscribe at an origin after what the reader has."""

    port: int
    origin: NodeAddress
    place: Place


@dataclass(slots=True, frozen=True)
class Unsubscribe:
    """Want no more of a subscription."""

    port: int


@dataclass(slots=True, frozen=True)
class Locate:
    """Ask the scheduler for a place above `after`; `Told` or `NotLocated` answers."""

    after: Place
    wait_s: float
    unreachable: NodeId | None = None  #: the origin that this reader cannot reach


@dataclass(slots=True, frozen=True)
class Finish:
    """It is over."""

    reason: str


Command = Subscribe | Unsubscribe | Locate | Finish
