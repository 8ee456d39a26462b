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
    Outlet,
    PublicationEvents,
    PublicationRequest,
    Subscription,
    SubscriptionEvents,
    SubscriptionRequest,
)
from lalmesh.runtime.ownership import Epoch, Location, NodeId, Place, UnitName
from lalmesh.runtime.ring import Cursor, Run
from simulation.connections import End
from simulation.invariants import Watcher
from simulation.network import DEAD_S, Network
from simulation.world import Process

PORT = "link"
RUN_BYTES = 1 << 30


class Sender:
    """The sending half of one stream on a link."""

    def __init__(self, link: Half, handle: int) -> None:
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


class Half:
    """What both ends of a link have."""

    def __init__(self, end: End) -> None:
        self.end = end
        self.senders: dict[int, Sender] = {}
        end.receive, end.closed, end.drained = self.receive, self.lost, self._drained

    def sender(self, handle: int) -> Sender:
        made = self.senders[handle] = Sender(self, handle)
        return made

    def _drained(self) -> None:
        for sender in list(self.senders.values()):
            sender.wake()

    def receive(self, kind: str = "", handle: int = 0, *args: Any) -> None:
        if kind:
            getattr(self, f"_{kind}")(handle, *args)

    def lost(self, reason: str) -> None:
        raise NotImplementedError


class _Outlet:
    """A publication on its way out."""

    def __init__(self, link: SimulatedLink, sender: Sender) -> None:
        self._link = link
        self._sender = sender

    def send_from(self, cursor: Cursor) -> None:
        self._sender.send_from(cursor)

    def wake(self) -> None:
        self._sender.wake()

    def close(self, reason: CloseReason, detail: str = "") -> None:
        self._link.senders.pop(self._sender.handle, None)
        self._sender.finish(reason, detail)


class _Subscription:
    """A reader's hold on its subscription."""

    def __init__(self, link: SimulatedLink, handle: int) -> None:
        self._link = link
        self._handle = handle

    def close(self) -> None:
        if self._link.subscriptions.pop(self._handle, None) is not None:
            self._link.end.send("closed", self._handle, CloseReason.DONE, "")


class SimulatedLink(Half):
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
