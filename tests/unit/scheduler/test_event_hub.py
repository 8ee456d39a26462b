"""Shards of events over the replicas that there are, and the order of what they tell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.reporting import settle
from support.turned_clock import FlakyRegistry
from support.virtual_time import in_virtual_time

from lalmesh.names import StreamKey
from lalmesh.runtime.event_kinds import EventKind
from lalmesh.runtime.event_log import BEGINNING, SHARDS, EventBounds
from lalmesh.runtime.events import Event, event_id
from lalmesh.runtime.notify import Receiver
from lalmesh.runtime.ownership import NodeAddress, NodeId
from lalmesh.runtime.registry import FollowEvent, Put, Registry, RegistryUnavailable
from lalmesh.runtime.scheduling import Role
from services.scheduler import SchedulerService
from services.scheduler.cluster_records import scheduler_key
from services.scheduler.event_hub import EventHub, HubSettings
from services.scheduler.events import MemoryEventLog
from services.scheduler.notifying import DeliverySettings, Message
from services.scheduler.records import NodeRecord, node_key, serialize_node
from services.scheduler.shard_duties import share_of

STREAMS = 40
NODE = b"\1" * 8  #: that tells
RECEIVER = Receiver(name="bill", url="http://x/", urls={EventKind.UPDATE: "http://x/"})


class SharedLog(MemoryEventLog):
    """One that all replicas read, as they do Redis."""

    is_shared = True

    def empty(self) -> None:
        """Be a Redis that came back with nothing: counts begin at 0 again."""
        fresh = SharedLog(wall_clock=self._wall_clock)
        fresh._changed = self._changed  # those who wait go on to
        self.__dict__.update(fresh.__dict__)


class Sink:
    """Takes everything, after a moment, but what begins as `away` says."""

    away: tuple[str, ...] = ()

    def __init__(self, name: str, taken: list[tuple[str, str]]) -> None:
        self._name = name
        self._taken = taken

    async def send(self, receiver: Receiver, url: str, event_id: str, message: Message, attempt: int) -> None:
        while event_id.startswith(self.away):  # noqa: ASYNC110 - time is virtual
            await asyncio.sleep(1)
        self._taken.append((self._name, event_id))
        await asyncio.sleep(0.3)

    async def close(self) -> None:
        pass


class Cut:
    """The way of one replica to a registry that is there for the others.

    Nothing is answered while it `is_cut`, and nothing is heard of changes while it is that or `is_deaf`.
    """

    def __init__(self, registry: Registry) -> None:
        self.is_cut = False
        self.is_deaf = False
        self._registry = registry

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def ask(*args: Any) -> Any:
            if self.is_cut:
                raise RegistryUnavailable("cut off", retry_after_s=0.5)
            return await getattr(self._registry, name)(*args)

        return ask

    async def follow(self, prefix: str) -> AsyncIterator[FollowEvent]:
        async for event in self._registry.follow(prefix):
            while self.is_cut or self.is_deaf:  # noqa: ASYNC110 - time is virtual
                await asyncio.sleep(0.5)
            yield event


class World:
    """Replicas that tell of one log."""

    def __init__(self, stack: AsyncExitStack) -> None:
        loop = asyncio.get_running_loop()
        self.log = SharedLog(wall_clock=loop.time)
        self.registry = FlakyRegistry(loop.time)
        self.taken: list[tuple[str, str]] = []  #: replica and event
        self.sent: dict[StreamKey, list[str]] = {}
        self.updates = 0
        self._stack = stack

    async def replica(self, name: str, way: Cut | None = None, *, listens: bool = True) -> tuple[SchedulerService, EventHub]:
        time = asyncio.get_running_loop().time
        service = SchedulerService(cast(Registry, way or self.registry), [b"key"], name=name, clock=time, wall_clock=time)
        settings = HubSettings(delivery=DeliverySettings(receivers=(RECEIVER,)))
        hub = EventHub(service, self.log, lambda: Sink(name, self.taken), settings, name, groups=self.groups, wall_clock=time)
        service.control.parts.append(hub)
        await service.start()
        self._stack.push_async_callback(service.stop)
        if listens:
            hub.started({})
        await settle()
        return service, hub

    async def groups(self) -> list[dict[str, object]]:
        self.updates += 1
        return []

    def told(self) -> int:
        """Events of `tell` that receivers took."""
        return sum(event.startswith(NODE.hex()) for _, event in self.taken)

    async def tell(self, number: int) -> None:
        for stream_number in range(STREAMS):
            stream = StreamKey.of("live", f"cam{stream_number}")
            event = Event(id=event_id(NODE, number * STREAMS + stream_number), kind="alarm", at_us=0, node="edge", stream=stream)
            self.sent.setdefault(stream, []).append(event.id)
            await self.log.append([event])

    def first_told(self, stream: StreamKey) -> list[str]:
        """The events of a stream as a receiver has them that passes over ids which it has seen."""
        wanted = set(self.sent[stream])
        return list(dict.fromkeys(told for _, told in self.taken if told in wanted))


@given(st.integers(1, 40), st.integers(0, 64))
def test_shares_are_even_and_leave_nothing_out(replicas: int, duties: int) -> None:
    keys = [f"replica-{number}" for number in range(replicas)]
    shares = [share_of(key, keys, duties) for key in keys]
    assert sum(shares) == duties
    assert max(shares) - min(shares) <= 1


@in_virtual_time
async def test_a_replica_that_joins_gets_its_share_and_order_holds() -> None:
    async with AsyncExitStack() as stack:
        world = World(stack)
        _, first = await world.replica("s1")
        await asyncio.sleep(30)
        assert first.deliveries.shards == list(range(SHARDS))
        hubs = [first]
        for number in range(1, 61):
            await world.tell(number)
            await asyncio.sleep(0.4)
            if number in (10, 20):
                hubs.append((await world.replica(f"s{number}"))[1])
        await asyncio.sleep(60)
        assert sorted(shard for hub in hubs for shard in hub.deliveries.shards) == list(range(SHARDS))
        assert sorted(len(hub.deliveries.shards) for hub in hubs) == [5, 5, 6]
        assert {name for name, _ in world.taken} == {"s1", "s10", "s20"}
        assert all(world.first_told(stream) == told for stream, told in world.sent.items())


@in_virtual_time
async def test_what_a_replica_that_died_had_is_shared_by_the_others() -> None:
    async with AsyncExitStack() as stack:
        world = World(stack)
        _, first = await world.replica("s1")
        await asyncio.sleep(30)
        service, second = await world.replica("s2")
        await asyncio.sleep(30)
        assert (len(first.deliveries.shards), len(second.deliveries.shards)) == (8, 8)
        await service.stop()
        await asyncio.sleep(30)
        assert (len(first.deliveries.shards), len(second.deliveries.shards)) == (16, 0)


@in_virtual_time
async def test_bounds_of_the_log_change_while_it_runs_and_what_goes_is_counted() -> None:
    async with AsyncExitStack() as stack:
        world = World(stack)
        service, hub = await world.replica("s1")
        hub.take(replace(hub.settings, bounds=EventBounds(shard_events=3)))
        for number in range(1, 6):
            await world.tell(number)
        held = [len((await world.log.read([shard], BEGINNING, 100)).events) for shard in range(SHARDS)]
        assert max(held) == 3
        await asyncio.sleep(1)
        counted = service.metrics.registry.get_sample_value("scheduler_event_log_dropped_total")
        assert counted == sum(await world.log.counts()) - sum(held)


@in_virtual_time
async def test_a_replica_that_is_cut_off_leaves_what_it_had_to_the_others() -> None:
    async with AsyncExitStack() as stack:
        world = World(stack)
        way = Cut(world.registry)
        _, first = await world.replica("s1", way)
        await asyncio.sleep(30)
        _, second = await world.replica("s2")
        await asyncio.sleep(30)
        way.is_cut = True
        for number in range(1, 21):
            await world.tell(number)
            await asyncio.sleep(1)
            assert not set(first.deliveries.shards) & set(second.deliveries.shards)
        assert (len(first.deliveries.shards), len(second.deliveries.shards)) == (0, 16)
        way.is_cut = False
        for number in range(21, 41):
            await world.tell(number)
            await asyncio.sleep(1)
            assert not set(first.deliveries.shards) & set(second.deliveries.shards)
        await asyncio.sleep(30)
        assert (len(first.deliveries.shards), len(second.deliveries.shards)) == (8, 8)
        assert all(world.first_told(stream) == told for stream, told in world.sent.items())


@in_virtual_time
async def test_the_only_replica_goes_on_while_the_registry_is_away() -> None:
    async with AsyncExitStack() as stack:
        world = World(stack)
        way = Cut(world.registry)
        _, first = await world.replica("s1", way)
        await asyncio.sleep(30)
        way.is_cut = True
        await asyncio.sleep(60)
        assert first.deliveries.shards == list(range(SHARDS))


@in_virtual_time
async def test_sessions_of_a_node_that_a_replica_has_not_heard_of_are_not_over() -> None:
    async with AsyncExitStack() as stack:
        world = World(stack)
        way = Cut(world.registry)
        service, _ = await world.replica("s1", way)
        await asyncio.sleep(30)
        edge = NodeAddress(NodeId("edge", NODE), "edge:1")
        way.is_deaf = True
        lease_id = await world.registry.grant_lease(1000)
        record = NodeRecord(address=edge, role=Role.EDGE, machine="m", lease_id=lease_id)
        await world.registry.transact([], [Put(node_key("edge"), serialize_node(record), lease_id)])
        cam, facts = StreamKey.of("live", "cam"), {"session_id": "p1"}
        await world.log.append([Event(id=event_id(NODE, 1), kind="pub_start", at_us=1, node="edge", stream=cam, facts=facts)])
        await asyncio.sleep(30)
        assert service.directory.node(edge.node) is None
        assert await world.log.incarnations() == {NODE.hex()}
        await world.registry.revoke_lease(lease_id)
        await asyncio.sleep(30)
        assert await world.log.incarnations() == set()


@in_virtual_time
async def test_a_replica_that_delivers_nothing_is_left_nothing() -> None:
    async with AsyncExitStack() as stack:
        world = World(stack)
        _, first = await world.replica("s1")
        other = Put(scheduler_key("s2", b"12345678"), b"{}", await world.registry.grant_lease(1000))
        await world.registry.transact([], [other])
        await asyncio.sleep(30)
        assert len(first.deliveries.shards) == SHARDS


@in_virtual_time
async def test_receivers_that_change_are_told_where_they_were_and_new_ones_from_now_on() -> None:
    async with AsyncExitStack() as stack:
        world = World(stack)
        _, hub = await world.replica("s1")
        await asyncio.sleep(30)
        await world.tell(1)
        await asyncio.sleep(20)
        assert world.told() == STREAMS
        another = replace(RECEIVER, name="anne", url="http://y/")
        hub.take(HubSettings(delivery=DeliverySettings(receivers=(replace(RECEIVER, url="http://z/"), another))))
        await asyncio.sleep(1)
        await world.tell(2)
        await asyncio.sleep(20)
        assert world.told() == 3 * STREAMS
        hub.take(HubSettings())
        await asyncio.sleep(1)
        await world.tell(3)
        await asyncio.sleep(20)
        assert world.told() == 3 * STREAMS


@in_virtual_time
async def test_a_receiver_that_is_no_more_has_no_backlog(monkeypatch: pytest.MonkeyPatch) -> None:
    async with AsyncExitStack() as stack:
        world = World(stack)
        service, hub = await world.replica("s1")
        await asyncio.sleep(30)
        monkeypatch.setattr(Sink, "away", (NODE.hex(),))
        await world.tell(1)
        await asyncio.sleep(20)
        backlog = [("scheduler_webhook_backlog", {"receiver": name}) for name in ("bill", "anne")]
        assert [service.metrics.registry.get_sample_value(*each) for each in backlog] == [STREAMS, None]
        hub.take(HubSettings(delivery=DeliverySettings(receivers=(replace(RECEIVER, name="anne"),))))
        await asyncio.sleep(20)
        assert [service.metrics.registry.get_sample_value(*each) for each in backlog] == [None, 0]


@in_virtual_time
async def test_updates_come_once_or_each_interval_as_it_is_now() -> None:
    async with AsyncExitStack() as stack:
        world = World(stack)
        _, hub = await world.replica("s1")
        await asyncio.sleep(60)
        assert world.updates == 1
        hub.take(replace(hub.settings, update_interval_s=5.0))
        await asyncio.sleep(21)
        assert world.updates == 6


@in_virtual_time
async def test_receivers_hear_that_a_process_has_started_before_they_hear_of_its_streams() -> None:
    async with AsyncExitStack() as stack:
        world = World(stack)
        _, hub = await world.replica("s1", listens=False)
        await asyncio.sleep(1)
        assert world.updates == 0
        hub.started({})
        await asyncio.sleep(5)
        own = hub.outbox.node.incarnation
        told = [event for _, event in world.taken if event.startswith(own.hex())]
        assert (world.updates, told) == (1, [event_id(own, 1), event_id(own, 2)])


@in_virtual_time
async def test_who_embeds_a_scheduler_and_never_says_that_it_listens_is_told_of_streams_all_the_same() -> None:
    async with AsyncExitStack() as stack:
        world = World(stack)
        await world.replica("s1", listens=False)
        await asyncio.sleep(5)
        assert world.updates == 1


@in_virtual_time
async def test_who_is_away_gets_no_more_updates_until_it_has_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    async with AsyncExitStack() as stack:
        world = World(stack)
        _, hub = await world.replica("s1")
        await asyncio.sleep(1)
        monkeypatch.setattr(Sink, "away", (hub.outbox.node.incarnation.hex(),))
        hub.take(replace(hub.settings, update_interval_s=5.0))
        await asyncio.sleep(120)
        assert world.updates == 2  # the first one was taken
        monkeypatch.undo()
        await asyncio.sleep(20)
        assert world.updates in (5, 6)


@in_virtual_time
async def test_updates_go_on_after_the_log_has_come_back_empty() -> None:
    async with AsyncExitStack() as stack:
        world = World(stack)
        _, hub = await world.replica("s1")
        await asyncio.sleep(30)
        hub.take(replace(hub.settings, update_interval_s=5.0))
        await asyncio.sleep(101)
        before = world.updates
        world.log.empty()
        await asyncio.sleep(60)
        assert world.updates == before + 12


@in_virtual_time
async def test_who_is_away_while_the_log_comes_back_empty_gets_one_update_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async with AsyncExitStack() as stack:
        world = World(stack)
        _, hub = await world.replica("s1")
        await asyncio.sleep(30)
        hub.take(replace(hub.settings, update_interval_s=5.0))
        await asyncio.sleep(101)
        before = world.updates
        monkeypatch.setattr(Sink, "away", (hub.outbox.node.incarnation.hex(),))
        world.log.empty()
        await asyncio.sleep(60)
        assert world.updates == before + 1
