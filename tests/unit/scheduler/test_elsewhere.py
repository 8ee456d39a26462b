"""What edges that let nobody in are told of others."""

from __future__ import annotations

from lalmesh.runtime.ownership import NodeAddress, NodeId
from lalmesh.runtime.registry import KeyValue, Listing
from lalmesh.runtime.scheduling import Capacity, Endpoint, Load, NodeReport, Role
from services.scheduler.cluster_records import DrainRecord, drain_key
from services.scheduler.directory import Directory
from services.scheduler.elsewhere import KEPT_S, MAX_EDGES, Elsewhere
from services.scheduler.records import NodeRecord, node_key, serialize_node


def report(
    name: str, role: Role = Role.EDGE, *, sessions: int = 0, room: int = 0, draining: bool = False, worker_of: str = ""
) -> NodeReport:
    address = NodeAddress(NodeId(name, name.encode().ljust(8, b".")), f"{name}:1")
    return NodeReport(
        node=address,
        role=role,
        endpoints=(Endpoint("rtmp", worker_of or name, 1935),),
        capacity=Capacity(sessions=room),
        load=Load(sessions=sessions),
        draining=draining,
        worker_of=worker_of,
    )


class Known:
    """A directory of what was reported, and who tells of it."""

    def __init__(self, *reports: NodeReport) -> None:
        self.now = 0.0
        self.directory = Directory(rejoin_s=1.0)
        entries = tuple(_entry(each, revision) for revision, each in enumerate(reports, 1))
        self.directory.handle(Listing(entries, len(entries)), 0.0)
        self.elsewhere = Elsewhere(self.directory, lambda: self.now)

    def drain(self, asked: NodeReport, *, all_workers: bool) -> None:
        node = asked.node.node
        self.directory.cluster.drains.set(drain_key(node.name), DrainRecord(node=node, all_workers=all_workers))

    def hosts(self, asking: NodeReport) -> list[str]:
        return [endpoint.host for endpoint in self.elsewhere.for_edge(asking)]


def _entry(told: NodeReport, revision: int) -> KeyValue:
    return KeyValue(node_key(told.node.node.name), serialize_node(NodeRecord.of(told)), revision, revision, 7)


def test_only_edges_that_take_sessions_are_named_to_one_that_drains_the_idlest_first() -> None:
    draining = report("e4", draining=True)
    others = (report("e1", sessions=5), report("e2", sessions=3), report("e3", draining=True), report("o1", Role.ORIGIN))
    assert Known(*others, report("e4")).hosts(draining) == ["e2", "e1"]  # the registry does not know yet that e4 does


def test_an_edge_hears_of_others_before_it_is_full() -> None:
    known = Known(report("e1", room=10), report("e2", room=10))
    assert known.hosts(report("e1", room=10, sessions=8)) == []
    assert known.hosts(report("e1", room=10, sessions=9)) == ["e2"]
    assert known.hosts(report("e1", room=10, sessions=10)) == ["e2"]


def test_edges_that_are_full_are_not_named_and_shares_say_who_is_the_idlest() -> None:
    known = Known(report("e1", room=10, sessions=10), report("e2", room=100, sessions=20), report("e3", room=10, sessions=5))
    assert known.hosts(report("e4", draining=True)) == ["e2", "e3"]


def test_the_newest_load_counts_soon() -> None:
    known = Known(report("e1", room=10, sessions=1), report("e2", room=10, sessions=2))
    asking = report("e3", draining=True)
    assert known.hosts(asking) == ["e1", "e2"]
    known.directory.report(report("e1").node.node, Load(sessions=9), 0.0)
    known.now = KEPT_S
    assert known.hosts(asking) == ["e2", "e1"]


def test_one_that_has_gone_meanwhile_is_not_named() -> None:
    known = Known(report("e1"), report("e2"))
    asking = report("e3", draining=True)
    assert known.hosts(asking) == ["e1", "e2"]
    known.directory.mark_away(report("e1").node.node, 0.0)
    assert known.hosts(asking) == ["e2"]


def test_some_are_named_where_they_are_many() -> None:
    many = [report(f"e{number}") for number in range(3 * MAX_EDGES)]
    assert len(Known(*many).hosts(report("e0", draining=True))) == MAX_EDGES


def test_workers_are_named_once_as_loaded_as_they_are_together_and_never_to_one_another() -> None:
    workers = [report(f"w{number}", worker_of="w", room=10, sessions=number, draining=number == 3) for number in (1, 2, 3)]
    known = Known(*workers, report("e1", room=10, sessions=1), report("e2", room=10, sessions=3))
    assert known.hosts(report("e3", draining=True)) == ["e1", "w", "e2"]  # 1 of 10, 3 of 20, 3 of 10
    assert known.hosts(workers[2]) == ["e1", "e2"]
    for worker in workers[:2]:
        known.directory.mark_away(worker.node.node, 0.0)
    assert known.hosts(report("e3", draining=True)) == ["e1", "e2"]


def test_a_worker_that_drains_alone_has_left_its_ports_to_the_others_of_its_edge() -> None:
    workers = [report(f"w{number}", worker_of="w", room=10, draining=number == 2) for number in (1, 2)]
    known = Known(*workers, report("e1", room=10, sessions=1))
    known.drain(workers[1], all_workers=False)
    assert known.hosts(workers[1]) == ["w", "e1"]
    known.drain(workers[1], all_workers=True)
    assert known.hosts(workers[1]) == ["e1"]
