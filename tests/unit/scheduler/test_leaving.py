"""What a replica gives back when it stops, and what edges that drain are told of others."""

from __future__ import annotations

from support.reporting import settle
from support.standing import stand
from support.turned_clock import Clock, FlakyRegistry

from lalmesh.runtime.ownership import NodeAddress, NodeId
from lalmesh.runtime.registry import KeyValue, Listing, Registry
from lalmesh.runtime.scheduling import Endpoint, Load, NodeReport, Role
from services.scheduler import SchedulerService
from services.scheduler.cluster_records import SCHEDULERS
from services.scheduler.directory import Directory
from services.scheduler.elsewhere import edge_endpoints
from services.scheduler.records import NodeRecord, node_key, parse_node, serialize_node


async def started(registry: Registry, name: str) -> SchedulerService:
    service = SchedulerService(registry, [b"key"], name=name, wall_clock=lambda: 7)
    await service.start()
    await settle()
    await stand(service)
    return service


def node(name: str, revision: int, role: Role, *, sessions: int = 0, draining: bool = False) -> KeyValue:
    address = NodeAddress(NodeId(name, name.encode().ljust(8, b".")), f"{name}:1")
    listens, load = (Endpoint("rtmp", name, 1935),), Load(sessions=sessions)
    report = NodeReport(node=address, role=role, endpoints=listens, load=load, draining=draining)
    return KeyValue(node_key(name), serialize_node(NodeRecord.of(report)), revision, revision, 7)


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


def test_only_edges_that_take_sessions_are_named_to_one_that_drains_the_idlest_first() -> None:
    directory = Directory(rejoin_s=1.0)
    entries = (
        node("e1", 1, Role.EDGE, sessions=5),
        node("e2", 2, Role.EDGE, sessions=3),
        node("e3", 3, Role.EDGE, draining=True),
        node("o1", 4, Role.ORIGIN),
        drained := node("e4", 5, Role.EDGE),  # it has just said so
    )
    directory.handle(Listing(entries, 5), 0.0)
    assert [endpoint.host for endpoint in edge_endpoints(directory, parse_node(drained).node)] == ["e2", "e1"]
