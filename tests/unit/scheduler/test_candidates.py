"""How full a node is, in the dimension that is fullest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lalmesh.runtime.ownership import NodeAddress, NodeId
from lalmesh.runtime.scheduling.model import Capacity, Load
from services.scheduler.candidates import STREAM_BPS, Candidate, choose_less_loaded

NODE = Candidate(address=NodeAddress(NodeId("a", b"12345678"), "a:1"), machine="a")
OTHER = replace(NODE, address=NodeAddress(NodeId("b", b"12345678"), "b:1"))
HALF_FULL = {
    "streams": (Capacity(streams=10), Load(streams=9), 5),
    "bit/s": (Capacity(egress_bps=100), Load(egress_bps=50), 0),
    "sessions": (Capacity(sessions=10), Load(sessions=5), 0),
    "processor": (Capacity(cpu_fraction=0.8), Load(cpu_fraction=0.4), 0),
    "memory": (Capacity(memory_bytes=100), Load(memory_bytes=50), 0),
}


@pytest.mark.parametrize("dimension", HALF_FULL)
def test_each_dimension_counts_by_its_share_and_streams_as_the_registry_has_them(dimension: str) -> None:
    capacity, load, streams = HALF_FULL[dimension]
    use = replace(NODE, capacity=capacity, load=load, streams=streams).fullest
    assert use is not None
    assert (use.dimension, use.share) == (dimension, 0.5)


def test_the_fullest_dimension_is_the_load() -> None:
    capacity = Capacity(streams=10, egress_bps=100, sessions=10, memory_bytes=100, cpu_fraction=1.0)
    load = Load(egress_bps=10, sessions=7, memory_bytes=20, cpu_fraction=0.5)
    use = replace(NODE, capacity=capacity, load=load, streams=3).fullest
    assert use is not None
    assert use.dimension == "sessions"


def test_a_node_that_is_full_in_one_dimension_has_no_room() -> None:
    assert NODE.has_room
    assert replace(NODE, capacity=Capacity(memory_bytes=99), load=Load(memory_bytes=98)).has_room
    assert not replace(NODE, capacity=Capacity(memory_bytes=99, streams=5), load=Load(memory_bytes=99)).has_room


def test_what_was_granted_since_the_last_report_counts_by_an_estimate() -> None:
    capacity = Capacity(egress_bps=10 * STREAM_BPS)
    use = replace(NODE, capacity=capacity, load=Load(egress_bps=2 * STREAM_BPS), streams=9, unseen=3).fullest
    assert use is not None
    assert use.share == 0.5
    assert not replace(NODE, capacity=capacity, unseen=10).has_room


def test_a_choice_says_why_in_words() -> None:
    capacity = Capacity(sessions=10)
    busy, idle = (replace(each, capacity=capacity, load=Load(sessions=count)) for each, count in ((NODE, 5), (OTHER, 1)))
    assert choose_less_loaded([busy, idle]) == (
        idle,
        "b is second by hash, but carries less than a (10.0% of its sessions to 50.0% of its sessions)",
    )
    assert choose_less_loaded([NODE, OTHER])[1] == "a is first by hash and carries no more than b (0 streams to 0 streams)"
    assert choose_less_loaded([NODE], ", in zone z")[1] == "a is the only one with room, in zone z"
