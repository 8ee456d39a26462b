"""The service over the registry in memory, whose clock the test turns, and which fails when the test says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from unittest.mock import AsyncMock, Mock

import pytest
from support.reporting import SOON_S, Node, settle
from support.turned_clock import Clock, FlakyRegistry

from lalmesh.errors import RemoteProtocolError, Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.gathering import Gatherer
from lalmesh.runtime.ownership import Epoch, Grant, Location, NodeAddress, NodeId, Place
from lalmesh.runtime.registry import Delete, Put
from lalmesh.runtime.scheduling import (
    Capacity,
    Claim,
    Evicted,
    GroupMoved,
    HeldStream,
    Joined,
    Load,
    Membership,
    NodeCommand,
    NodeReport,
    Refusal,
    Refused,
    Released,
    Role,
    SchedulerClient,
    StreamFenced,
    Wanted,
)
from services.scheduler import SchedulerService
from services.scheduler.records import claim_key, group_key, node_key, parse_node
from services.scheduler.registrar import Registrar

CAM = StreamKey.of("live", "cam")
P1, P2 = b"1" * 16, b"2" * 16
ORIGIN = NodeAddress(NodeId("o1", b"origin.1"), "o1:1")
EDGE = NodeAddress(NodeId("e1", b"edge...1"), "e1:1")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry(clock: Clock) -> FlakyRegistry:
    return FlakyRegistry(clock)


@pytest.fixture
async def service(registry: FlakyRegistry, clock: Clock) -> AsyncIterator[SchedulerService]:
    made = SchedulerService(registry, [b"key"], clock=clock, wall_clock=lambda: 1_700_000_000.9)
    await made.start()
    await made.ready()
    yield made
    await made.stop()


@pytest.fixture
async def nodes(service: SchedulerService) -> tuple[Node, Node]:
    """An origin and an edge that have joined."""
    joined = Node(service, ORIGIN, Role.ORIGIN), Node(service, EDGE, Role.EDGE)
    for node in joined:
        assert await node.report() == Joined(1_700_000_000)
    return joined


async def claim(
    client: SchedulerClient, publication: bytes = P1, edge: NodeAddress = EDGE, stream: StreamKey = CAM
) -> Grant | Refused:
    return (await client.claim(edge, [Claim(stream=stream, publication=publication)], SOON_S))[0]


async def granted(client: SchedulerClient, publication: bytes = P1) -> Grant:
    result = await claim(client, publication)
    assert isinstance(result, Grant), result
    return result


def counted(service: SchedulerService, name: str, **labels: str) -> float:
    return service.metrics.registry.get_sample_value(name, labels) or 0.0


async def test_it_is_a_scheduler_client(service: SchedulerService, nodes: tuple[Node, Node]) -> None:
    client: SchedulerClient = service
    grant = await granted(client)
    grant.verify((b"key",))
    assert grant.epoch.term == 1_700_000_000
    assert counted(service, "scheduler_claims_total", result="granted") == 1


async def test_two_replicas_agree_on_one_term(service: SchedulerService, registry: FlakyRegistry) -> None:
    other = SchedulerService(registry, [b"key"], wall_clock=lambda: 9e9)
    await other.start()
    await other.ready()
    assert other.directory.term == service.directory.term
    await other.stop()


@pytest.mark.usefixtures("nodes")
async def test_a_claim_whose_answer_was_lost_is_answered_alike_when_repeated(
    service: SchedulerService, registry: FlakyRegistry
) -> None:
    registry.loses_answers = True
    refused = await claim(service)
    assert refused == Refused(Refusal.UNAVAILABLE, "no answer", 0.7)
    registry.loses_answers = False
    entry, _ = await registry.get(claim_key(CAM))
    assert entry is not None
    assert (await granted(service)).epoch.revision == entry.mod_revision


@pytest.mark.usefixtures("nodes")
async def test_a_stale_view_is_corrected_by_the_transaction(service: SchedulerService, registry: FlakyRegistry) -> None:
    grant = await granted(service)
    service.directory._claims.replace([])  # as if the view had not seen it yet
    service.directory._groups.replace([])
    again = await claim(service, P2)
    assert isinstance(again, Refused)
    assert again.refusal is Refusal.EXISTS
    assert await granted(service, P1) == grant


async def test_reports_are_answered_while_the_registry_is_away(
    service: SchedulerService, registry: FlakyRegistry, nodes: tuple[Node, Node], clock: Clock
) -> None:
    registry.is_down = True
    clock.now += 5
    assert await nodes[1].report(draining=True) == Joined(1_700_000_000)
    refused = await claim(service)
    assert isinstance(refused, Refused)
    assert refused.refusal is Refusal.UNAVAILABLE
    registry.is_down = False
    await nodes[1].report(draining=True)
    assert isinstance(await claim(service), Grant)


async def test_a_node_whose_lease_was_not_renewed_for_half_of_it_is_sent_to_another_replica(
    service: SchedulerService, nodes: tuple[Node, Node], registry: FlakyRegistry, clock: Clock
) -> None:
    grant = await granted(service)
    registry.is_down = True  # for this replica only, as it turns out
    clock.now += 6
    assert await nodes[1].is_let_go()
    assert (service.directory.is_away(EDGE.node), counted(service, "scheduler_evictions_total")) == (False, 0)
    registry.is_down = False
    other = SchedulerService(registry, [b"key"], clock=clock, wall_clock=lambda: 9e9)
    await other.start()
    await other.ready()
    rival = Node(other, NodeAddress(NodeId("e2", b"edge...2"), "e2:1"), Role.EDGE)
    await rival.report()
    clock.now += 2  # longer than a node may be away
    refused = await claim(other, P2, rival.address)
    assert isinstance(refused, Refused)
    assert refused.refusal is Refusal.EXISTS
    assert await Node(other, EDGE, Role.EDGE).report() == Joined(1_700_000_000)
    assert await granted(other) == grant
    await other.stop()


async def test_a_node_that_has_only_this_replica_joins_it_again_and_loses_nothing(
    service: SchedulerService, nodes: tuple[Node, Node], registry: FlakyRegistry, clock: Clock
) -> None:
    grant = await granted(service)
    before = service.directory.node(EDGE.node)
    registry.is_down = True
    clock.now += 6
    assert await nodes[1].is_let_go()
    again = Node(service, EDGE, Role.EDGE)
    assert await again.report() == Joined(1_700_000_000)
    registry.is_down = False
    await again.report()
    await settle()
    now = service.directory.node(EDGE.node)
    assert before is not None
    assert now is not None
    assert (now.lease_id, now.away, service.directory.is_joined(EDGE.node)) == (before.lease_id, False, True)
    assert await granted(service) == grant


@pytest.mark.usefixtures("service")
async def test_a_node_that_a_bug_of_ours_keeps_from_being_renewed_is_sent_on_too(
    nodes: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Registrar, "keep", AsyncMock(side_effect=ZeroDivisionError))
    assert await nodes[1].is_let_go()


@pytest.mark.usefixtures("nodes")
async def test_a_node_that_could_never_be_written_down_is_sent_on_as_well(
    service: SchedulerService, registry: FlakyRegistry, clock: Clock
) -> None:
    registry.is_down = True
    node = Node(service, NodeAddress(NodeId("e2", b"edge...2"), "e2:1"), Role.EDGE)
    letting_go = asyncio.create_task(node.is_let_go())
    for _ in range(2):  # seconds: 0, 4
        await settle()
        assert not letting_go.done()
        clock.now += 4
        node.report_soon()
    assert await letting_go


async def test_a_node_that_comes_from_another_replica_is_told_what_it_missed(
    service: SchedulerService, nodes: tuple[Node, Node], registry: FlakyRegistry
) -> None:
    old = await granted(service)
    held = HeldStream(stream=CAM, epoch=old.epoch, place=old.place, publication=P1)
    await nodes[1].end()
    await registry.transact([], [Delete(claim_key(CAM)), Delete(group_key(CAM))])
    rival = Node(service, NodeAddress(NodeId("e2", b"edge...2"), "e2:1"), Role.EDGE)
    await rival.report()
    new = await claim(service, P2, rival.address)
    assert isinstance(new, Grant)
    again = Node(service, EDGE, Role.EDGE)
    told = [await again.report(streams=(held,)), await anext(again.commands), await anext(again.commands)]
    moved = GroupMoved(Location(stream=CAM, place=new.place, origin=new.origin, heir=new.heir))
    assert told == [Joined(1_700_000_000), moved, StreamFenced(CAM, new.epoch)]


async def test_a_lease_is_renewed_by_reports_and_by_nothing_else(
    service: SchedulerService, nodes: tuple[Node, Node], registry: FlakyRegistry, clock: Clock
) -> None:
    for _ in range(5):
        clock.now += 4
        await nodes[0].report()
        await settle()
        registry.expire()
    await settle()
    assert service.directory.node(ORIGIN.node) is not None
    assert service.directory.node(EDGE.node) is None


async def lease_of(node: Node) -> int:
    """What a node hears that it lives under."""
    answer = await node.report()
    assert isinstance(answer, Joined)
    assert answer.lease
    return answer.lease


async def test_a_node_whose_lease_was_lost_is_registered_again(
    service: SchedulerService, nodes: tuple[Node, Node], registry: FlakyRegistry, clock: Clock
) -> None:
    leases = [await lease_of(node) for node in nodes]
    assert leases == [await lease_of(node) for node in nodes]
    clock.now += 11
    registry.expire()
    for node in nodes:
        await node.report()
    await settle()
    assert not set(leases) & {await lease_of(node) for node in nodes}
    assert all(service.directory.is_joined(node.address.node) for node in nodes)
    assert isinstance(await claim(service), Grant)


async def test_a_lease_that_ended_unseen_is_found_by_the_transaction(
    service: SchedulerService, nodes: tuple[Node, Node], registry: FlakyRegistry
) -> None:
    record = service.directory.node(ORIGIN.node)
    assert record is not None
    await registry.revoke_lease(record.lease_id)
    refused = await claim(service)
    assert isinstance(refused, Refused)
    assert refused.refusal is Refusal.NO_ORIGIN


async def test_an_origin_that_has_gone_has_no_series(
    service: SchedulerService, nodes: tuple[Node, Node], registry: FlakyRegistry
) -> None:
    def unreachable() -> float | None:
        return service.metrics.registry.get_sample_value("scheduler_unreachable_total", {"origin": ORIGIN.node.name})

    assert unreachable() == 0
    record = service.directory.node(ORIGIN.node)
    assert record is not None
    await registry.revoke_lease(record.lease_id)
    await settle()
    assert service.directory.node(ORIGIN.node) is None
    assert unreachable() is None


async def test_a_stream_that_ends_leaves_its_node_away_and_its_lease_alive(
    service: SchedulerService, nodes: tuple[Node, Node], registry: FlakyRegistry, clock: Clock
) -> None:
    await granted(service)
    await nodes[1].end()
    assert service.directory.is_away(EDGE.node)
    assert service.directory.claim(CAM) is not None
    assert isinstance(await claim(service, P2), Refused)


async def test_a_stream_that_came_late_to_another_replica_leaves_its_node_where_it_is(
    service: SchedulerService, nodes: tuple[Node, Node], registry: FlakyRegistry, clock: Clock
) -> None:
    other = SchedulerService(registry, [b"key"], clock=clock, wall_clock=lambda: 1_700_000_000.9)
    await other.start()
    await other.ready()
    late = Node(other, EDGE, Role.EDGE)
    await late.report()
    await late.end()
    await settle()
    assert service.directory.is_away(EDGE.node)  # by the other's word, until the node says something here
    await nodes[1].report()
    await settle()
    assert (service.directory.is_joined(EDGE.node), other.directory.is_joined(EDGE.node)) == (True, True)
    again = Node(other, EDGE, Role.EDGE)
    await again.report()
    await nodes[1].report()
    await settle()
    await again.end()
    await settle()
    assert (service.directory.is_joined(EDGE.node), other.directory.is_joined(EDGE.node)) == (True, True)
    await other.stop()


async def test_a_node_that_falls_silent_is_away(registry: FlakyRegistry) -> None:
    service = SchedulerService(registry, [b"key"], silence_s=0.05)
    await service.start()
    await service.ready()
    node = Node(service, EDGE, Role.EDGE)
    assert isinstance(await node.report(), Joined)
    async with asyncio.timeout(SOON_S):
        assert [command async for command in node.commands] == []
    assert service.directory.is_away(EDGE.node)
    await service.stop()


async def test_an_edge_that_says_it_writes_under_an_earlier_epoch_is_told_to_let_go(
    service: SchedulerService, nodes: tuple[Node, Node], registry: FlakyRegistry
) -> None:
    old = await granted(service)
    await registry.transact([], [Delete(claim_key(CAM))])  # as if its lease had been lost for a moment
    await nodes[1].report(streams=(HeldStream(stream=CAM, epoch=old.epoch, publication=P1),))
    other = Node(service, NodeAddress(NodeId("e2", b"edge...2"), "e2:1"), Role.EDGE)
    await other.report()
    new = await claim(service, P2, other.address)
    assert isinstance(new, Grant)
    async with asyncio.timeout(SOON_S):
        told = [await anext(nodes[1].commands), await anext(nodes[1].commands)]
    assert StreamFenced(CAM, new.epoch) in told


async def test_a_node_that_leaves_in_order_takes_its_keys_along(service: SchedulerService, nodes: tuple[Node, Node]) -> None:
    await granted(service)
    with pytest.raises(StopAsyncIteration):
        await nodes[1].report(leaving=True)
    await settle()
    assert service.directory.claim(CAM) is None
    assert service.directory.node(EDGE.node) is None
    assert service.directory.group(CAM) is not None


async def test_a_new_incarnation_evicts_the_old_and_the_old_may_not_return(
    service: SchedulerService, nodes: tuple[Node, Node]
) -> None:
    new = Node(service, NodeAddress(NodeId("e1", b"edge...2"), "e1:1"), Role.EDGE)
    assert await new.report() == Joined(1_700_000_000)
    async with asyncio.timeout(SOON_S):
        assert isinstance(await anext(nodes[1].commands), Evicted)
    again = Node(service, EDGE, Role.EDGE)
    assert isinstance(await again.report(), Evicted)
    assert await new.report() == Joined(1_700_000_000)


async def test_the_same_incarnation_may_join_again(service: SchedulerService, nodes: tuple[Node, Node]) -> None:
    grant = await granted(service)
    again = Node(service, EDGE, Role.EDGE)
    assert await again.report() == Joined(1_700_000_000)
    async with asyncio.timeout(SOON_S):
        assert [command async for command in nodes[1].commands] == []
    assert service.directory.is_joined(EDGE.node)
    assert await granted(service) == grant


async def test_a_malformed_report_ends_the_membership_with_the_reason(service: SchedulerService) -> None:
    async def reports() -> AsyncIterator[NodeReport]:
        raise RemoteProtocolError("node without a name")
        yield

    assert [command async for command in service.join(reports())] == [Evicted("node without a name")]


@pytest.mark.usefixtures("nodes")
async def test_a_locate_waits_for_a_higher_place(service: SchedulerService) -> None:
    waiting = asyncio.create_task(service.locate([Wanted(CAM)], SOON_S))
    await asyncio.sleep(0)
    grant = await granted(service)
    assert await waiting == [Location(stream=CAM, place=grant.place, origin=grant.origin, heir=grant.heir)]
    (refused,) = await service.locate([Wanted(CAM, grant.place)], 0.01)
    assert isinstance(refused, Refused)
    assert refused.refusal is Refusal.NOT_FOUND
    below = Place(grant.place.term, grant.place.revision - 1)
    assert isinstance((await service.locate([Wanted(CAM, below)], SOON_S))[0], Location)


@pytest.mark.usefixtures("nodes")
async def test_a_player_gets_its_stream_though_who_came_with_it_waits_for_one_that_never_comes(service: SchedulerService) -> None:
    asks = Gatherer(service.locate)
    never = asyncio.create_task(asks.ask(Wanted(StreamKey("live", "never")), 10.0))
    waiting = asyncio.create_task(asks.ask(Wanted(CAM), 10.0))
    await asyncio.sleep(0)
    grant = await granted(service)
    async with asyncio.timeout(SOON_S):
        found = await waiting
        assert isinstance(found, Location)
        assert found.place == grant.place
        refused = await never
    assert isinstance(refused, Refused)
    assert refused.retry_after_s


@pytest.mark.usefixtures("nodes")
async def test_what_is_wanted_at_once_is_not_waited_for(service: SchedulerService) -> None:
    async with asyncio.timeout(SOON_S / 2):
        (refused,) = await service.locate([Wanted(CAM, at_once=True)], SOON_S)
    assert isinstance(refused, Refused)
    assert refused.refusal is Refusal.NOT_FOUND
    grant = await granted(service)
    (found,) = await service.locate([Wanted(CAM, at_once=True)], SOON_S)
    assert isinstance(found, Location)
    assert found.place == grant.place


@pytest.mark.usefixtures("nodes")
async def test_a_locate_that_could_not_ask_the_registry_says_so(service: SchedulerService, registry: FlakyRegistry) -> None:
    registry.is_down = True
    (refused,) = await service.locate([Wanted(CAM)], 0.01)
    assert refused == Refused(Refusal.UNAVAILABLE, "down", 0.7)


@pytest.mark.usefixtures("nodes")
async def test_a_release_that_may_have_failed_raises(service: SchedulerService, registry: FlakyRegistry) -> None:
    grant = await granted(service)
    released = Released(stream=CAM, epoch=grant.epoch, publication=P1)
    registry.is_down = True
    with pytest.raises(Unavailable):
        await service.release(EDGE, claims=[released], deadline_s=SOON_S)
    registry.is_down = False
    assert await service.release(EDGE, claims=[released], deadline_s=SOON_S) == [True]


@pytest.mark.usefixtures("nodes")
async def test_a_group_whose_key_went_with_its_lease_has_ended_once_nobody_claims_it(
    service: SchedulerService, registry: FlakyRegistry
) -> None:
    grant = await granted(service)
    group = Released(stream=CAM, place=grant.place)
    await registry.transact([], [Delete(group_key(CAM))])
    assert await service.release(grant.origin, groups=[group], deadline_s=SOON_S) == [False]
    claimed = Released(stream=CAM, epoch=grant.epoch, publication=P1)
    assert await service.release(EDGE, claims=[claimed], deadline_s=SOON_S) == [True]
    assert await service.release(grant.origin, groups=[group], deadline_s=SOON_S) == [True]


@pytest.mark.usefixtures("nodes")
async def test_values_that_no_scheduler_wrote_grant_nothing(service: SchedulerService, registry: FlakyRegistry) -> None:
    await registry.transact([], [Put(claim_key(CAM), b"garbage")])
    refused = await claim(service)
    assert isinstance(refused, Refused)
    assert refused.refusal is Refusal.UNAVAILABLE
    released = Released(stream=CAM, epoch=Epoch(1_700_000_000, 5), publication=P1)
    assert await service.release(EDGE, claims=[released], deadline_s=SOON_S) == [False]


async def test_before_the_registry_was_read_nothing_is_decided(registry: FlakyRegistry) -> None:
    service = SchedulerService(registry, [b"key"])
    refused = await claim(service)
    assert isinstance(refused, Refused)
    assert refused.refusal is Refusal.UNAVAILABLE
    assert not service.is_ready


async def test_a_node_of_this_process_joins_directly(service: SchedulerService) -> None:
    told: list[NodeCommand] = []
    membership: Membership = service.join_direct(lambda: NodeReport(node=ORIGIN, role=Role.ORIGIN), told.append)
    running = asyncio.create_task(membership.run())
    async with asyncio.timeout(SOON_S):
        await membership.joined.wait()
        assert membership.term == 1_700_000_000
        assert counted(service, "scheduler_nodes", role="origin", state="joined") == 1
        assert await membership.leave()
        await running
    assert told == []
    assert service.directory.nodes() == []


async def test_what_has_no_room_and_what_nobody_is_in_is_counted_too(service: SchedulerService) -> None:
    nodes = {role: Node(service, ORIGIN if role is Role.ORIGIN else EDGE, role) for role in (Role.ORIGIN, Role.EDGE)}
    for role, carried in ((Role.ORIGIN, Load(egress_bps=9)), (Role.EDGE, Load(sessions=9))):
        full = Capacity(sessions=9) if role is Role.EDGE else Capacity(egress_bps=9)
        await nodes[role].carries(carried, full)
        await settle()
        assert counted(service, "scheduler_nodes", role=role.value, state="joined") == 1
        assert counted(service, "scheduler_nodes_with_room", role=role.value) == 0
        await nodes[role].carries(Load(), full)
        await settle()
        assert counted(service, "scheduler_nodes_with_room", role=role.value) == 1
    assert service.metrics.registry.get_sample_value("scheduler_nodes", {"role": "hls", "state": "away"}) == 0
    assert counted(service, "scheduler_replicas") == 1


async def test_a_load_is_written_down_for_other_replicas_where_it_has_changed_by_much(
    service: SchedulerService, registry: FlakyRegistry
) -> None:
    node = Node(service, ORIGIN, Role.ORIGIN)
    written = []
    for sessions in (10, 11, 30, 31):
        await node.carries(Load(sessions=sessions), Capacity(sessions=100))
        await settle()
        entry, _ = await registry.get(node_key("o1"))
        assert entry is not None
        written.append(parse_node(entry).load.sessions)
    assert written == [10, 10, 30, 30]
    (candidate,) = service.directory.offers.origins()
    assert candidate.load.sessions == 31  # as it was reported here


async def test_a_part_that_fails_ends_the_replica_and_says_so(registry: FlakyRegistry, clock: Clock) -> None:
    made, told = SchedulerService(registry, [b"key"], clock=clock), asyncio.get_running_loop().create_future()
    made.control.parts.append(Mock(run=AsyncMock(side_effect=RuntimeError("a bug"))))
    made.failed = told.set_result
    await made.start()
    async with asyncio.timeout(SOON_S):
        assert "a bug" in await told
    assert not made.is_running
    await made.stop()
