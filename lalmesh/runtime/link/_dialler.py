"""The dialler's end of a link over gRPC, and the pool of an edge's or hls node's links."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

import grpc

from lalmesh.errors import RemoteProtocolError
from lalmesh.rpc.convert import (
    parse_epoch,
    parse_place,
    parse_source_lost,
    parse_unit_name,
    serialize_grant,
    serialize_unit_name,
)
from lalmesh.rpc.lalmesh.v1 import origin_pb2
from lalmesh.runtime.link._interface import (
    CloseReason,
    OriginLink,
    Outlet,
    PublicationEvents,
    PublicationRequest,
    Subscription,
    SubscriptionEvents,
    SubscriptionRequest,
)
from lalmesh.runtime.link._limits import LinkCounters, LinkLimits
from lalmesh.runtime.link._outlet import WireOutlet
from lalmesh.runtime.link._session import LinkSession
from lalmesh.runtime.ownership import NodeId
from lalmesh.runtime.tally import add_counters

log = logging.getLogger(__name__)

METHOD = "/lalmesh.v1.Origin/Link"

ChannelFactory = Callable[[str], grpc.aio.Channel]


class _DiallerOutlet(WireOutlet):
    """A publication on its way out: an origin of an earlier version does not say that it has all."""

    __slots__ = ("_link",)

    def __init__(self, link: GrpcLink, session: LinkSession, handle: int) -> None:
        super().__init__(session, handle)
        self._link = link

    def close(self, reason: CloseReason, detail: str = "") -> None:
        """Send what the cursor still gives, then end."""
        super().close(reason, detail)
        self._link.closed_here(self.handle)


class _DiallerSubscription:
    """A reader's hold on its subscription."""

    def __init__(self, link: GrpcLink, handle: int) -> None:
        self._link = link
        self._handle = handle

    def close(self) -> None:
        """Want no more."""
        self._link.unsubscribe(self._handle)


class GrpcLink:
    """One two-way stream to one origin. It dials at once; what is opened before it stands waits in its first batch."""

    def __init__(self, node: NodeId, channel: grpc.aio.Channel, limits: LinkLimits, lost: Callable[[GrpcLink], None]) -> None:
        """Link `node` over `channel`, which this link closes at its end; `lost` hears of the end."""
        self._channel = channel
        self._limits = limits
        self._lost = lost
        self._session = LinkSession(limits, self._handle_item, self._failed)
        self._publications: dict[int, PublicationEvents] = {}
        self._answer_close: set[int] = set()  # publications whose origin says that it has all, when they are closed here
        self._subscriptions: dict[int, SubscriptionEvents] = {}
        self._next_handle = 1
        self._end_detail: str | None = None  # once it has ended
        hello = self._session.control(0).hello
        hello.node, hello.incarnation = node.name, node.incarnation
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run(), name="link")

    @property
    def session(self) -> LinkSession:
        """The session, for its counters."""
        return self._session

    def publish(self, request: PublicationRequest, events: PublicationEvents) -> Outlet:
        """Open a publication."""
        handle = self._new_handle()
        item = self._session.control(handle).open_publication
        item.grant.CopyFrom(serialize_grant(request.grant))
        item.take_over_as_heir = request.take_over_as_heir
        item.replay_ms = round(request.replay_s * 1000)
        item.trace_context.update(request.trace_context)
        self._publications[handle] = events
        return _DiallerOutlet(self, self._session, handle)

    def subscribe(self, request: SubscriptionRequest, events: SubscriptionEvents) -> Subscription:
        """Open a subscription."""
        handle = self._new_handle()
        item = self._session.control(handle).open_subscription
        item.app, item.name = request.stream
        item.place.term, item.place.revision, item.place.heir = request.place
        if request.after is not None:
            item.after.CopyFrom(serialize_unit_name(request.after))
        item.keep_ms = round(request.keep_s * 1000)
        item.trace_context.update(request.trace_context)
        self._subscriptions[handle] = events
        self._session.receive_runs(handle, events.receive)
        return _DiallerSubscription(self, handle)

    def closed_here(self, handle: int) -> None:
        """The publication has been closed on this side: nothing more is heard of it, unless its origin answers that."""
        if handle in self._publications and handle not in self._answer_close:
            self._loop.call_soon(self._publications.pop(handle).publication_closed, CloseReason.DONE, "")

    def unsubscribe(self, handle: int) -> None:
        """Want no more of this subscription."""
        self._session.forget(handle)
        if self._subscriptions.pop(handle, None) is not None:
            self._session.send_closed(handle, CloseReason.DONE)

    async def close(self) -> None:
        """End the link and everything on it."""
        self._task.cancel()
        await asyncio.wait([self._task])
        if self._end_detail is None:  # cancelled before it had begun
            self._end("closed")
            await self._channel.close(None)

    def _new_handle(self) -> int:
        if self._end_detail is not None:  # a holder of a dead link is told, after its call has returned
            self._loop.call_soon(self._lose_streams)
        handle = self._next_handle
        self._next_handle += 1
        return handle

    async def _run(self) -> None:
        detail = "closed"
        try:
            detail = await self._exchange()
        except grpc.aio.AioRpcError as error:
            detail = f"{error.code().name}: {error.details()}"
        except RemoteProtocolError as error:
            detail = str(error)
        except Exception:
            detail = "failed"
            log.exception("a link failed on this side")
        finally:
            self._end(detail)
            await self._channel.close(None)

    async def _exchange(self) -> str:
        link = self._channel.stream_stream(
            METHOD,
            request_serializer=origin_pb2.LinkBatch.SerializeToString,
            response_deserializer=origin_pb2.LinkBatch.FromString,
        )
        call = link(self._session.batches())
        silence = self._loop.create_task(self._session.watch_silence())
        reading = self._loop.create_task(self._read(call))
        try:
            await asyncio.wait((silence, reading), return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                await reading
                return "the origin ended the link"
            if self._session.closed:
                return "the origin takes nothing"
            return f"silent for {self._session.silent_s:.1f} s"
        finally:
            for task in (silence, reading):
                task.cancel()
            await asyncio.gather(silence, reading, return_exceptions=True)
            call.cancel()

    async def _read(self, call: grpc.aio.StreamStreamCall[origin_pb2.LinkBatch, origin_pb2.LinkBatch]) -> None:
        async for batch in call:
            self._session.feed(batch)

    def _end(self, detail: str) -> None:
        self._end_detail = detail
        self._session.shut()
        self._lost(self)
        self._lose_streams()

    def _lose_streams(self) -> None:
        for handle in [*self._publications, *self._subscriptions]:
            self._close_stream(handle, CloseReason.LINK_LOST, self._end_detail or "")

    def _failed(self, handle: int, detail: str) -> None:
        """One stream cannot go on because of this side: end it on both."""
        if handle in self._publications or handle in self._subscriptions:
            self._session.send_closed(handle, CloseReason.LIMIT, detail)
            self._close_stream(handle, CloseReason.LIMIT, detail)

    def _close_stream(self, handle: int, reason: CloseReason, detail: str) -> None:
        self._session.drop(handle)
        self._answer_close.discard(handle)
        if (publication := self._publications.pop(handle, None)) is not None:
            self._session.call(handle, publication.publication_closed, reason, detail)
        elif (subscription := self._subscriptions.pop(handle, None)) is not None:
            self._session.call(handle, subscription.subscription_closed, reason, detail)

    def _handle_item(self, item: origin_pb2.LinkItem) -> None:
        match item.WhichOneof("item"):
            case "publication_opened":
                self._publication_opened(item)
            case "subscription_opened":
                subscription = self._subscriptions.get(item.handle)
                if subscription is not None:
                    opened = item.subscription_opened
                    epoch, place = parse_epoch(opened.epoch), parse_place(opened.place)
                    self._session.call(item.handle, subscription.subscription_opened, epoch, place)
            case "source_lost":
                self._source_lost(item)
            case "closed":
                # of a publication, DONE means that the origin has all, which a reason of a later version does not say
                unknown = CloseReason.LIMIT if item.handle in self._publications else CloseReason.DONE
                self._close_stream(item.handle, close_reason(item.closed.reason, unknown), item.closed.detail)
            case None:
                pass  # an origin of a later version has more to say
            case other:
                raise RemoteProtocolError(f"origin sent {other}")

    def _publication_opened(self, item: origin_pb2.LinkItem) -> None:
        publication = self._publications.get(item.handle)
        if publication is not None:
            opened = item.publication_opened
            held = parse_unit_name(opened.held) if opened.HasField("held") else None
            if opened.answers_close:
                self._answer_close.add(item.handle)
            self._session.call(item.handle, publication.publication_opened, held, parse_place(opened.place))

    def _source_lost(self, item: origin_pb2.LinkItem) -> None:
        stream = self._publications.get(item.handle) or self._subscriptions.get(item.handle)
        if stream is not None:
            self._session.call(item.handle, stream.source_lost, parse_source_lost(item.source_lost))


def close_reason(value: int, unknown: CloseReason = CloseReason.DONE) -> CloseReason:
    """The reason behind its number on the wire; one that is not known here counts as `unknown`."""
    try:
        return CloseReason(value)
    except ValueError:
        return unknown


class LinkPool:
    """The links of one node, by the origin's address; dialled on first use, forgotten when they break."""

    def __init__(self, node: NodeId, dial: ChannelFactory, limits: LinkLimits) -> None:
        """Dial as `node`."""
        self._node = node
        self._dial = dial
        self._limits = limits
        self._links: dict[str, GrpcLink] = {}
        self._past = LinkCounters()  # of the links that were

    def link(self, address: str) -> OriginLink:
        """The link to the origin at ``host:port``, whether it stands yet or not."""
        link = self._links.get(address)
        if link is None:
            log.info("dialling origin %s", address)
            link = GrpcLink(self._node, self._dial(address), self._limits, lambda lost: self._forget(address, lost))
            self._links[address] = link
        return link

    def _forget(self, address: str, link: GrpcLink) -> None:
        if self._links.get(address) is link:
            log.info("link to origin %s has ended", address)
            del self._links[address]
            add_counters(self._past, link.session.counters)

    @property
    def sessions(self) -> list[LinkSession]:
        """The sessions of all links that are, for their number and their counters."""
        return [link.session for link in self._links.values()]

    @property
    def totals(self) -> LinkCounters:
        """The counters of all links that are and were, added up."""
        totals = replace(self._past)
        for session in self.sessions:
            add_counters(totals, session.counters)
        return totals

    async def close(self) -> None:
        """End all links."""
        await asyncio.gather(*(link.close() for link in list(self._links.values())))
