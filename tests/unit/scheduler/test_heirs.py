"""Heirs for groups whose own is gone, drains, or never was."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from support.reporting import Node
from support.rulings import (
    CAM,
    CLAIM_KEY,
    EPOCH,
    GROUP_KEY,
    NODES,
    PLACE,
    SETTLING,
    address,
    directory,
    group,
    held,
    node,
    written,
)
from support.turned_clock import Clock, FlakyRegistry
from support.virtual_time import in_virtual_time

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Grant, NodeAddress, NodeId, Place
from lalmesh.runtime.registry import Unchanged
from lalmesh.runtime.scheduling import Claim, GroupMoved, HeldStream, NodeCommand, Role
from services.scheduler import SchedulerService
from services.scheduler.directory import Directory
from services.scheduler.heirs import decide_heir, lacks_heir
from services.scheduler.rulings import Ruling, Seen, Write

O3 = node("o3", Role.ORIGIN, 7)
THREE = (*NODES, O3)
WITHOUT_O2 = (*NODES[:3], O3)


def ruling(core: Directory) -> Ruling | None:
    return decide_heir(CAM, Seen.of(core, CAM), core)


def test_an_heir_that_is_gone_is_replaced_and_nothing_else_changes() -> None:
    core = directory(held(), group("o1", "o2"), nodes=WITHOUT_O2)
    decision, before = ruling(core), core.group(CAM)
    assert isinstance(decision, Write)
    assert decision.compares == (Unchanged(CLAIM_KEY, 10), Unchanged(GROUP_KEY, 10), Unchanged("cluster/term", 2))
    assert ([put.key for put in decision.operations], decision.operations[0].lease_id, decision.origin) == ([GROUP_KEY], 5, None)
    now = written(decision).group
    assert now is not None
    assert before is not None
    assert now == replace(before, heir=address("o3"), pointed=PLACE, lease_id=5, mod_revision=30)
    assert (now.place, now.pointed_place, now.epoch) == (Place(1000, 30), PLACE, EPOCH)


def test_the_place_at_which_the_origin_came_first_is_kept_however_many_heirs_there_were() -> None:
    now = written_heir(directory(held(), group("o1", "o2", revision=15, pointed=PLACE), nodes=WITHOUT_O2))
    assert now == ("o3", PLACE)


def test_a_group_without_an_heir_gets_one() -> None:
    assert written_heir(directory(held(), group("o1", ""), nodes=WITHOUT_O2)) == ("o3", PLACE)


def test_an_heir_that_drains_is_replaced() -> None:
    nodes = (*NODES[:3], node("o2", Role.ORIGIN, 6, draining=True), O3)
    assert written_heir(directory(held(), group("o1", "o2"), nodes=nodes)) == ("o3", PLACE)


def test_an_heir_that_lives_stays_even_while_it_is_away() -> None:
    core = directory(held(), group("o1", "o2"), nodes=THREE)
    assert ruling(core) is None
    core.mark_away(address("o2").node, 1.0)
    assert ruling(core) is None


def test_no_heir_is_named_where_none_is_there_nobody_publishes_nodes_may_come_back_or_the_group_has_to_move() -> None:
    assert ruling(directory(held(), group("o1", "o2"), nodes=NODES[:3])) is None
    assert ruling(directory(group("o1", "o2"), nodes=WITHOUT_O2)) is None
    assert ruling(directory(SETTLING, held(), group("o1", "o2"), nodes=WITHOUT_O2)) is None
    core = directory(held(), group("o1", "o2"), nodes=WITHOUT_O2)
    core.mark_away(address("o1").node, 1.0)
    assert ruling(core) is None
    known = core.group(CAM)
    assert known is not None
    assert not lacks_heir(known, core)


def written_heir(core: Directory) -> tuple[str, Place] | None:
    decision = ruling(core)
    assert isinstance(decision, Write)
    now = written(decision).group
    return (now.heir.node.name, now.pointed_place) if now is not None and now.heir is not None else None


class World:
    """A replica with an edge that publishes and origins that report each second."""

    def __init__(self) -> None:
        self.registry = FlakyRegistry(Clock())
        loop = asyncio.get_running_loop()
        self.service = SchedulerService(self.registry, [b"key"], clock=loop.time, wall_clock=lambda: 7)
        self.nodes: dict[str, Node] = {}
        self.heard: list[GroupMoved] = []
        self.granted: list[Grant] = []

    async def join(self, name: str, role: Role, incarnation: bytes = b"") -> None:
        at = address(name) if not incarnation else NodeAddress(NodeId(name, incarnation), f"{name}:2")
        node = self.nodes[name] = Node(self.service, at, role)
        await node.report()

    async def claim(self, count: int = 1) -> list[Grant]:
        claims = [Claim(stream=StreamKey.of("live", f"cam{n}"), publication=bytes([n]) * 16) for n in range(count)]
        answers = await self.service.claim(address("e1"), claims, 5.0)
        self.granted = [answer for answer in answers if isinstance(answer, Grant)]
        return self.granted

    async def report(self, seconds: int) -> None:
        for _ in range(seconds):
            for name, member in self.nodes.items():
                told: list[NodeCommand] = await member.told(streams=self._published() if name == "e1" else ())
                self.heard += [each for each in told if name == "e1" and isinstance(each, GroupMoved)]
            await asyncio.sleep(1)

    def _published(self) -> tuple[HeldStream, ...]:
        """What the edge holds."""
        now = {command.location.stream: command.location.place for command in self.heard}
        return tuple(
            HeldStream(
                stream=each.stream,
                epoch=each.epoch,
                place=now.get(each.stream, each.place),
                publication=each.publication,
                published=True,
            )
            for each in self.granted
        )

    def heirs(self) -> set[str]:
        groups = [self.service.directory.group(stream) for stream in self.service.directory.streams()]
        return {each.heir.node.name if each.heir is not None else "" for each in groups if each is not None}


@in_virtual_time
async def test_groups_without_an_heir_get_one_when_an_origin_joins_and_the_publisher_hears_of_it_with_its_grant() -> None:
    world = World()
    await world.service.start()
    await world.service.ready()
    await world.join("o1", Role.ORIGIN)
    await world.join("e1", Role.EDGE)
    granted = await world.claim(20)
    await world.report(5)
    assert (world.heirs(), world.heard) == ({""}, [])
    await world.join("o2", Role.ORIGIN)
    await world.report(5)
    assert (world.heirs(), len(world.heard)) == ({"o2"}, 20)
    before = {grant.stream: grant for grant in granted}
    for command in world.heard:
        now = command.grant
        assert now is not None
        now.verify((b"key",))
        assert now == replace(before[now.stream], heir=address("o2"), place=command.location.place, signature=now.signature)
    await world.report(10)
    assert len(world.heard) == 20
    await world.service.stop()


@in_virtual_time
async def test_another_start_of_the_heir_is_named_in_its_place() -> None:
    world = World()
    await world.service.start()
    await world.service.ready()
    for name, role in (("o1", Role.ORIGIN), ("o2", Role.ORIGIN), ("e1", Role.EDGE)):
        await world.join(name, role)
    (granted,) = await world.claim()
    assert granted.heir is not None
    name = granted.heir.node.name
    del world.nodes[name]
    await world.join(name, Role.ORIGIN, b"another!")
    await world.report(5)
    (command,) = world.heard
    assert command.location.heir == NodeAddress(NodeId(name, b"another!"), f"{name}:2")
    assert command.location.origin == granted.origin
    await world.service.stop()
