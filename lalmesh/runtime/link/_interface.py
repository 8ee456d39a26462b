"""What edge and origin see of a link, over gRPC or by a direct call.

The *dialler* (edge, hls) opens publications and subscriptions; the *endpoint* (origin) answers. Units always flow from a cursor
on the sender's ring into a callback of the receiver: an `Outlet` is the sending half of one stream. Nothing here blocks, and
answers never come before the call that asked for them has returned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, runtime_checkable

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch, Grant, Location, NodeId, Place, UnitName
from lalmesh.runtime.ring import Cursor, Run

FAILED = "failed on the other side"  #: what the peer is told of a stream; the log of the side that failed has the traceback


class CloseReason(Enum):
    """Why one stream on a link has ended; the numbers are those of `proto/lalmesh/v1/origin.proto`."""

    DONE = 1  #: the side that opened it has no more use for it
    STREAM_ENDED = 2  #: no publisher came back within the grace
    NOT_FOUND = 3  #: no such group here
    FENCED = 4  #: a newer epoch or place is known
    BAD_GRANT = 5  #: signature, node or incarnation do not fit
    SOURCE_LOST = 6  #: the publication has gone to another origin
    DRAINING = 7
    LINK_LOST = 8  #: the link broke
    LIMIT = 9  #: a bound was passed, or one side failed on this stream (a bug of ours: its log says more)


@dataclass(slots=True, frozen=True, kw_only=True)
class PublicationRequest:
    """Ask an origin to take a publication in."""

    grant: Grant
    take_over_as_heir: bool = False
    replay_s: float = 0.0  #: age of the oldest unit that may be replayed, where it is more than is kept as a rule
    trace_context: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True, frozen=True, kw_only=True)
class SubscriptionRequest:
    """Ask an origin for a stream."""

    stream: StreamKey
    place: Place
    after: UnitName | None = None  #: resume after this unit; None: start at a random access point
    keep_s: float = 0.0  #: the origin is to keep so much for whoever goes on after this reader, and as long after it has left
    trace_context: Mapping[str, str] = field(default_factory=dict)


class Outlet(Protocol):
    """The sending half of one stream on a link."""

    def send_from(self, cursor: Cursor) -> None:
        """Send what the cursor gives, now and whenever `wake` is called."""
        ...

    def wake(self) -> None:
        """There may be more behind the cursor."""
        ...

    def close(self, reason: CloseReason, detail: str = "") -> None:
        """Send what the cursor still gives, then end. Further calls do nothing."""
        ...


class PublicationEvents(Protocol):
    """What the publishing edge hears of one publication."""

    def publication_opened(self, held: UnitName | None, place: Place) -> None:
        """The origin takes units; `held` is the newest that it has of this stream."""
        ...

    def source_lost(self, location: Location) -> None:
        """The stream is, or is likely to be, at `location` now; nothing is closed by that."""
        ...

    def publication_closed(self, reason: CloseReason, detail: str) -> None:
        """The origin takes no more; nothing is called after this. `CloseReason.DONE`: it has all that was sent up to the close."""
        ...


class SubscriptionEvents(Protocol):
    """What a reader hears of one subscription."""

    def subscription_opened(self, epoch: Epoch, place: Place) -> None:
        """The origin has the group; units follow as there are any."""
        ...

    def receive(self, run: Run) -> None:
        """The next units."""
        ...

    def source_lost(self, location: Location) -> None:
        """The stream is, or is likely to be, at `location` now; what is here goes on coming."""
        ...

    def subscription_closed(self, reason: CloseReason, detail: str) -> None:
        """No more comes; nothing is called after this."""
        ...


class Subscription(Protocol):
    """A reader's hold on one subscription."""

    def close(self) -> None:
        """Want no more; no event is called after this."""
        ...


class OriginLink(Protocol):
    """A dialler's link to one origin. Where it breaks, everything on it is closed with `CloseReason.LINK_LOST`."""

    def publish(self, request: PublicationRequest, events: PublicationEvents) -> Outlet:
        """Open a publication. Closing the outlet means that nothing more comes; the origin says when it has all (`DONE`)."""
        ...

    def subscribe(self, request: SubscriptionRequest, events: SubscriptionEvents) -> Subscription:
        """Open a subscription."""
        ...


class PublicationPort(Protocol):
    """An origin's way to answer one publication."""

    def opened(self, held: UnitName | None, place: Place) -> None:
        """Take it in."""
        ...

    def source_lost(self, location: Location) -> None:
        """Tell it that the stream is, or is likely to be, at `location` now."""
        ...

    def close(self, reason: CloseReason, detail: str = "") -> None:
        """Refuse or end it."""
        ...


class SubscriptionPort(Outlet, Protocol):
    """An origin's way to answer one subscription and to send on it."""

    def opened(self, epoch: Epoch, place: Place) -> None:
        """Take it in."""
        ...

    def source_lost(self, location: Location) -> None:
        """Tell it that the stream is, or is likely to be, at `location` now."""
        ...


@runtime_checkable
class IncomingPublication(Protocol):
    """An origin's half of one publication."""

    def receive(self, run: Run) -> None:
        """The next units."""
        ...

    def closed(self, reason: CloseReason) -> None:
        """The publishing edge ended it, or the link broke."""
        ...


class IncomingSubscription(Protocol):
    """An origin's half of one subscription."""

    def closed(self, reason: CloseReason) -> None:
        """The reader left, or the link broke."""
        ...


class OriginEndpoint(Protocol):
    """What an origin offers to links."""

    def open_publication(self, peer: NodeId, request: PublicationRequest, port: PublicationPort) -> IncomingPublication:
        """A node wants to publish. The answer goes to `port`, during the call or later."""
        ...

    def open_subscription(self, peer: NodeId, request: SubscriptionRequest, port: SubscriptionPort) -> IncomingSubscription:
        """A node wants to read. The answer goes to `port`, during the call or later."""
        ...
