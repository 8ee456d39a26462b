"""Who segments what, by the service over the registry in memory, whose clock the test turns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from support.turned_clock import Clock, FlakyRegistry, RestoredRegistry

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch, HlsOwner, NodeAddress, NodeId
from lalmesh.runtime.registry import Delete
from lalmesh.runtime.scheduling import (
    Claim,
    Endpoint,
    HeldStream,
    HlsAssigned,
    HlsEndpoint,
    HlsLimit,
    HlsReleased,
    HlsSchedulerClient,
    HlsWanted,
    Joined,
    NodeCommand,
    NodeReport,
    RecordingRules,
    Refusal,
    Refused,
    Role,
)
from lalmesh.runtime.sessions import SessionTouch
from services.scheduler import SchedulerService
from services.scheduler.forgotten import GIVEN_UP_REPORTS, GIVEN_UP_S
from services.scheduler.hls_records import hls_key
from services.scheduler.records import claim_key, group_key
from services.scheduler.registry import MemoryRegistry

CAM = StreamKey.of("live", "cam")
TERM = 1_700_000_000
SOON_S = 5.0


def address(name: str) -> NodeAddress:
    return NodeAddress(NodeId(name, name.encode().ljust(8, b".")), f"{name}:1")


class Node:
    """A member whose commands are kept as they come; every report is the test's."""

    def __init__(self, name: str, role: Role) -> None:
        self.address, self.role = address(name), role
        self.commands: list[NodeCommand] = []
        self._reports: asyncio.Queue[NodeReport | None] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def join(self, service: SchedulerService, *held: HeldStream) -> Node:
        self._task = asyncio.create_task(self._listen(service))
        await self.report(*held)
        return self

    async def report(self, *held: HeldStream, draining: bool = False) -> None:
        endpoints = (Endpoint("https", "host", 1), Endpoint("http", self.address.node.name, 8081))
        self._reports.put_nowait(
            NodeReport(node=self.address, role=self.role, endpoints=endpoints, streams=held, draining=draining)
        )
        await settle()

    async def vanish(self) -> None:
        self._reports.put_nowait(None)
        await settle()

    def told(self) -> list[NodeCommand]:
        """What it was told since the last time, but answers."""
        told: list[NodeCommand] = [command for command in self.commands if not isinstance(command, Joined | RecordingRules)]
        self.commands.clear()
        return told

    async def _listen(self, service: SchedulerService) -> None:
        async for command in service.join(self._sent()):
            self.commands.append(command)

    async def _sent(self) -> AsyncIterator[NodeReport]:
        while (report := await self._reports.get()) is not None:
            yield report


async def settle() -> None:
    """Let everything happen that waits for nothing but its turn."""
    for _ in range(100):
        await asyncio.sleep(0)


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(round(SOON_S / 0.01)):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"did not come true in {SOON_S} s")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry(clock: Clock) -> FlakyRegistry:
    return FlakyRegistry(clock)


async def started(registry: MemoryRegistry, clock: Clock, *, always: bool = False) -> SchedulerService:
    made = SchedulerService(registry, [b"key"], clock=clock, wall_clock=lambda: TERM + 0.9, rejoin_s=0.1, hls_always=always)
    await made.start()
    await made.ready()
    await Node("o1", Role.ORIGIN).join(made)
    await Node("e1", Role.EDGE).join(made)
    return made


@pytest.fixture
async def service(registry: FlakyRegistry, clock: Clock) -> AsyncIterator[SchedulerService]:
    made = await started(registry, clock)
    yield made
    await made.stop()


async def publish(service: SchedulerService, stream: StreamKey = CAM) -> None:
    await service.claim(address("e1"), [Claim(stream=stream, publication=b"p" * 16)], SOON_S)


async def located(client: HlsSchedulerClient, after: Epoch | None = None) -> HlsOwner:
    (owner,) = await client.locate_hls(address("h1"), [HlsWanted(CAM, after)], SOON_S)
    assert isinstance(owner, HlsOwner), owner
    owner.verify((b"key",))
    return owner


async def refusal(client: HlsSchedulerClient) -> Refusal:
    (refused,) = await client.locate_hls(address("h1"), [HlsWanted(CAM)], SOON_S)
    assert isinstance(refused, Refused), refused
    return refused.refusal


async def test_the_first_who_asks_has_a_worker_named_and_all_others_get_the_same(service: SchedulerService) -> None:
    first, second = await Node("h1", Role.HLS).join(service), await Node("h2", Role.HLS).join(service)
    assert await refusal(service) is Refusal.NOT_FOUND
    await publish(service)
    owner = await located(service)
    assert await located(service) == await located(service, owner.epoch) == owner
    assert owner.epoch.term == TERM
    await settle()
    told = {node.address: node.told() for node in (first, second)}
    assert told.pop(owner.worker) == [HlsAssigned(owner)]
    assert list(told.values()) == [[]]


async def test_who_shows_an_epoch_from_before_the_registry_was_restored_gets_an_owner_above_it(service: SchedulerService) -> None:
    node = await Node("h1", Role.HLS).join(service)
    await publish(service)
    owner = await located(service)
    forgotten = Epoch(owner.epoch.term + 1, owner.epoch.revision + 9)
    above = await located(service, forgotten)
    assert above.epoch > forgotten
    assert await located(service) == above
    await settle()
    assert node.told()[-1] == HlsAssigned(above)


async def test_an_owner_that_was_named_in_a_store_that_has_gone_back_is_taken_back_and_the_term_raised(clock: Clock) -> None:
    registry = RestoredRegistry(clock)
    service = await started(registry, clock)
    await Node("h1", Role.HLS).join(service)
    await publish(service)
    snapshot = registry.snapshot()
    for name in ("one", "other"):
        await publish(service, StreamKey.of("live", name))
    registry.restore(snapshot)  # which the view has not heard of
    assert await refusal(service) is Refusal.UNAVAILABLE
    assert (await registry.get(hls_key(CAM)))[0] is None
    await until(lambda: service.directory.term is not None and service.directory.term.term > TERM)
    await service.stop()


async def test_without_an_hls_node_there_is_no_worker(service: SchedulerService) -> None:
    await publish(service)
    assert await refusal(service) is Refusal.NO_WORKER


async def test_streams_that_no_hls_node_could_be_given_are_counted_until_one_is_there(
    registry: FlakyRegistry, clock: Clock
) -> None:
    service = await started(registry, clock, always=True)

    def waiting() -> float | None:
        return service.metrics.registry.get_sample_value("scheduler_hls_waiting_streams")

    assert waiting() == 0
    await publish(service)
    await until(lambda: waiting() == 1)
    await Node("h1", Role.HLS).join(service)
    await until(lambda: waiting() == 0)
    await service.stop()


async def test_a_stream_that_has_lost_its_hls_node_and_has_another_publisher_is_counted_once(
    registry: FlakyRegistry, clock: Clock
) -> None:
    service = await started(registry, clock, always=True)
    node = await Node("h1", Role.HLS).join(service)
    await publish(service)
    await until(lambda: bool(node.told()))
    await node.vanish()
    clock.now += 0.2
    metrics = service.metrics.registry
    await until(lambda: metrics.get_sample_value("scheduler_hls_waiting_streams") == 1)
    await service.claim(address("e1"), [Claim(stream=CAM, publication=b"q" * 16, take_over=True)], SOON_S)
    await settle()
    assert metrics.get_sample_value("scheduler_hls_waiting_streams") == 1
    await service.stop()


async def test_raising_the_limit_keeps_the_epoch_and_is_no_news(service: SchedulerService) -> None:
    node = await Node("h1", Role.HLS).join(service)
    await publish(service)
    owner = await located(service)
    await settle()
    node.told()
    limits = [HlsLimit(CAM, owner.epoch, 20), HlsLimit(CAM, Epoch(1, 1), 99)]
    assert await service.raise_hls_limit(node.address, limits, SOON_S) == [True, False]
    assert await service.raise_hls_limit(address("h2"), limits[:1], SOON_S) == [False]
    now = await located(service)
    assert (now.epoch, now.limit, now.exact) == (owner.epoch, 20, False)
    await settle()
    assert node.told() == []


async def test_the_next_owner_goes_on_at_the_number_that_was_handed_over(
    service: SchedulerService, registry: FlakyRegistry, clock: Clock
) -> None:
    await Node("h1", Role.HLS).join(service)
    await publish(service)
    owner = await located(service)
    released = [HlsReleased(CAM, owner.epoch, 17)]
    assert await service.release_hls(owner.worker, released, SOON_S) == [True]
    assert await service.release_hls(owner.worker, released, SOON_S) == [False]
    entry, _ = await registry.get(hls_key(CAM))
    assert entry is not None
    assert entry.lease_id
    again = await located(service)
    assert (again.limit, again.exact) == (17, True)
    assert again.epoch > owner.epoch
    assert not await registry.renew_lease(entry.lease_id)  # ended with the rest


async def test_the_numbers_of_a_stream_are_forgotten_in_time(
    service: SchedulerService, registry: FlakyRegistry, clock: Clock
) -> None:
    await Node("h1", Role.HLS).join(service)
    await publish(service)
    owner = await located(service)
    await service.release_hls(owner.worker, [HlsReleased(CAM, owner.epoch, 17)], SOON_S)
    clock.now += 86_401
    registry.expire()
    assert (await registry.get(hls_key(CAM)))[0] is None


async def test_a_dead_owner_has_a_successor_though_nobody_asks(service: SchedulerService, clock: Clock) -> None:
    nodes = {name: await Node(name, Role.HLS).join(service) for name in ("h1", "h2")}
    await publish(service)
    before = await located(service)
    await service.raise_hls_limit(before.worker, [HlsLimit(CAM, before.epoch, 20)], SOON_S)
    dead = nodes.pop(before.worker.node.name)
    (other,) = nodes.values()
    await dead.vanish()
    assert (await located(service)).epoch == before.epoch  # it may come back
    clock.now += 0.2
    await until(lambda: bool(other.told()))
    after = await located(service, before.epoch)
    assert (after.worker, after.limit, after.exact) == (other.address, 20, False)
    assert await service.raise_hls_limit(before.worker, [HlsLimit(CAM, before.epoch, 40)], SOON_S) == [False]
    await dead.join(service, HeldStream(stream=CAM, epoch=before.epoch))
    assert HlsAssigned(after) in dead.told()  # so it learns that it lost it


async def test_every_hls_node_hears_of_another_owner_and_of_a_first_one_only_that_one(
    service: SchedulerService, clock: Clock
) -> None:
    nodes = {name: await Node(name, Role.HLS).join(service) for name in ("h1", "h2", "h3")}
    await publish(service)
    before = await located(service)
    await settle()
    assert {name for name, node in nodes.items() if node.told()} == {before.worker.node.name}
    await nodes.pop(before.worker.node.name).vanish()
    clock.now += 0.2
    await until(lambda: all(node.commands for node in nodes.values()))
    after = await located(service, before.epoch)
    assert [node.told() for node in nodes.values()] == [[HlsAssigned(after)]] * 2


async def test_a_succession_waits_for_a_registry_that_is_away(
    service: SchedulerService, registry: FlakyRegistry, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    nodes = {name: await Node(name, Role.HLS).join(service) for name in ("h1", "h2")}
    await publish(service)
    before = await located(service)
    registry.is_down = True
    await nodes.pop(before.worker.node.name).vanish()
    clock.now += 0.2
    (other,) = nodes.values()
    await until(lambda: "1 streams have no segmenter yet: down" in caplog.text)
    registry.is_down = False
    await until(lambda: bool(other.told()))
    assert (await located(service)).epoch > before.epoch


async def test_a_dead_owner_of_a_stream_that_has_ended_is_put_to_rest(
    service: SchedulerService, registry: FlakyRegistry, clock: Clock
) -> None:
    node = await Node("h1", Role.HLS).join(service)
    await publish(service)
    owner = await located(service)
    await registry.transact([], [Delete(claim_key(CAM)), Delete(group_key(CAM))])
    await node.vanish()
    clock.now += 0.2
    await until(lambda: (record := service.directory.hls.record(CAM)) is not None and record.owner is None)
    record = service.directory.hls.record(CAM)
    assert record is not None
    assert (record.epoch, record.exact, bool(record.lease_id)) == (owner.epoch, False, True)


async def test_an_owner_that_comes_back_in_time_keeps_its_streams_and_hears_of_them(service: SchedulerService) -> None:
    node = await Node("h1", Role.HLS).join(service)
    await publish(service)
    owner = await located(service)
    await node.vanish()
    node.told()
    await node.join(service)
    assert node.told() == [HlsAssigned(owner)]
    assert await located(service, owner.epoch) == owner


async def test_always_gives_every_claimed_stream_to_a_worker_as_soon_as_there_is_one(registry: FlakyRegistry, clock: Clock) -> None:
    service = await started(registry, clock, always=True)
    await publish(service)
    await settle()
    assert service.directory.hls.record(CAM) is None
    node = await Node("h1", Role.HLS).join(service)
    await until(lambda: service.directory.hls.record(CAM) is not None)
    await publish(service, StreamKey.of("live", "second"))
    await until(lambda: len(node.told()) == 1 or len(service.directory.hls.owned(node.address.node)) == 2)
    owner = await located(service)
    second = await Node("h2", Role.HLS).join(service)
    await node.report(draining=True)
    await service.release_hls(owner.worker, [HlsReleased(CAM, owner.epoch, 3)], SOON_S)
    await until(lambda: CAM in service.directory.hls.owned(second.address.node))
    assert (await located(service)).exact
    await service.stop()


async def test_without_the_registry_who_is_known_is_told_and_nothing_is_decided(
    service: SchedulerService, registry: FlakyRegistry
) -> None:
    await Node("h1", Role.HLS).join(service)
    await publish(service)
    owner = await located(service)
    registry.is_down = True
    assert await located(service) == owner
    (refused,) = await service.locate_hls(address("h1"), [HlsWanted(CAM, owner.epoch)], SOON_S)
    assert isinstance(refused, Refused)
    assert refused.refusal is Refusal.UNAVAILABLE
    with pytest.raises(Unavailable):
        await service.raise_hls_limit(owner.worker, [HlsLimit(CAM, owner.epoch, 20)], SOON_S)
    with pytest.raises(Unavailable):
        await service.release_hls(owner.worker, [HlsReleased(CAM, owner.epoch, 20)], SOON_S)


async def test_edges_hear_where_hls_nodes_answer_and_nobody_else_does(service: SchedulerService) -> None:
    hls, edge = await Node("h1", Role.HLS).join(service), await Node("e2", Role.EDGE).join(service)
    await edge.report()
    expected = (HlsEndpoint("h1", "h1", 8081),)
    assert edge.commands[-1] == Joined(TERM, expected)
    assert hls.commands[-1] == Joined(TERM)
    await Node("h2", Role.HLS).join(service)
    await hls.report(draining=True)
    await edge.report()
    assert edge.commands[-1] == Joined(TERM, (HlsEndpoint("h2", "h2", 8081),))


async def test_players_are_counted_by_stream(service: SchedulerService) -> None:
    touches = [SessionTouch(id=str(number), stream=CAM) for number in range(3)]
    await service.touch_sessions(address("h1"), touches, SOON_S)
    assert await service.count_sessions([CAM, StreamKey.of("live", "none")]) == [3, 0]


async def test_what_a_node_segments_and_the_registry_has_forgotten_is_written_down_again(
    service: SchedulerService, registry: FlakyRegistry
) -> None:
    node = await Node("h1", Role.HLS).join(service)
    await publish(service)
    owner = await located(service)
    held = HeldStream(stream=CAM, epoch=owner.epoch)
    await node.report(held)
    await registry.transact([], [Delete(hls_key(CAM))])
    await settle()
    await node.report(held)
    assert service.directory.hls.record(CAM) is None  # the view may only be late
    await node.report(held)
    record = service.directory.hls.record(CAM)
    assert record is not None
    assert (record.owner, record.epoch) == (address("h1"), owner.epoch)


async def test_what_a_node_was_named_for_and_does_not_segment_is_given_to_somebody_anew(
    registry: FlakyRegistry, clock: Clock
) -> None:
    service = await started(registry, clock, always=True)
    node = await Node("h1", Role.HLS).join(service)
    await publish(service)
    await until(lambda: service.directory.hls.record(CAM) is not None)
    before = await located(service)
    for _ in range(GIVEN_UP_REPORTS):
        assert (await located(service)).epoch == before.epoch
        clock.now += GIVEN_UP_S / (GIVEN_UP_REPORTS - 1)  # the others' leases live on
        await node.report()
    await until(lambda: (record := service.directory.hls.record(CAM)) is not None and record.epoch > before.epoch)
    after = await located(service)
    assert (after.worker, after.limit) == (before.worker, before.limit)
    assert [command.owner.epoch for command in node.told() if isinstance(command, HlsAssigned)] == [before.epoch, after.epoch]
    await service.stop()
