"""The origin's end of links over the simulated network."""

from __future__ import annotations

from typing import Any

from lalmesh.runtime.link import (
    CloseReason,
    IncomingPublication,
    IncomingSubscription,
    OriginEndpoint,
    PublicationRequest,
    SubscriptionRequest,
)
from lalmesh.runtime.ownership import Epoch, Location, NodeId, Place, UnitName
from lalmesh.runtime.ring import Cursor, Run
from simulation.connections import End
from simulation.invariants import Watcher
from simulation.links import PORT, Half
from simulation.network import Network
from simulation.world import Process


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


class _IncomingLink(Half):
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
            if isinstance(incoming, IncomingPublication) and reason is not CloseReason.LINK_LOST:
                self.end.send("closed", handle, CloseReason.DONE, "")

    def lost(self, reason: str) -> None:
        for handle in list(self._streams):
            self._closed(handle, CloseReason.LINK_LOST, reason)


def serve_links(network: Network, process: Process, endpoint: OriginEndpoint, watcher: Watcher) -> None:
    """Take links to an origin."""

    def accept(accepting: Process, end: End, _source: str) -> None:
        _IncomingLink(end, accepting, endpoint, watcher)

    network.serve(process, PORT, accept)
