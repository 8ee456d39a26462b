"""Nodes of several workers, as clients see them."""

from __future__ import annotations

import random

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NodeAddress, NodeId
from lalmesh.runtime.scheduling.model import Capacity, Endpoint, Load, Role
from services.scheduler.records import NodeRecord
from services.scheduler.routing import Choice, Question, Routing
from services.scheduler.wholes import Wholes, names_of, parts_of

PLAY = Question(StreamKey.of("live", "cam"), "http", is_play=True)


def edge(name: str, worker_of: str = "", *, start: bytes = b"", sessions: int = 10) -> NodeRecord:
    host = worker_of or name
    return NodeRecord(
        address=NodeAddress(NodeId(name, start or name.encode().ljust(8, b".")), ""),
        role=Role.EDGE,
        machine=host,
        endpoints=(Endpoint("http", host, 8080),),
        capacity=Capacity(sessions=sessions, cpu_fraction=0.25),
        worker_of=worker_of,
    )


WORKERS = (edge("a-1", "a"), edge("a-2", "a"))


def test_workers_are_one_node_with_what_all_of_them_can_carry_and_do() -> None:
    wholes = Wholes((*WORKERS, edge("b")))
    first, second = wholes.records
    assert (first.node.name, first.capacity, first.worker_of) == ("a", Capacity(sessions=20, cpu_fraction=0.5), "")
    assert first.endpoints == (Endpoint("http", "a", 8080),)
    assert second == edge("b")
    loads = {"a-1": Load(sessions=3, opened_sessions=5), "a-2": Load(sessions=4, opened_sessions=6), "b": Load(sessions=1)}
    carried = [wholes.load(whole, lambda record: loads[record.node.name]) for whole in wholes.records]
    assert carried == [Load(sessions=7, opened_sessions=11), Load(sessions=1)]


def test_what_is_of_a_node_is_of_it_and_all_its_workers() -> None:
    records = (*WORKERS, edge("b"))
    assert names_of("a", records) == {"a", "a-1", "a-2"}
    assert names_of("a-1", records) == {"a-1"}
    assert names_of("gone", records) == {"gone"}


def test_each_part_knows_its_whole_and_what_is_no_part_is_its_own() -> None:
    wholes = Wholes((*WORKERS, edge("b")))
    whole = wholes.of(WORKERS[0].node)
    assert (whole.name, wholes.of(WORKERS[1].node)) == ("a", whole)
    assert wholes.parts(whole) == list(WORKERS)
    assert wholes.of(edge("b").node) == edge("b").node
    assert wholes.of(edge("stranger").node) == edge("stranger").node


def test_another_start_of_a_worker_is_another_start_of_the_whole() -> None:
    (first,) = Wholes(WORKERS).records
    (same,) = Wholes(reversed(WORKERS)).records
    (later,) = Wholes((WORKERS[0], edge("a-2", "a", start=b"another!"))).records
    (alone,) = Wholes(WORKERS[:1]).records
    assert first.node == same.node
    assert len({first.node, later.node, alone.node}) == 3
    assert alone.node.name == "a"


def test_a_node_that_has_just_become_several_workers_is_one_with_them() -> None:
    assert [whole.node.name for whole in Wholes((edge("a"), *WORKERS)).records] == ["a"]
    assert parts_of("a", (edge("a"), *WORKERS, edge("b"))) == [edge("a"), *WORKERS]
    assert parts_of("a-1", WORKERS) == [WORKERS[0]]


def test_clients_are_sent_to_the_node_and_fill_it_as_far_as_its_workers_go_together() -> None:
    loads = {"a-1": Load(sessions=10), "a-2": Load(sessions=4), "b": Load(sessions=9)}
    wholes = Wholes((*WORKERS, edge("b")))
    routing = Routing(lambda whole: wholes.load(whole, lambda record: loads[record.node.name]), random.Random(1))
    routing.replace(wholes.records)
    found = routing.route(PLAY, 0.0)
    assert (found.edge.name, found.choice, found.usage.share, found.shared) == ("a", Choice.LEAST_USED, 0.7, 1)
    at_one = PLAY._replace(holders={wholes.of(WORKERS[1].node)})
    loads["b"] = Load(sessions=7)
    assert routing.route(at_one, 9.0).choice is Choice.HAS_STREAM
