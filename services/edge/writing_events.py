"""What can happen to a publication on its way to origins, and what it can ask for (`writing.py`)."""

from __future__ import annotations

from dataclasses import dataclass

from lalmesh.runtime.link import CloseReason
from lalmesh.runtime.ownership import Grant, Location, NodeAddress, Place
from lalmesh.runtime.scheduling import Claim, Move, Refused

# events


@dataclass(slots=True, frozen=True)
class Started:
    """Begin to write where the grant says."""


@dataclass(slots=True, frozen=True)
class Opened:
    """An origin takes units, for a group at that place."""

    port: int
    place: Place


@dataclass(slots=True, frozen=True)
class Closed:
    """An origin takes no more."""

    port: int
    reason: CloseReason
    detail: str = ""


@dataclass(slots=True, frozen=True)
class Told:
    """The scheduler, or the origin, says where the stream is; the scheduler has a grant for it."""

    location: Location
    grant: Grant | None = None


@dataclass(slots=True, frozen=True)
class Left:
    """The publisher has gone: what it sent is to reach an origin, and that is all."""


@dataclass(slots=True, frozen=True)
class ClaimWanted:
    """The registry does not show the claim: it is to be made again, until it is there."""


@dataclass(slots=True, frozen=True)
class Answered:
    """What the scheduler says to `AskMove` or `AskClaim`."""

    answer: Grant | Refused


@dataclass(slots=True, frozen=True)
class TimerFired:
    """The time that `Writing.next_timer` named has come."""


Event = Started | Opened | Closed | Told | Left | ClaimWanted | Answered | TimerFired


# commands


@dataclass(slots=True, frozen=True)
class Open:
    """Open the publication at an origin: the granted one, or its heir."""

    port: int
    origin: NodeAddress
    grant: Grant
    as_heir: bool


@dataclass(slots=True, frozen=True)
class Close:
    """Send the rest and close."""

    port: int


@dataclass(slots=True, frozen=True)
class Finish:
    """Send the rest; `Closed` says with `CloseReason.DONE` that the origin has all."""

    port: int


@dataclass(slots=True, frozen=True)
class AllSent:
    """An origin has all that the publisher sent before it left: nothing more is to be done."""


@dataclass(slots=True, frozen=True)
class AskMove:
    """Ask for another origin, or have written down where the group is."""

    move: Move


@dataclass(slots=True, frozen=True)
class AskClaim:
    """Claim again what the registry has forgotten."""

    claim: Claim


@dataclass(slots=True, frozen=True)
class End:
    """Somebody else owns the stream."""

    reason: str


Command = Open | Close | Finish | AllSent | AskMove | AskClaim | End
