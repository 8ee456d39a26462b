from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import grpc
import pytest
from support.links import (
    EDGE,
    ELSEWHERE,
    EPOCH,
    KEY_EACH,
    PLACE,
    PUBLICATION,
    FakeOrigin,
    FakePublisher,
    FakeReader,
    plain,
    run,
    stream,
    units,
)
from support.members import eventually
from support.ports import LOOPBACK, free_ports

from lalmesh.rpc.lalmesh.v1 import origin_pb2
from lalmesh.runtime.channels import OPTIONS, Channels
from lalmesh.runtime.link import CloseReason, LinkLimits, LinkPool, LinkServicer, PublicationRequest
from lalmesh.runtime.link import _listener as listener_module
from lalmesh.runtime.link._dialler import METHOD, GrpcLink
from lalmesh.runtime.link._listener import SERVICE
from lalmesh.runtime.ownership import NodeAddress, UnitName
from lalmesh.runtime.ring import RingLimits

KEYS = (b"k" * 32,)
CHANNELS = Channels(KEYS)
LIMITS = LinkLimits()
SILENT = LinkLimits(dead_s=1.0, heartbeat_s=0.1)  #: less or twice as much silence is told from it on a busy machine too
LINK_LOST = CloseReason.LINK_LOST


@contextlib.asynccontextmanager
async def served(handlers: grpc.GenericRpcHandler[Any, Any], port: int = 0) -> AsyncIterator[str]:
    server = CHANNELS.server()
    server.add_generic_rpc_handlers((handlers,))
    port = CHANNELS.listen(server, LOOPBACK, port)
    await server.start()
    try:
        yield f"{LOOPBACK}:{port}"
    finally:
        await server.stop(0)


@contextlib.asynccontextmanager
async def dialled(address: str, limits: LinkLimits = LIMITS) -> AsyncIterator[LinkPool]:
    pool = LinkPool(EDGE, CHANNELS.dial, limits)
    try:
        yield pool
    finally:
        await pool.close()


class Pair:
    """An origin and the pool of a node that dials it."""

    def __init__(self, origin: FakeOrigin, servicer: LinkServicer, pool: LinkPool, address: str) -> None:
        self.origin = origin
        self.servicer = servicer
        self.pool = pool
        self.address = address

    def publisher(self, number: int = 0) -> FakePublisher:
        return FakePublisher(self.pool.link(self.address), number)

    def reader(self, number: int = 0, after: UnitName | None = None, *, failing: bool = False) -> FakeReader:
        return FakeReader(self.pool.link(self.address), number, after, failing=failing)


@contextlib.asynccontextmanager
async def linked(limits: LinkLimits = LIMITS, origin: FakeOrigin | None = None) -> AsyncIterator[Pair]:
    origin = origin or FakeOrigin()
    servicer = LinkServicer(origin, limits)
    async with served(servicer.handlers()) as address, dialled(address, limits) as pool:
        yield Pair(origin, servicer, pool, address)
    await eventually(lambda: not servicer.sessions)
    await eventually(lambda: not [task for task in asyncio.all_tasks() if task.get_name() == "link"])


async def test_units_arrive_complete_and_in_order() -> None:
    async with linked() as pair:
        publisher, reader = pair.publisher(), pair.reader()
        for count in (1, 30, 300, 5):
            publisher.feed(count, size=5000)
            await asyncio.sleep(0.005)
        await eventually(lambda: len(reader.seqs) == 336)
        assert plain(reader.units) == plain(units(0, 336, size=5000))
        assert reader.missing == 0
        assert (publisher.opened, reader.opened) == ((None, PLACE), (EPOCH, PLACE))
        assert pair.origin.peers == [EDGE, EDGE]
        assert {run.place for run in reader.runs} == {PLACE}


async def test_a_hundred_streams_share_one_link() -> None:
    async with linked() as pair:
        publishers = [pair.publisher(number) for number in range(100)]
        readers = [pair.reader(number) for number in range(100)]
        for _ in range(5):
            for publisher in publishers:
                publisher.feed(10, size=1000)
            await asyncio.sleep(0.003)
        await eventually(lambda: all(len(reader.seqs) == 50 for reader in readers))
        assert all(reader.seqs == list(range(50)) and not reader.missing for reader in readers)
        assert len(pair.servicer.sessions) == len(pair.pool.sessions) == 1
        sent, received = pair.pool.sessions[0].counters, pair.servicer.sessions[0].counters
        assert (sent.units_sent, received.units_received, sent.payload_bytes_sent) == (5000, 5000, 5_000_000)
        assert sent.batches_sent < 300  # never one by one


async def test_what_the_origin_holds_is_not_sent_again() -> None:
    async with linked() as pair:
        pair.origin.group().append(run(0, 5))
        publisher = pair.publisher()
        publisher.feed(8)
        await eventually(lambda: len(pair.origin.group().ring) == 8)
        assert publisher.opened == (UnitName(PUBLICATION, 4), PLACE)
        assert pair.pool.sessions[0].counters.units_sent == 3


async def test_a_reader_resumes_after_the_unit_that_it_has() -> None:
    async with linked() as pair:
        pair.origin.group().append(run(0, 9))
        reader = pair.reader(after=UnitName(PUBLICATION, 5))
        await eventually(lambda: reader.seqs == [6, 7, 8])
        assert reader.missing == 0


async def test_a_refusal_reaches_the_dialler_and_the_link_stands() -> None:
    async with linked() as pair:
        pair.origin.refuse = CloseReason.BAD_GRANT
        publisher, reader = pair.publisher(), pair.reader()
        await eventually(lambda: publisher.closed is not None and reader.closed is not None)
        assert publisher.closed == reader.closed == (CloseReason.BAD_GRANT, "no")
        pair.origin.refuse = None
        again = pair.reader()
        await eventually(lambda: again.opened is not None)
        assert len(pair.pool.sessions) == 1


async def test_a_publisher_that_closes_is_sent_to_its_last_unit() -> None:
    async with linked() as pair:
        publisher, reader = pair.publisher(), pair.reader()
        await eventually(lambda: publisher.opened is not None)
        publisher.feed(500, size=10_000)
        publisher.outlet.close(CloseReason.DONE)
        await eventually(lambda: len(reader.seqs) == 500)
        await eventually(lambda: pair.origin.group().ended == [CloseReason.DONE])
        await eventually(lambda: publisher.closed == (CloseReason.DONE, ""))  # the origin has all


async def test_a_publisher_whose_last_units_may_not_have_come_hears_of_that() -> None:
    async with linked() as pair:
        publisher = pair.publisher()
        await eventually(lambda: publisher.opened is not None)
        for link in list(pair.servicer._links):
            link.session.shut()
        publisher.feed(3)
        publisher.outlet.close(CloseReason.DONE)
        await eventually(lambda: publisher.closed == (LINK_LOST, "the origin ended the link"))


async def test_an_origin_that_ends_a_stream_gives_its_readers_all_of_it_first() -> None:
    async with linked() as pair:
        reader = pair.reader()
        await eventually(lambda: reader.opened is not None)
        pair.origin.group().append(run(0, 500, size=10_000))
        pair.origin.group().subscriptions[0].close(CloseReason.STREAM_ENDED, "over")
        await eventually(lambda: reader.closed is not None)
        assert reader.closed == (CloseReason.STREAM_ENDED, "over")
        assert len(reader.seqs) == 500
        assert pair.origin.group().ended == []


async def test_an_origin_ends_a_publication_with_its_reason() -> None:
    async with linked() as pair:
        publisher = pair.publisher()
        await eventually(lambda: publisher.opened is not None)
        pair.origin.group().publications[0].close(CloseReason.FENCED, "newer")
        await eventually(lambda: publisher.closed == (CloseReason.FENCED, "newer"))
        publisher.feed(5)
        beside = pair.reader(1)
        await eventually(lambda: beside.opened is not None)
        assert (len(pair.origin.group().ring), pair.origin.group().ended) == (0, [])


@pytest.mark.parametrize("heir", [None, ELSEWHERE.origin])
async def test_word_that_the_stream_is_elsewhere_closes_nothing(heir: NodeAddress | None) -> None:
    told = replace(ELSEWHERE, heir=heir)
    async with linked() as pair:
        publisher, reader = pair.publisher(), pair.reader()
        await eventually(lambda: publisher.opened is not None and reader.opened is not None)
        for port in (pair.origin.group().publications[0], pair.origin.group().subscriptions[0]):
            port.source_lost(told)
        publisher.feed(2)
        await eventually(lambda: reader.seqs == [0, 1])
        assert (publisher.told, reader.told) == ([told], [told])


async def test_a_reader_that_leaves_is_sent_no_more() -> None:
    async with linked() as pair:
        publisher, reader = pair.publisher(), pair.reader()
        publisher.feed(1)
        await eventually(lambda: reader.seqs == [0])
        reader.subscription.close()
        reader.subscription.close()
        await eventually(lambda: pair.origin.group().ended == [CloseReason.DONE])
        publisher.feed(5)
        beside = pair.reader()
        await eventually(lambda: len(beside.seqs) == 6)
        assert (reader.seqs, reader.closed) == ([0], None)


async def test_a_stream_opened_and_closed_at_once_leaves_nothing() -> None:
    async with linked() as pair:
        for _ in range(20):
            pair.reader().subscription.close()
            pair.publisher(1).outlet.close(CloseReason.DONE)
        await eventually(lambda: len(pair.origin.group(0).ended) + len(pair.origin.group(1).ended) == 40)
        assert pair.origin.group().subscriptions == []
        assert [len(link._streams) for link in pair.servicer._links] == [0]


async def test_a_reader_that_fails_ends_alone(caplog: pytest.LogCaptureFixture) -> None:
    async with linked() as pair:
        publisher, failing, beside = pair.publisher(), pair.reader(failing=True), pair.reader()
        publisher.feed(5)
        await eventually(lambda: failing.closed is not None)
        publisher.feed(5)
        await eventually(lambda: len(beside.seqs) == 10)
        assert failing.closed == (CloseReason.LIMIT, "failed on the other side")
        await eventually(lambda: len(pair.origin.group().subscriptions) == 1)
        assert "a reader of this test fails" in caplog.text


async def test_an_origin_that_fails_on_one_publication_keeps_the_others(caplog: pytest.LogCaptureFixture) -> None:
    async with linked() as pair:
        pair.origin.failing = {stream(0)}
        bad, good = pair.publisher(0), pair.publisher(1)
        bad.feed(5)
        good.feed(5)
        await eventually(lambda: bad.closed is not None and len(pair.origin.group(1).ring) == 5)
        assert bad.closed == (CloseReason.LIMIT, "failed on the other side")
        assert (pair.origin.group(0).ended, good.closed) == ([CloseReason.LIMIT], None)


async def test_a_heartbeat_keeps_an_idle_link() -> None:
    async with linked(SILENT) as pair:
        publisher, reader = pair.publisher(), pair.reader()
        await asyncio.sleep(3 * SILENT.dead_s)
        publisher.feed(1)
        await eventually(lambda: reader.seqs == [0])
        assert (publisher.closed, reader.closed, pair.origin.group().ended) == (None, None, [])


async def test_too_many_streams_on_a_link_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "MAX_STREAMS_PER_LINK", 3)
    async with linked() as pair:
        readers = [pair.reader(number) for number in range(5)]
        await eventually(lambda: sum(reader.closed is not None for reader in readers) == 2)
        assert [reader.closed for reader in readers[3:]] == [(CloseReason.LIMIT, "3 streams on one link")] * 2


# links that break


async def test_an_origin_that_stops_breaks_its_links_at_once() -> None:
    async with linked() as pair:
        publisher, reader = pair.publisher(), pair.reader()
        await eventually(lambda: reader.opened is not None)
        for link in list(pair.servicer._links):
            link.session.shut()
        await eventually(lambda: publisher.closed is not None and reader.closed is not None)
        assert publisher.closed == reader.closed == (LINK_LOST, "the origin ended the link")
        assert sorted(pair.origin.group().ended, key=str) == [LINK_LOST, LINK_LOST]
        assert pair.pool.sessions == []


async def test_a_dialler_that_closes_its_link_ends_all_on_it() -> None:
    async with linked() as pair:
        publisher, reader = pair.publisher(), pair.reader()
        await eventually(lambda: reader.opened is not None)
        await pair.pool.close()
        assert publisher.closed == reader.closed == (LINK_LOST, "closed")
        await eventually(lambda: pair.origin.group().ended == [LINK_LOST, LINK_LOST])


async def test_an_address_where_nobody_listens_is_a_lost_link() -> None:
    (port,) = free_ports(1)
    async with dialled("") as pool:
        reader = FakeReader(pool.link(f"{LOOPBACK}:{port}"))
        await eventually(lambda: reader.closed is not None)
        assert reader.closed is not None
        assert reader.closed[0] is LINK_LOST
        assert "UNAVAILABLE" in reader.closed[1]


async def test_a_node_without_the_cluster_key_gets_no_link() -> None:
    origin = FakeOrigin()
    async with served(LinkServicer(origin, LIMITS).handlers()) as address:
        pool = LinkPool(EDGE, Channels((b"x" * 32,)).dial, LIMITS)
        reader = FakeReader(pool.link(address))
        await eventually(lambda: reader.closed is not None)
        assert reader.closed is not None
        assert reader.closed[0] is LINK_LOST
        # gRPC says INTERNAL where its own write of the first batch meets the refusal
        assert reader.closed[1].startswith(("UNAUTHENTICATED: no valid cluster token", "INTERNAL:"))
        assert not origin.groups
        await pool.close()


async def test_a_pool_dials_again_after_a_loss() -> None:
    origin, (port,) = FakeOrigin(), free_ports(1)
    address = f"{LOOPBACK}:{port}"
    async with dialled(address) as pool:
        lost = FakeReader(pool.link(address))
        await eventually(lambda: lost.closed is not None)
        async with served(LinkServicer(origin, LIMITS).handlers(), port):
            first = pool.link(address)
            assert pool.link(address) is first
            reader = FakeReader(first)
            await eventually(lambda: reader.opened is not None)
        await eventually(lambda: reader.closed is not None)
        assert pool.link(address) is not first


async def test_a_link_closed_before_it_began_still_ends_its_streams() -> None:
    async with linked() as pair:
        link = pair.pool.link(pair.address)
        publisher = FakePublisher(link)
        await pair.pool.close()
        assert publisher.closed == (LINK_LOST, "closed")
        late = FakeReader(link)  # held on to by somebody who should not
        assert late.closed is None
        await eventually(lambda: late.closed == (LINK_LOST, "closed"))


async def silent(_requests: Any, _context: Any) -> None:
    await asyncio.Event().wait()


def method(handler: Callable[[Any, Any], Any]) -> grpc.GenericRpcHandler[Any, Any]:
    link = grpc.stream_stream_rpc_method_handler(
        handler,
        request_deserializer=origin_pb2.LinkBatch.FromString,
        response_serializer=origin_pb2.LinkBatch.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(SERVICE, {"Link": link})


async def test_an_origin_that_falls_silent_is_given_up_on_time() -> None:
    async with served(method(silent)) as address, dialled(address, SILENT) as pool:
        publisher = FakePublisher(pool.link(address))
        for seq in range(40):  # more than the window of the connection takes: the writer waits
            publisher.ring.append(run(seq, 1, size=1 << 20))
        publisher.publication_opened(None, PLACE)
        start = asyncio.get_running_loop().time()
        await eventually(lambda: publisher.closed is not None)
        assert asyncio.get_running_loop().time() - start < 2 * SILENT.dead_s
        assert publisher.closed is not None
        assert publisher.closed[1].startswith("silent for 1.")
        assert pool.sessions == []


class RawDialler:
    """A dialler that does only what it is told."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        link = channel.stream_stream(
            METHOD,
            request_serializer=origin_pb2.LinkBatch.SerializeToString,
            response_deserializer=origin_pb2.LinkBatch.FromString,
        )
        self.call = link()  # type: ignore[call-arg]

    async def send(self, *items: origin_pb2.LinkItem) -> None:
        await self.call.write(origin_pb2.LinkBatch(items=items))

    async def items(self) -> list[origin_pb2.LinkItem]:
        batch = await self.call.read()
        return list(batch.items) if isinstance(batch, origin_pb2.LinkBatch) else []


@contextlib.asynccontextmanager
async def raw(
    limits: LinkLimits, origin: FakeOrigin, channels: Channels = CHANNELS
) -> AsyncIterator[tuple[RawDialler, LinkServicer]]:
    servicer = LinkServicer(origin, limits)
    async with served(servicer.handlers()) as address, channels.dial(address) as channel:
        yield RawDialler(channel), servicer


HELLO = origin_pb2.LinkItem(hello=origin_pb2.LinkHello(node=EDGE.name, incarnation=EDGE.incarnation))


def subscribe(handle: int, app: str = "live", name: str = "cam0", after: bytes = b"") -> origin_pb2.LinkItem:
    item = origin_pb2.LinkItem(handle=handle, open_subscription=origin_pb2.OpenSubscription(app=app, name=name))
    if after:
        item.open_subscription.after.publication = after
    return item


@pytest.mark.parametrize("backlog", [0, 40])
async def test_a_dialler_that_falls_silent_is_given_up_on_time(backlog: int) -> None:
    origin = FakeOrigin()
    for seq in range(backlog):  # more than the window of the connection takes: the writer waits
        origin.group().append(run(seq, 1, size=1 << 20))
    async with raw(SILENT, origin) as (dialler, servicer):
        await dialler.send(HELLO, subscribe(1))
        await eventually(lambda: bool(origin.group().subscriptions))
        start = asyncio.get_running_loop().time()
        await eventually(lambda: origin.group().ended == [LINK_LOST])
        assert asyncio.get_running_loop().time() - start < 2 * SILENT.dead_s
        assert servicer.sessions == []


async def test_a_slow_receiver_costs_the_ring_and_no_more_and_hears_of_the_hole(monkeypatch: pytest.MonkeyPatch) -> None:
    # without the probe HTTP/2's window stays as it began; with it a slow moment of the machine widens it by megabytes
    monkeypatch.setattr("lalmesh.runtime.channels.OPTIONS", (*OPTIONS, ("grpc.http2.bdp_probe", 0)))
    origin = FakeOrigin(RingLimits(max_units=30))
    limits = LinkLimits(dead_s=30)
    async with raw(limits, origin, Channels(KEYS)) as (dialler, servicer):
        await dialler.send(HELLO, subscribe(1))
        await eventually(lambda: bool(origin.group().subscriptions))
        (session,) = servicer.sessions
        origin.group().append(run(0, 1, size=200_000))
        await eventually(lambda: session.counters.payload_bytes_sent > 0)  # it has joined: what it does not get now is a hole
        for seq in range(1, 400):
            origin.group().append(run(seq, 1, size=200_000))
            await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        assert session.counters.payload_bytes_sent < 1_000_000  # of 80 MB: what the connection itself takes in
        assert origin.group().ring.payload_bytes <= 30 * 200_000
        last, passed_over = -1, 0
        while last < 399:
            for item in await dialler.items():
                if item.WhichOneof("item") == "run":
                    assert item.run.first_seq == last + 1 + item.run.missing
                    assert not item.run.missing or item.run.first_seq % KEY_EACH == 0
                    passed_over += item.run.missing
                    last = item.run.first_seq + len(item.run.units) - 1
        assert passed_over > 300


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        ([subscribe(1)], "before its hello"),
        ([HELLO, HELLO], "second hello"),
        ([HELLO, subscribe(2), subscribe(2)], "handle 2 after 2"),
        ([HELLO, subscribe(2), subscribe(1)], "handle 1 after 2"),
        ([HELLO, origin_pb2.LinkItem(handle=1, subscription_opened=origin_pb2.SubscriptionOpened())], "dialler sent"),
        ([HELLO, origin_pb2.LinkItem(handle=1)], "dialler sent None"),
        ([origin_pb2.LinkItem(hello=origin_pb2.LinkHello(node="edge"))], "incarnation"),
    ],
)
async def test_a_dialler_that_breaks_the_protocol_is_told_and_cut_off(items: list[origin_pb2.LinkItem], reason: str) -> None:
    origin = FakeOrigin()
    async with raw(LIMITS, origin) as (dialler, servicer):
        await dialler.send(*items)
        with contextlib.suppress(grpc.aio.AioRpcError):  # what had been answered before comes first
            while isinstance(await dialler.call.read(), origin_pb2.LinkBatch):
                pass
        assert await dialler.call.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert reason in str(await dialler.call.details())
        await eventually(lambda: not servicer.sessions)
        assert origin.group().subscriptions == []


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (subscribe(1, name="a/b"), CloseReason.NOT_FOUND),
        (subscribe(1, app=".."), CloseReason.NOT_FOUND),
        (subscribe(1, after=b"short"), CloseReason.NOT_FOUND),
        (origin_pb2.LinkItem(handle=1, open_publication=origin_pb2.OpenPublication()), CloseReason.BAD_GRANT),
    ],
)
async def test_an_open_that_cannot_be_is_refused_alone(item: origin_pb2.LinkItem, reason: CloseReason) -> None:
    async with raw(LIMITS, FakeOrigin()) as (dialler, _):
        await dialler.send(HELLO, item, subscribe(2))
        answers = await dialler.items()
        assert [answer.handle for answer in answers] == [1, 2]
        assert (answers[0].closed.reason, answers[1].WhichOneof("item")) == (reason.value, "subscription_opened")


async def test_an_origin_that_breaks_the_protocol_loses_the_link() -> None:
    async def odd(_requests: Any, context: Any) -> None:
        await context.write(origin_pb2.LinkBatch(items=[origin_pb2.LinkItem(open_subscription=origin_pb2.OpenSubscription())]))
        await asyncio.Event().wait()

    async with served(method(odd)) as address, dialled(address) as pool:
        reader = FakeReader(pool.link(address))
        await eventually(lambda: reader.closed is not None)
        assert reader.closed == (LINK_LOST, "origin sent open_subscription")


async def test_what_only_a_newer_origin_knows_is_passed_over() -> None:
    async def newer(requests: Any, context: Any) -> None:
        async for _ in requests:
            await context.write(origin_pb2.LinkBatch(items=[origin_pb2.LinkItem(handle=1)]))
            ended = origin_pb2.LinkItem(handle=1)
            ended.closed.reason = CloseReason.STREAM_ENDED.value  # type: ignore[assignment]
            await context.write(origin_pb2.LinkBatch(items=[ended]))
            await asyncio.Event().wait()

    async with served(method(newer)) as address, dialled(address) as pool:
        reader = FakeReader(pool.link(address))
        await eventually(lambda: reader.closed is not None)
        assert reader.closed == (CloseReason.STREAM_ENDED, "")


async def closes_for_a_new_reason(requests: Any, context: Any) -> None:
    """An origin of a later version, which closes what is opened first for a reason that is not known here."""
    async for _ in requests:
        item = origin_pb2.LinkItem(handle=1)
        item.closed.reason = 99  # type: ignore[assignment]
        await context.write(origin_pb2.LinkBatch(items=[item]))
        await asyncio.Event().wait()


async def test_a_close_reason_of_a_newer_version_does_not_say_that_an_origin_has_all_of_a_publication() -> None:
    async with served(method(closes_for_a_new_reason)) as address, dialled(address) as pool:
        publisher = FakePublisher(pool.link(address))
        await eventually(lambda: publisher.closed == (CloseReason.LIMIT, ""))


async def test_an_origin_of_an_earlier_version_need_not_say_that_it_has_all() -> None:
    async def older(requests: Any, context: Any) -> None:
        async for _ in requests:
            opened = origin_pb2.LinkItem(handle=1)
            opened.publication_opened.place.revision = 1
            await context.write(origin_pb2.LinkBatch(items=[opened]))
            await asyncio.Event().wait()

    async with served(method(older)) as address, dialled(address) as pool:
        link = pool.link(address)
        assert isinstance(link, GrpcLink)
        publisher = FakePublisher(link)
        await eventually(lambda: publisher.opened is not None)
        publisher.outlet.close(CloseReason.DONE)
        await eventually(lambda: publisher.closed == (CloseReason.DONE, ""))
        assert link._publications == {}


async def test_a_close_reason_of_a_newer_version_counts_as_done() -> None:
    async with served(method(closes_for_a_new_reason)) as address, dialled(address) as pool:
        reader = FakeReader(pool.link(address))
        await eventually(lambda: reader.closed is not None)
        assert reader.closed == (CloseReason.DONE, "")


async def test_requests_travel_whole() -> None:
    async with linked() as pair:
        publisher = pair.publisher(3)
        reader = pair.reader(4, UnitName(PUBLICATION, 9))
        await eventually(lambda: reader.opened is not None)
        asked = {type(request): request for request in pair.origin.requests}
        publication = asked[PublicationRequest]
        assert isinstance(publication, PublicationRequest)
        assert publication.grant.stream == stream(3)
        assert (publication.take_over_as_heir, publication.replay_s, publisher.closed) == (False, 1.5, None)
        assert pair.origin.requests[1].stream == stream(4)  # type: ignore[union-attr]
        assert pair.origin.requests[1].after == UnitName(PUBLICATION, 9)  # type: ignore[union-attr]
