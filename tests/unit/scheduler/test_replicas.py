"""Replicas of the scheduler that are told to end, at whichever of them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from support.reporting import settle
from support.standing import stand
from support.turned_clock import Clock, FlakyRegistry

from lalmesh.errors import Unavailable
from services.scheduler import SchedulerService
from services.scheduler.cluster_records import SCHEDULERS, drain_key


class World:
    """Two replicas over one store, and what each of them was told."""

    def __init__(self) -> None:
        self.registry = FlakyRegistry(Clock())
        self.told: dict[str, list[float]] = {}
        self.replicas: dict[str, SchedulerService] = {}

    async def start(self, name: str) -> SchedulerService:
        service = self.replicas[name] = SchedulerService(self.registry, [b"key"], name=name, wall_clock=lambda: 7)
        service.replicas.drain_asked = self.told.setdefault(name, []).append
        await service.start()
        await settle()
        await stand(service)
        return service


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    for name in ("s1", "s2"):
        await made.start(name)
    yield made
    for service in made.replicas.values():
        await service.stop()


async def test_a_replica_is_told_at_any_of_them(world: World) -> None:
    for asked, name in (("s1", "s2"), ("s1", "s1")):
        told = await world.replicas[asked].replicas.ask(name, 7.0)
        await settle()
        assert told is not None
        assert (told.node.name, told.is_draining, told.is_here) == (name, True, asked == name)
    assert world.told == {"s1": [7.0], "s2": [7.0]}


async def test_every_replica_shows_that_one_is_told_to_end(world: World) -> None:
    await world.replicas["s1"].replicas.ask("s2", 0.0)
    await settle()
    for name, is_here in (("s1", False), ("s2", True)):
        shown = world.replicas[name].replicas.named("s2")
        assert shown is not None
        assert (shown.is_draining, shown.is_here) == (True, is_here)


async def test_what_was_told_goes_with_the_replica_and_another_start_of_it_does_not_end(world: World) -> None:
    await world.replicas["s1"].replicas.ask("s2", 0.0)
    await settle()
    await world.replicas["s2"].stop()
    await world.replicas["s2"].leave()
    await settle()
    assert world.replicas["s1"].replicas.named("s2") is None
    assert (await world.registry.get(drain_key("s2")))[0] is None
    world.told["s2"].clear()
    again = await world.start("s2")
    shown = again.replicas.named("s2")
    assert shown is not None
    assert (shown.is_draining, shown.is_here, world.told["s2"]) == (False, True, [])


async def test_of_several_starts_the_last_one_is_meant(world: World) -> None:
    before = world.replicas["s1"].replicas.named("s2")
    await world.replicas["s2"].stop()  # killed: its key is there still
    await world.start("s2")
    await settle()
    now = world.replicas["s1"].replicas.named("s2")
    assert before is not None
    assert now is not None
    assert before.node.incarnation != now.node.incarnation
    assert len((await world.registry.list(f"{SCHEDULERS}s2/")).entries) == 2


async def test_one_that_nobody_knows_cannot_be_told_nor_any_while_the_registry_is_away(world: World) -> None:
    service = world.replicas["s1"]
    assert await service.replicas.ask("s", 0.0) is None
    world.registry.is_down = True
    with pytest.raises(Unavailable):
        await service.replicas.ask("s2", 0.0)


async def test_one_that_has_gone_meanwhile_may_be_asked_for_again(world: World) -> None:
    other = world.replicas["s2"]
    shown = other.replicas.named("s2")
    assert shown is not None
    entry, _ = await world.registry.get(shown.key)
    assert entry is not None
    await world.registry.revoke_lease(entry.lease_id)  # nobody has followed yet
    with pytest.raises(Unavailable, match="not written down"):
        await world.replicas["s1"].replicas.ask("s2", 0.0)
