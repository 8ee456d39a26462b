"""Nodes that are told to drain, and origins that are emptied."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.reporting import SOON_S, Node, settle
from support.standing import stand
from support.turned_clock import Clock, FlakyRegistry
from support.virtual_time import in_virtual_time

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Grant, NodeAddress, NodeId
from lalmesh.runtime.scheduling import Claim, Drain, GroupMoved, Joined, NodeCommand, Role
from services.scheduler import SchedulerService

STREAMS = [StreamKey.of("live", f"cam{number}") for number in range(20)]


def address(name: str) -> NodeAddress:
    return NodeAddress(NodeId(name, name.encode().ljust(8, b".")), f"{name}:1")


class World:
    """Two origins and an edge with every stream, at one replica."""

    def __init__(self, name: str = "") -> None:
        self.registry = FlakyRegistry(Clock())
        self.service = SchedulerService(self.registry, [b"key"], name=name, wall_clock=lambda: 7)
        self.nodes: dict[str, Node] = {}

    async def begin(self, *roles: tuple[str, Role]) -> None:
        await self.service.start()
        await settle()
        for name, role in roles:
            await self.join(name, role)

    async def join(self, name: str, role: Role, service: SchedulerService | None = None, *, worker_of: str = "") -> Node:
        node = self.nodes[name] = Node(service or self.service, address(name), role, worker_of=worker_of)
        await node.report()
        return node

    async def claim(self) -> list[Grant]:
        claims = [Claim(stream=stream, publication=n.to_bytes(16, "big")) for n, stream in enumerate(STREAMS)]
        results = await self.service.claim(address("e1"), claims, SOON_S)
        return [result for result in results if isinstance(result, Grant)]

    def groups_of(self, name: str) -> int:
        return self.service.directory.groups_of(address(name).node)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    await made.begin(("o1", Role.ORIGIN), ("e1", Role.EDGE))
    yield made
    await made.service.stop()


async def test_a_node_is_told_to_drain_once_and_again_when_it_comes_back(world: World) -> None:
    (record,) = await world.service.drains.ask("o1", 20.0)
    await settle()
    assert await world.nodes["o1"].told() == [Drain(20.0)]
    assert await world.nodes["o1"].told() == []
    again = Node(world.service, address("o1"), Role.ORIGIN)
    assert await again.report() == Drain(20.0)
    assert world.service.directory.state_of(record) == "draining"


async def test_another_start_of_the_node_does_not_drain(world: World) -> None:
    await world.service.drains.ask("o1", 0.0)
    new = Node(world.service, NodeAddress(NodeId("o1", b"another!"), "o1:2"), Role.ORIGIN)
    assert isinstance(await new.report(), Joined)
    assert [record.name for record in world.service.directory.offers.origins()] == ["o1"]


async def test_a_node_that_nobody_knows_cannot_drain_and_one_that_changes_may_be_asked_again(world: World) -> None:
    assert await world.service.drains.ask("stranger", 0.0) == []
    world.registry.is_down = True
    with pytest.raises(Unavailable):
        await world.service.drains.ask("o1", 0.0)


@in_virtual_time
async def test_the_groups_of_an_origin_that_drains_go_one_by_one_to_the_others_and_everybody_is_told() -> None:
    world = World()
    await world.begin(("o1", Role.ORIGIN), ("e1", Role.EDGE))
    granted = await world.claim()
    await world.join("o2", Role.ORIGIN)
    assert (world.groups_of("o1"), world.groups_of("o2")) == (20, 0)  # one that joins gets new streams only
    await world.nodes["o1"].report(draining=True)
    heard = await _until_moved(world)
    moved = [command for command in heard if isinstance(command, GroupMoved)]
    assert sorted(command.location.stream for command in moved) == sorted(STREAMS)
    for command in moved:
        assert command.grant is not None
        command.grant.verify((b"key",))
        assert (command.grant.origin, command.grant.place) == (address("o2"), command.location.place)
    assert {grant.epoch for grant in granted} == {command.grant.epoch for command in moved if command.grant}
    assert (world.groups_of("o1"), world.groups_of("o2")) == (0, 20)
    await world.service.stop()


async def _until_moved(world: World) -> list[NodeCommand]:
    """Some seconds of reports; what the edge hears."""
    heard: list[NodeCommand] = []
    for _ in range(20):
        await asyncio.sleep(0.2)
        heard += await world.nodes["e1"].told()
        await world.nodes["o2"].told()
        await world.nodes["o1"].told(draining=True)
    return heard


@in_virtual_time
async def test_only_the_replica_with_the_duty_moves_groups() -> None:
    world = World("s1")
    await world.begin(("o1", Role.ORIGIN), ("e1", Role.EDGE), ("o2", Role.ORIGIN))
    await settle()
    other = SchedulerService(world.registry, [b"key"], name="s2", wall_clock=lambda: 7)
    await other.start()
    await settle()
    await stand(other)
    assert await world.service.presence.has_duty("moves")
    assert not await other.presence.has_duty("moves")
    record = world.service.directory.cluster.duty("moves")
    assert record is not None
    await settle()
    await world.registry.revoke_lease(world.service.presence._lease_id)  # it has died
    await settle()
    assert await other.presence.has_duty("moves")
    assert not await world.service.presence.has_duty("moves")
    for service in (world.service, other):
        await service.stop()


async def test_a_node_of_several_workers_drains_with_all_of_them_and_one_of_them_alone(world: World) -> None:
    workers = [await world.join(name, Role.EDGE, worker_of="e") for name in ("e-1", "e-2")]
    assert [record.node.name for record in await world.service.drains.ask("e", 7.0)] == ["e-1", "e-2"]
    await settle()
    assert [await worker.told() for worker in workers] == [[Drain(7.0, all_workers=True)]] * 2
    others = [await world.join(name, Role.EDGE, worker_of="f") for name in ("f-1", "f-2")]
    await world.service.drains.ask("f-1", 0.0)
    await settle()
    assert [await worker.told() for worker in others] == [[Drain(0.0)], []]
    assert await world.nodes["e1"].told() == []


async def test_with_the_last_of_its_workers_the_node_drains(world: World) -> None:
    workers = [await world.join(name, Role.EDGE, worker_of="e") for name in ("e-1", "e-2")]
    for name in ("e-1", "e-2"):
        await world.service.drains.ask(name, 0.0)
    await settle()
    assert [await worker.told() for worker in workers] == [[Drain(0.0)], [Drain(0.0, all_workers=True)]]


async def test_a_worker_that_joins_while_all_of_its_node_drain_is_told_to(world: World) -> None:
    draining = await world.join("e-2", Role.EDGE, worker_of="e")
    await world.service.drains.ask("e", 7.0)
    await settle()
    await draining.told(draining=True)
    late = Node(world.service, address("e-1"), Role.EDGE, worker_of="e")
    assert await late.told() == [Drain(7.0, all_workers=True)]
    assert await (await world.join("f-1", Role.EDGE, worker_of="f")).told() == []


async def test_a_worker_that_joins_while_another_drains_alone_goes_on(world: World) -> None:
    for name in ("e-1", "e-2"):
        await world.join(name, Role.EDGE, worker_of="e")
    await world.service.drains.ask("e-2", 7.0)
    await settle()
    again = Node(world.service, NodeAddress(NodeId("e-1", b"another!"), ""), Role.EDGE, worker_of="e")
    assert isinstance(await again.report(), Joined)
    assert await again.told() == []


async def test_a_node_that_is_started_again_does_not_drain_for_a_worker_that_died_as_it_did(world: World) -> None:
    dying = await world.join("e-2", Role.EDGE, worker_of="e")
    await world.service.drains.ask("e", 7.0)
    await settle()
    await dying.told()
    await dying.end()
    await settle()
    new = Node(world.service, NodeAddress(NodeId("e-1", b"another!"), ""), Role.EDGE, worker_of="e")
    assert isinstance(await new.report(), Joined)
    assert await new.told() == []


async def drains_of_another_start(service: SchedulerService, incarnation: bytes = b"another!") -> list[NodeCommand]:
    """What another start of a worker hears of drains as it joins."""
    again = Node(service, NodeAddress(NodeId("e-1", incarnation), ""), Role.EDGE, worker_of="e")
    return [command for command in (await again.report(), *await again.told()) if isinstance(command, Drain)]


@pytest.mark.parametrize("all_workers", [True, False])
async def test_a_worker_that_died_before_it_heard_of_its_drain_hears_of_it_as_it_is_started_again(
    world: World, *, all_workers: bool
) -> None:
    dying = await world.join("e-1", Role.EDGE, worker_of="e")
    await world.join("e-2", Role.EDGE, worker_of="e")
    await world.service.drains.ask("e" if all_workers else "e-1", 7.0)
    await dying.commands.aclose()
    await settle()
    assert await drains_of_another_start(world.service) == [Drain(7.0, all_workers=all_workers)]
    record = world.service.directory.named("e-1")
    assert record is not None
    assert world.service.directory.state_of(record) == "draining"


async def test_so_does_one_that_died_twice_before_and_one_that_joins_another_replica(world: World) -> None:
    dying = await world.join("e-1", Role.EDGE, worker_of="e")
    await world.service.drains.ask("e", 7.0)
    await dying.commands.aclose()
    await settle()
    assert await drains_of_another_start(world.service)
    other = SchedulerService(world.registry, [b"key"], wall_clock=lambda: 7)
    await other.start()
    await settle()
    assert await drains_of_another_start(other, b"a third!") == [Drain(7.0, all_workers=True)]
    await other.stop()


async def test_a_worker_that_died_as_it_drained_was_not_started_again_so_another_start_is_of_another_time(world: World) -> None:
    dying = await world.join("e-1", Role.EDGE, worker_of="e")
    await world.service.drains.ask("e", 7.0)
    await dying.told(draining=True)
    await dying.end()
    await settle()
    assert await drains_of_another_start(world.service) == []


async def test_a_replica_that_has_just_started_knows_that_all_workers_drain(world: World) -> None:
    draining = await world.join("e-2", Role.EDGE, worker_of="e")
    await world.service.drains.ask("e", 7.0)
    await draining.told()
    other = SchedulerService(world.registry, [b"key"], wall_clock=lambda: 7)
    await other.start()
    await settle()
    late = Node(other, address("e-1"), Role.EDGE, worker_of="e")
    assert Drain(7.0, all_workers=True) in [await late.report(), *await late.told()]
    await other.stop()
