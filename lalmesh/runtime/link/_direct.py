"""The link within one process: the same interface by direct calls, with no copy and no task.

As on a link over gRPC, a receiver that raises (a bug of ours) ends its own stream on both sides, is logged, and disturbs no
other: not the publisher whose units it was given, nor the readers beside it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from lalmesh.runtime.link._interface import (
    FAILED,
    CloseReason,
    IncomingPublication,
    IncomingSubscription,
    OriginEndpoint,
    Outlet,
    PublicationEvents,
    PublicationRequest,
    Subscription,
    SubscriptionEvents,
    SubscriptionRequest,
)
from lalmesh.runtime.ownership import Epoch, Location, NodeId, Place, UnitName
from lalmesh.runtime.ring import Cursor, Run

log = logging.getLogger(__name__)

RUN_BYTES = 1 << 62  #: a direct call hands over everything there is


class _DirectOutlet:
    """Hand the units behind a cursor to `receive` as soon as they are there."""

    def __init__(
        self,
        receive: Callable[[Run], None],
        closed: Callable[[CloseReason, str], None],
        failed: Callable[[], None],
    ) -> None:
        """`closed` is called at the end, or `failed`, soon, where `receive` raised."""
        self._receive = receive
        self._closed = closed
        self._failed = failed
        self._cursor: Cursor | None = None
        self._sending = False
        self.live = True

    def send_from(self, cursor: Cursor) -> None:
        """Send what the cursor gives, now and whenever `wake` is called."""
        self._cursor = cursor
        self.wake()

    def wake(self) -> None:
        """There may be more behind the cursor."""
        cursor = self._cursor
        if cursor is None or self._sending:
            return  # called by the receiver: the loop further down the stack goes on after what it has in hand
        self._sending = True
        try:
            while self.live and (run := cursor.read(RUN_BYTES)) is not None:
                self._receive(run)
        except Exception:
            log.exception("a stream of the link within this process failed")
            self.live = False
            asyncio.get_running_loop().call_soon(self._failed)
        finally:
            self._sending = False

    def close(self, reason: CloseReason, detail: str = "") -> None:
        """End it."""
        self.wake()
        if self.live:
            self.live = False
            self._closed(reason, detail)


class _PublicationOutlet(_DirectOutlet):
    """The edge's way to send one publication."""

    def __init__(self, incoming: IncomingPublication, events: PublicationEvents) -> None:
        super().__init__(incoming.receive, self._close, self._end_both)
        self._incoming = incoming
        self._events = events

    def _close(self, reason: CloseReason, _detail: str) -> None:
        self._incoming.closed(reason)
        asyncio.get_running_loop().call_soon(self._events.publication_closed, CloseReason.DONE, "")

    def _end_both(self) -> None:
        self._incoming.closed(CloseReason.LIMIT)
        self._events.publication_closed(CloseReason.LIMIT, FAILED)


class _PublicationPort:
    """The origin's answer to a publication, passed on to the edge once the edge has its outlet."""

    def __init__(self, events: PublicationEvents, loop: asyncio.AbstractEventLoop) -> None:
        self._events = events
        self._loop = loop
        self.outlet: _PublicationOutlet | None = None

    def opened(self, held: UnitName | None, place: Place) -> None:
        """Take it in."""
        self._loop.call_soon(self._opened, held, place)

    def _opened(self, held: UnitName | None, place: Place) -> None:
        if self.outlet is not None and self.outlet.live:
            self._events.publication_opened(held, place)

    def source_lost(self, location: Location) -> None:
        """Tell it where the stream is now."""
        self._loop.call_soon(self._source_lost, location)

    def _source_lost(self, location: Location) -> None:
        if self.outlet is not None and self.outlet.live:
            self._events.source_lost(location)

    def close(self, reason: CloseReason, detail: str = "") -> None:
        """Refuse or end it."""
        self._loop.call_soon(self._close, reason, detail)

    def _close(self, reason: CloseReason, detail: str) -> None:
        if self.outlet is not None and self.outlet.live:
            self.outlet.live = False
            self._events.publication_closed(reason, detail)


class _SubscriptionPort(_DirectOutlet):
    """The origin's answer to a subscription, and its way to send on it."""

    def __init__(self, events: SubscriptionEvents, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(events.receive, events.subscription_closed, self._end_both)
        self._events = events
        self._loop = loop
        self._left = False
        self.incoming: IncomingSubscription | None = None

    def opened(self, epoch: Epoch, place: Place) -> None:
        """Take it in."""
        self._loop.call_soon(self._opened, epoch, place)

    def _opened(self, epoch: Epoch, place: Place) -> None:
        if self.live:
            self._events.subscription_opened(epoch, place)

    def source_lost(self, location: Location) -> None:
        """Tell it where the stream is now."""
        self._loop.call_soon(self._source_lost, location)

    def _source_lost(self, location: Location) -> None:
        if self.live:
            self._events.source_lost(location)

    def send_from(self, cursor: Cursor) -> None:
        """Send what the cursor gives, after the answer that opens it."""
        self._loop.call_soon(super().send_from, cursor)

    def close(self, reason: CloseReason, detail: str = "") -> None:
        """End it, after whatever was answered before."""
        self._loop.call_soon(super().close, reason, detail)

    def leave(self) -> None:
        """The reader wants no more."""
        self._left = True
        if self.live:
            self.live = False
            self._tell_origin(CloseReason.DONE)

    def _tell_origin(self, reason: CloseReason) -> None:
        if self.incoming is not None:
            self.incoming.closed(reason)

    def _end_both(self) -> None:
        self._tell_origin(CloseReason.LIMIT)
        if not self._left:
            self._events.subscription_closed(CloseReason.LIMIT, FAILED)


class _Subscription:
    def __init__(self, port: _SubscriptionPort) -> None:
        self._port = port

    def close(self) -> None:
        """Want no more."""
        self._port.leave()


class DirectLink:
    """An `OriginLink` to an endpoint in the same process."""

    def __init__(self, node: NodeId, endpoint: OriginEndpoint) -> None:
        """Link `node` to `endpoint`."""
        self._node = node
        self._endpoint = endpoint

    def publish(self, request: PublicationRequest, events: PublicationEvents) -> Outlet:
        """Open a publication."""
        port = _PublicationPort(events, asyncio.get_running_loop())
        incoming: IncomingPublication = self._endpoint.open_publication(self._node, request, port)
        outlet = port.outlet = _PublicationOutlet(incoming, events)
        return outlet

    def subscribe(self, request: SubscriptionRequest, events: SubscriptionEvents) -> Subscription:
        """Open a subscription."""
        port = _SubscriptionPort(events, asyncio.get_running_loop())
        port.incoming = self._endpoint.open_subscription(self._node, request, port)
        return _Subscription(port)
