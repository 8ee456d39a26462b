"""Links between nodes over the simulated network: what `lalmesh.runtime.link` does over gRPC, with the same two interfaces.

A link that breaks closes everything on it with `LINK_LOST` on both sides, each when that side finds out. Units are read from the
cursor when there is room on the way, so what a sender could not send stays in its ring.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lalmesh.names import StreamKey
from lalmesh.runtime.link import (
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
from simulation.invariants import Watcher
from simulation.network import DEAD_S, End, Network
from simulation.world import Process

PORT = "link"
RUN_BYTES = 1 << 30


class _Sender:
    """The sending half of one stream on a link."""

    def __init__(self, link: _Half, handle: int) -> None:
        self.handle = handle
        self._link = link
        self._cursor: Cursor | None = None
        self._over = False

    def send_from(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self.wake()

    def wake(self) -> None:
        cursor, end = self._cursor, self._link.end
        if cursor is None or self._over:
            return
        while end.has_room and (run := cursor.read(RUN_BYTES)) is not None:
            units = list(run.units)
            end.send("run", self.handle, Run(run.epoch, run.publication, run.tracks, units, run.place, run.missing))

    def finish(self, reason: CloseReason, detail: str) -> None:
        """Send what the cursor still gives, whether there is room or not, then the end."""
        if self._over:
            return
        cursor = self._cursor
        while cursor is not None and (run := cursor.read(RUN_BYTES)) is not None:
            self._link.end.send("run", self.handle, run)
        self._over = True
        self._link.end.send("closed", self.handle, reason, detail)


class _Half:
    """What both ends of a link have."""

    def __init__(self, end: End) -> None:
        self.end = end
        self.senders: dict[int, _Sender] = {}
        end.receive, end.closed, end.drained = self.receive, self.lost, self._drained

    def sender(self, handle: int) -> _Sender:
        made = self.senders[handle] = _Sender(self, handle)
        return made

    def _drained(self) -> None:
        for sender in list(self.senders.values()):
            sender.wake()

    def receive(self, kind: str = "", handle: int = 0, *args: Any) -> None:
        if kind:
            getattr(self, f"_{kind}")(handle, *args)

    def lost(self, reason: str) -> None:
        raise NotImplementedError


# the dialler


class _Outlet:
    """A publication on its way out."""

    def __init__(self, link: SimulatedLink, sender: _Sender) -> None:
        self._link = link
        self._sender = sender

    def send_from(self, cursor: Cursor) -> None:
        self._sender.send_from(cursor)

    def wake(self) -> None:
        self._sender.wake()

    def close(self, reason: CloseReason, detail: str = "") -> None:
        handle = self._sender.handle
        self._link.publications.pop(handle, None)
        self._link.senders.pop(handle, None)
        self._sender.finish(reason, detail)


class _Subscription:
    """A reader's hold on its subscription."""

    def __init__(self, link: SimulatedLink, handle: int) -> None:
        self._link = link
        self._handle = handle

    def close(self) -> None:
        if self._link.subscriptions.pop(self._handle, None) is not None:
            self._link.end.send("closed", self._handle, CloseReason.DONE, "")


class SimulatedLink(_Half):
    """An `OriginLink`."""

    def __init__(self, end: End, node: NodeId, watcher: Watcher, lost: Callable[[SimulatedLink], None]) -> None:
        super().__init__(end)
        self.publications: dict[int, PublicationEvents] = {}
        self.subscriptions: dict[int, SubscriptionEvents] = {}
        self._streams: dict[int, StreamKey] = {}
        self._node = node
        self._watcher = watcher
        self._lost = lost
        self._handles = 0
        end.send("hello", 0, node)

    def publish(self, request: PublicationRequest, events: PublicationEvents) -> Outlet:
        handle = self._opened(request)
        self.publications[handle] = events
        return _Outlet(self, self.sender(handle))

    def subscribe(self, request: SubscriptionRequest, events: SubscriptionEvents) -> Subscription:
        handle = self._opened(request)
        self.subscriptions[handle] = events
        return _Subscription(self, handle)

    def _opened(self, request: PublicationRequest | SubscriptionRequest) -> int:
        self._handles += 1
        if self.end.is_open:
            self.end.send("open", self._handles, request)
        else:  # a holder of a dead link is told, after its call has returned
            assert self.end.process is not None
            self.end.process.call_soon(self._lose_streams, "dead")
        return self._handles

    def _publication_opened(self, handle: int, held: UnitName | None, place: Place) -> None:
        if (events := self.publications.get(handle)) is not None:
            events.publication_opened(held, place)

    def _subscription_opened(self, handle: int, epoch: Epoch, place: Place) -> None:
        if (events := self.subscriptions.get(handle)) is not None:
            events.subscription_opened(epoch, place)

    def _source_lost(self, handle: int, location: Location) -> None:
        events: Any = self.publications.get(handle) or self.subscriptions.get(handle)
        if events is not None:
            events.source_lost(location)

    def _run(self, handle: int, run: Run) -> None:
        if (events := self.subscriptions.get(handle)) is not None:
            events.receive(run)

    def _closed(self, handle: int, reason: CloseReason, detail: str) -> None:
        self.senders.pop(handle, None)
        if (publication := self.publications.pop(handle, None)) is not None:
            publication.publication_closed(reason, detail)
        elif (subscription := self.subscriptions.pop(handle, None)) is not None:
            subscription.subscription_closed(reason, detail)

    def lost(self, reason: str) -> None:
        self._lost(self)
        self._lose_streams(reason)

    def _lose_streams(self, reason: str) -> None:
        for handle in [*self.publications, *self.subscriptions]:
            self._closed(handle, CloseReason.LINK_LOST, reason)


class LinkPool:
    """The links of one node, by the origin's address."""

    def __init__(self, network: Network, process: Process, node: NodeId, watcher: Watcher) -> None:
        self._network = network
        self._process = process
        self._node = node
        self._watcher = watcher
        self._links: dict[str, SimulatedLink] = {}

    def link(self, address: str) -> SimulatedLink:
        link = self._links.get(address)
        if link is None:
            end = self._network.connect(self._process, address.partition(":")[0], PORT, dead_s=DEAD_S)
            link = self._links[address] = SimulatedLink(end, self._node, self._watcher, self._forget)
        return link

    def _forget(self, link: SimulatedLink) -> None:
        for address in [address for address, known in self._links.items() if known is link]:
            del self._links[address]


# the origin


class _Port:
    """An origin's way to answer one publication or subscription."""

    def __init__(self, link: _IncomingLink, handle: int, request: PublicationRequest | SubscriptionRequest) -> None:
        self._link = link
        self._sender = link.sender(handle)
        self._request = request
        self.is_over = False

    def source_lost(self, location: Location) -> None:
        self._link.end.send("source_lost", self._sender.handle, location)

    def close(self, reason: CloseReason, detail: str = "") -> None:
        self.is_over = True
        self._link.forget(self._sender.handle)
        self._sender.finish(reason, detail)


class _PublicationPort(_Port):
    def opened(self, held: UnitName | None, place: Place) -> None:
        assert isinstance(self._request, PublicationRequest)
        self._link.watcher.accepted(self._link.process, self._request.grant)
        self._link.end.send("publication_opened", self._sender.handle, held, place)


class _SubscriptionPort(_Port):
    def opened(self, epoch: Epoch, place: Place) -> None:
        assert isinstance(self._request, SubscriptionRequest)
        self._link.watcher.told(self._link.process, self._request.stream, epoch)
        self._link.end.send("subscription_opened", self._sender.handle, epoch, place)

    def send_from(self, cursor: Cursor) -> None:
        self._sender.send_from(cursor)

    def wake(self) -> None:
        self._sender.wake()


class _IncomingLink(_Half):
    """One dialler's link, at the origin."""

    def __init__(self, end: End, process: Process, endpoint: OriginEndpoint, watcher: Watcher) -> None:
        super().__init__(end)
        self.process = process
        self.watcher = watcher
        self._endpoint = endpoint
        self._peer: NodeId | None = None
        self._streams: dict[int, IncomingPublication | IncomingSubscription] = {}

    def forget(self, handle: int) -> None:
        self._streams.pop(handle, None)
        self.senders.pop(handle, None)

    def _hello(self, _handle: int, node: NodeId) -> None:
        self._peer = node

    def _open(self, handle: int, request: PublicationRequest | SubscriptionRequest) -> None:
        assert self._peer is not None
        incoming: IncomingPublication | IncomingSubscription
        if isinstance(request, PublicationRequest):
            publication = _PublicationPort(self, handle, request)
            incoming, is_over = self._endpoint.open_publication(self._peer, request, publication), publication.is_over
        else:
            subscription = _SubscriptionPort(self, handle, request)
            incoming, is_over = self._endpoint.open_subscription(self._peer, request, subscription), subscription.is_over
        if not is_over:  # refused within the call
            self._streams[handle] = incoming

    def _run(self, handle: int, run: Run) -> None:
        incoming: Any = self._streams.get(handle)
        if incoming is not None:
            incoming.receive(run)

    def _closed(self, handle: int, reason: CloseReason, _detail: str) -> None:
        incoming = self._streams.get(handle)
        self.forget(handle)
        if incoming is not None:
            incoming.closed(reason)

    def lost(self, reason: str) -> None:
        for handle in list(self._streams):
            self._closed(handle, CloseReason.LINK_LOST, reason)


def serve_links(network: Network, process: Process, endpoint: OriginEndpoint, watcher: Watcher) -> None:
    """Take links to an origin."""

    def accept(accepting: Process, end: End, _source: str) -> None:
        _IncomingLink(end, accepting, endpoint, watcher)

    network.serve(process, PORT, accept)
