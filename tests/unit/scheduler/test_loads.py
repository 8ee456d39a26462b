"""What nodes were given since they last said how loaded they are."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch, NodeAddress, NodeId
from lalmesh.runtime.registry import KeyValue, Listing, Put
from lalmesh.runtime.scheduling.model import Capacity, Claim, Load, NodeReport, Refused, Role
from services.scheduler import records
from services.scheduler.candidates import STREAM_BPS
from services.scheduler.claims import decide_claim
from services.scheduler.directory import Directory
from services.scheduler.loads import RESERVED_S, SHOWN_AFTER_S, Loads
from services.scheduler.registry import MemoryRegistry
from services.scheduler.rulings import Seen, Write

NODE = NodeId("o1", b"12345678")


def test_what_was_granted_is_unseen_until_a_report_can_show_it() -> None:
    loads = Loads()
    loads.granted(NODE, 10.0)
    loads.report(NODE, Load(egress_bps=7), 11.0)
    assert (loads.unseen(NODE, 11.0), loads.of(NODE)) == (1, Load(egress_bps=7))
    loads.report(NODE, Load(egress_bps=9), 10.1 + SHOWN_AFTER_S)
    assert loads.unseen(NODE, 10.1 + SHOWN_AFTER_S) == 0


def test_what_was_granted_to_nodes_that_have_gone_is_not_kept() -> None:
    loads = Loads()
    for start in range(100):
        loads.granted(NodeId("o1", start.to_bytes(8)), float(start))
    assert len(loads._granted) <= RESERVED_S + 1


def test_nothing_is_reserved_for_ever_for_a_node_that_says_nothing_here() -> None:
    loads = Loads()
    loads.granted(NODE, 10.0)
    assert loads.unseen(NODE, 10.0 + RESERVED_S) == 1
    assert loads.unseen(NODE, 10.1 + RESERVED_S) == 0


def test_what_is_under_way_counts_until_it_is_concluded() -> None:
    loads = Loads()
    loads.reserve(NODE)
    loads.reserve(NODE)
    loads.conclude(NODE)
    assert (loads.under_way(NODE), loads.unseen(NODE, 0.0)) == (1, 1)
    loads.conclude(NODE)
    assert loads.unseen(NODE, 0.0) == 0


def cluster(*capacities: Capacity) -> tuple[Directory, list[records.NodeRecord]]:
    """An edge and origins, each on a machine of its own."""
    reports = [NodeReport(node=_address("e1"), role=Role.EDGE)]
    reports += [NodeReport(node=_address(f"o{n}"), role=Role.ORIGIN, capacity=each) for n, each in enumerate(capacities)]
    nodes = [replace(records.NodeRecord.of(report), lease_id=0) for report in reports]
    return Directory(rejoin_s=1.0), nodes


def _address(name: str) -> NodeAddress:
    return NodeAddress(NodeId(name, name.encode().ljust(8, b".")), f"{name}:1")


async def burst(directory: Directory, nodes: list[records.NodeRecord], count: int, *, late: bool) -> Counter[str]:
    """So many claims before any report; `late`: all are decided before the first of them is through."""
    registry = MemoryRegistry(lambda: 0.0)
    await registry.transact([], [Put("cluster/term", b"7")])
    await registry.transact([], [Put(records.node_key(each.node.name), records.serialize_node(each)) for each in nodes])
    directory.handle(await registry.list(""), 0.0)
    placed: Counter[str] = Counter()
    for number in range(count):
        stream = StreamKey.of("live", f"cam{number}")
        asked = Claim(stream=stream, publication=number.to_bytes(16, "big"))
        ruling = decide_claim(asked, nodes[0].node, Seen.of(directory, stream), directory, 0.0)
        if isinstance(ruling, Refused):
            placed[ruling.refusal.value] += 1
            continue
        assert isinstance(ruling, Write)
        assert ruling.origin is not None
        placed[ruling.origin.name] += 1
        directory.offers.loads.reserve(ruling.origin)
        if not late:
            result = await registry.transact(ruling.compares, ruling.operations)
            directory.offers.loads.conclude(ruling.origin)
            for entry in ruling.entries(result.revision).values():
                assert entry is not None
                directory.learn(entry, 0.0)
    return placed


async def test_a_burst_of_claims_spreads_whether_or_not_one_is_through_before_the_next() -> None:
    for late in (False, True):
        placed = await burst(*cluster(*[Capacity()] * 4), 1000, late=late)
        assert sum(placed.values()) == 1000
        assert max(placed.values()) - min(placed.values()) <= 50, placed


async def test_a_burst_spreads_by_bit_rate_where_that_is_all_that_is_stated() -> None:
    placed = await burst(*cluster(*[Capacity(egress_bps=1000 * STREAM_BPS)] * 4), 1000, late=False)
    assert max(placed.values()) - min(placed.values()) <= 50, placed


async def test_a_burst_is_refused_once_all_are_full_and_no_node_gets_more_than_it_can_carry() -> None:
    placed = await burst(*cluster(*[Capacity(streams=10)] * 4), 60, late=True)
    assert placed == {"o0": 10, "o1": 10, "o2": 10, "o3": 10, "no_origin": 20}


def test_groups_of_a_listing_have_been_there_for_long() -> None:
    directory, nodes = cluster(Capacity())
    group = records.GroupRecord(
        stream=StreamKey.of("live", "cam"), term=7, origin=nodes[1].address, heir=None, epoch=Epoch(7, 1), publication=b"p" * 16
    )
    entry = KeyValue(records.group_key(group.stream), records.serialize_group(group), 5, 5)
    node = KeyValue(records.node_key("o0"), records.serialize_node(nodes[1]), 4, 4)
    directory.handle(Listing((entry, node), 5), 0.0)
    (candidate,) = directory.offers.origins()
    assert (candidate.streams, candidate.unseen) == (1, 0)


@given(st.lists(st.tuples(st.sampled_from("grs"), st.floats(0, 20)), max_size=30))
def test_the_count_is_never_negative(steps: list[tuple[str, float]]) -> None:
    loads, now = Loads(), 0.0
    for kind, wait in steps:
        now += wait
        match kind:
            case "g":
                loads.granted(NODE, now)
            case "r":
                loads.reserve(NODE)
            case _:
                loads.report(NODE, Load(), now)
        assert loads.unseen(NODE, now) >= loads.under_way(NODE) >= 0
