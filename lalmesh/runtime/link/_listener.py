"""The origin's end of links over gRPC."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace

import grpc

from lalmesh.errors import RemoteProtocolError
from lalmesh.rpc.convert import (
    parse_grant,
    parse_node_id,
    parse_place,
    parse_stream,
    parse_unit_name,
    serialize_source_lost,
    serialize_unit_name,
)
from lalmesh.rpc.lalmesh.v1 import origin_pb2
from lalmesh.runtime.link._dialler import close_reason
from lalmesh.runtime.link._interface import (
    CloseReason,
    IncomingPublication,
    IncomingSubscription,
    OriginEndpoint,
    PublicationRequest,
    SubscriptionRequest,
)
from lalmesh.runtime.link._limits import LinkCounters, LinkLimits
from lalmesh.runtime.link._outlet import WireOutlet
from lalmesh.runtime.link._session import LinkSession
from lalmesh.runtime.ownership import Epoch, Location, NodeId, Place, UnitName
from lalmesh.runtime.tally import add_counters

log = logging.getLogger(__name__)

SERVICE = "lalmesh.v1.Origin"
MAX_STREAMS_PER_LINK = 20_000  #: publications and subscriptions open at once between two nodes


class _PublicationPort:
    """The answers to one publication."""

    def __init__(self, link: _IncomingLink, handle: int) -> None:
        self._link = link
        self._handle = handle
        self.ended = False

    def opened(self, held: UnitName | None, place: Place) -> None:
        """Take it in."""
        answer = self._link.session.control(self._handle).publication_opened
        answer.place.term, answer.place.revision, answer.place.heir = place
        answer.answers_close = True
        if held is not None:
            answer.held.CopyFrom(serialize_unit_name(held))

    def source_lost(self, location: Location) -> None:
        """Tell it where the stream is now."""
        self._link.session.control(self._handle).source_lost.CopyFrom(serialize_source_lost(location))

    def close(self, reason: CloseReason, detail: str = "") -> None:
        """Refuse or end it."""
        if not self.ended:
            self.ended = True
            self._link.end(self._handle, reason, detail)


class _SubscriptionPort(WireOutlet):
    """The answers to one subscription, and its units."""

    __slots__ = ("_link",)

    def __init__(self, link: _IncomingLink, handle: int) -> None:
        super().__init__(link.session, handle)
        self._link = link

    def opened(self, epoch: Epoch, place: Place) -> None:
        """Take it in."""
        answer = self._link.session.control(self.handle).subscription_opened
        answer.epoch.term, answer.epoch.revision = epoch
        answer.place.term, answer.place.revision, answer.place.heir = place

    def source_lost(self, location: Location) -> None:
        """Tell it where the stream is now."""
        self._link.session.control(self.handle).source_lost.CopyFrom(serialize_source_lost(location))

    def close(self, reason: CloseReason, detail: str = "") -> None:
        """Send what the cursor still gives, then end."""
        self._link.forget(self.handle)
        super().close(reason, detail)


class _IncomingLink:
    """One dialler's link: its publications and subscriptions by handle."""

    def __init__(self, endpoint: OriginEndpoint, limits: LinkLimits) -> None:
        self.session = LinkSession(limits, self._handle_item, self._failed)
        self.peer: NodeId | None = None
        self._endpoint = endpoint
        self._streams: dict[int, IncomingPublication | IncomingSubscription] = {}
        self._last_handle = 0

    @property
    def peer_name(self) -> str:
        """The dialler's name, for people."""
        return self.peer.name if self.peer else "?"

    def end(self, handle: int, reason: CloseReason, detail: str) -> None:
        """Tell the dialler that `handle` is dead, and forget it."""
        self.forget(handle)
        self.session.drop(handle)
        self.session.send_closed(handle, reason, detail)

    def forget(self, handle: int) -> None:
        """Nothing more of `handle` is wanted."""
        self._streams.pop(handle, None)
        self.session.forget(handle)

    def lost(self) -> None:
        """The link broke: everything on it has ended."""
        self.session.shut()
        for handle in list(self._streams):
            self._close_stream(handle, CloseReason.LINK_LOST)

    def _failed(self, handle: int, detail: str) -> None:
        """One stream cannot go on because of this side: end it on both."""
        self.session.send_closed(handle, CloseReason.LIMIT, detail)
        self._close_stream(handle, CloseReason.LIMIT)

    def _close_stream(self, handle: int, reason: CloseReason) -> None:
        self.session.drop(handle)
        stream = self._streams.pop(handle, None)
        if stream is not None:
            self.session.call(handle, stream.closed, reason)

    def _handle_item(self, item: origin_pb2.LinkItem) -> None:
        kind = item.WhichOneof("item")
        if kind == "hello":
            if self.peer is not None:
                raise RemoteProtocolError("a second hello")
            self.peer = parse_node_id(item.hello.node, item.hello.incarnation)
        elif kind == "closed":
            stream = self._streams.get(item.handle)
            self._close_stream(item.handle, close_reason(item.closed.reason))
            if isinstance(stream, IncomingPublication):  # all that it sent before is here, and its edge may forget it
                self.session.send_closed(item.handle, CloseReason.DONE)
        elif kind in ("open_publication", "open_subscription"):
            self._open(item, kind)
        else:
            raise RemoteProtocolError(f"dialler sent {kind}")

    def _open(self, item: origin_pb2.LinkItem, kind: str) -> None:
        if self.peer is None:
            raise RemoteProtocolError("opened a stream before its hello")
        if item.handle <= self._last_handle:
            raise RemoteProtocolError(f"handle {item.handle} after {self._last_handle}")
        self._last_handle = item.handle
        if len(self._streams) >= MAX_STREAMS_PER_LINK:
            self.end(item.handle, CloseReason.LIMIT, f"{MAX_STREAMS_PER_LINK} streams on one link")
            return
        open_stream = self._open_publication if kind == "open_publication" else self._open_subscription
        self.session.call(item.handle, open_stream, self.peer, item)

    def _open_publication(self, peer: NodeId, item: origin_pb2.LinkItem) -> None:
        opened = item.open_publication
        try:
            grant = parse_grant(opened.grant)
        except RemoteProtocolError as error:
            self.end(item.handle, CloseReason.BAD_GRANT, str(error))
            return
        request = PublicationRequest(
            grant=grant,
            take_over_as_heir=opened.take_over_as_heir,
            replay_s=opened.replay_ms / 1000,
            trace_context=dict(opened.trace_context),
        )
        port = _PublicationPort(self, item.handle)
        incoming = self._endpoint.open_publication(peer, request, port)
        if not port.ended:  # refused within the call
            self._streams[item.handle] = incoming
            self.session.receive_runs(item.handle, incoming.receive)

    def _open_subscription(self, peer: NodeId, item: origin_pb2.LinkItem) -> None:
        opened = item.open_subscription
        try:
            stream = parse_stream(opened.app, opened.name)
            after = parse_unit_name(opened.after) if opened.HasField("after") else None
        except RemoteProtocolError as error:
            self.end(item.handle, CloseReason.NOT_FOUND, str(error))
            return
        request = SubscriptionRequest(
            stream=stream,
            place=parse_place(opened.place),
            after=after,
            keep_s=opened.keep_ms / 1000,
            trace_context=dict(opened.trace_context),
        )
        port = _SubscriptionPort(self, item.handle)
        incoming = self._endpoint.open_subscription(peer, request, port)
        if port.closing is None:
            self._streams[item.handle] = incoming


class LinkServicer:
    """The gRPC service `lalmesh.v1.Origin`, in front of an endpoint."""

    def __init__(self, endpoint: OriginEndpoint, limits: LinkLimits) -> None:
        """Serve `endpoint`."""
        self._endpoint = endpoint
        self._limits = limits
        self._links: set[_IncomingLink] = set()
        self._past = LinkCounters()  # of the links that were

    def handlers(self) -> grpc.GenericRpcHandler[origin_pb2.LinkBatch, origin_pb2.LinkBatch]:
        """What a server is to be given."""
        link = grpc.stream_stream_rpc_method_handler(
            self._link,
            request_deserializer=origin_pb2.LinkBatch.FromString,
            response_serializer=origin_pb2.LinkBatch.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(SERVICE, {"Link": link})

    @property
    def sessions(self) -> list[LinkSession]:
        """The sessions of all links that are, for their number and their counters."""
        return [link.session for link in self._links]

    @property
    def totals(self) -> LinkCounters:
        """The counters of all links that are and were, added up."""
        totals = replace(self._past)
        for session in self.sessions:
            add_counters(totals, session.counters)
        return totals

    async def _link(
        self,
        requests: AsyncIterator[origin_pb2.LinkBatch],
        context: grpc.aio.ServicerContext[origin_pb2.LinkBatch, origin_pb2.LinkBatch],
    ) -> None:
        """Serve one link until either side ends it. What ends it never waits for a write: a peer that has vanished takes none."""
        await context.send_initial_metadata(())  # with the first batch it would be sent again if that is cut off: gRPC forbids it
        link = _IncomingLink(self._endpoint, self._limits)
        self._links.add(link)
        work = (self._read(link, requests, context), self._write(link, context), self._guard(link))
        tasks = [asyncio.create_task(task, name="link") for task in work]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._links.discard(link)
            add_counters(self._past, link.session.counters)
            link.lost()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            log.info("link of %s ended, peer %s", link.peer_name, context.peer())

    async def _read(
        self,
        link: _IncomingLink,
        requests: AsyncIterator[origin_pb2.LinkBatch],
        context: grpc.aio.ServicerContext[origin_pb2.LinkBatch, origin_pb2.LinkBatch],
    ) -> None:
        try:
            async for batch in requests:
                link.session.feed(batch)
        except RemoteProtocolError as error:
            log.warning("link of %s broke the protocol: %s", link.peer_name, error)
            context.set_code(grpc.StatusCode.INVALID_ARGUMENT)
            context.set_details(str(error))
        except Exception:
            log.exception("link of %s failed on this side", link.peer_name)

    async def _write(
        self, link: _IncomingLink, context: grpc.aio.ServicerContext[origin_pb2.LinkBatch, origin_pb2.LinkBatch]
    ) -> None:
        async for batch in link.session.batches():
            await context.write(batch)

    async def _guard(self, link: _IncomingLink) -> None:
        await link.session.watch_silence()
        if not link.session.closed:
            log.warning("link of %s silent for %.1f s", link.peer_name, link.session.silent_s)
