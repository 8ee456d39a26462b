"""What a replica gives back when it stops."""

from __future__ import annotations

from support.reporting import settle
from support.standing import stand
from support.turned_clock import Clock, FlakyRegistry

from lalmesh.runtime.registry import Registry
from services.scheduler import SchedulerService
from services.scheduler.cluster_records import SCHEDULERS


async def started(registry: Registry, name: str) -> SchedulerService:
    service = SchedulerService(registry, [b"key"], name=name, wall_clock=lambda: 7)
    await service.start()
    await settle()
    await stand(service)
    return service


async def keys(registry: Registry) -> list[str]:
    return [entry.key for entry in (await registry.list(SCHEDULERS)).entries]


async def test_a_replica_that_leaves_others_behind_gives_its_key_back() -> None:
    registry = FlakyRegistry(Clock())
    first, second = await started(registry, "s1"), await started(registry, "s2")
    await first.stop()
    await first.leave()
    (left,) = await keys(registry)
    assert "/s2/" in left
    await second.stop()


async def test_the_last_replica_leaves_its_key_to_run_out() -> None:
    registry = FlakyRegistry(Clock())
    only = await started(registry, "s1")
    await only.stop()
    await only.leave()
    assert len(await keys(registry)) == 1
