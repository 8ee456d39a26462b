from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.errors import NoOriginAvailable
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NodeAddress, NodeId
from lalmesh.runtime.scheduling.model import Capacity
from services.scheduler.candidates import Candidate
from services.scheduler.placement import Publisher, heir_of, place

CAM = StreamKey.of("live", "cam")
STREAMS = [StreamKey.of("live", f"cam{n}") for n in range(300)]


def origin(name: str, *, machine: str = "", zone: str = "", streams: int = 0, capacity: int = 0) -> Candidate:
    address = NodeAddress(NodeId(name, b"12345678"), f"{name}:50052")
    return Candidate(address=address, machine=machine or name, zone=zone, streams=streams, capacity=Capacity(streams=capacity))


THREE = [origin("a"), origin("b"), origin("c")]


def test_the_order_of_the_candidates_does_not_matter() -> None:
    assert place(CAM, THREE) == place(CAM, THREE[::-1])


def test_streams_spread_over_the_origins() -> None:
    counts = Counter(place(stream, THREE).origin.name for stream in STREAMS)
    assert min(counts.values()) > 60


def test_an_origin_that_goes_moves_no_stream_of_the_others() -> None:
    for stream in STREAMS:
        before = place(stream, THREE).origin
        if before.name != "c":
            assert place(stream, THREE[:2]).origin == before


def test_the_heir_of_a_lost_origin_is_where_its_stream_would_go() -> None:
    for stream in STREAMS:
        decision = place(stream, THREE)
        rest = [each for each in THREE if each != decision.origin]
        assert decision.heir == place(stream, rest).origin


def test_the_less_loaded_of_the_first_two_is_taken() -> None:
    first = place(CAM, THREE[:2]).origin
    busy = [origin(each.name, streams=5 if each == first else 4) for each in THREE[:2]]
    decision = place(CAM, busy)
    assert decision.origin.name != first.name
    assert decision.heir is not None
    assert decision.heir.name == first.name
    assert "carries less" in decision.reason


def test_loads_are_compared_by_share_where_capacities_are_stated() -> None:
    decision = place(CAM, [origin("a", streams=50, capacity=100), origin("b", streams=20, capacity=30)])
    assert decision.origin.name == "a"


def test_an_origin_without_room_is_passed_over() -> None:
    decision = place(CAM, [origin("a", streams=3, capacity=3), origin("b", streams=9)])
    assert decision.origin.name == "b"
    assert decision.heir is None
    assert decision.reason == "b is the only one with room"


@pytest.mark.parametrize("candidates", [[], [origin("a", streams=1, capacity=1)]], ids=["none", "full"])
def test_without_an_origin_with_room_it_refuses_with_a_hint(candidates: list[Candidate]) -> None:
    with pytest.raises(NoOriginAvailable) as refused:
        place(CAM, candidates)
    assert refused.value.retry_after_s > 0


def test_the_heir_is_never_on_the_machine_of_the_origin() -> None:
    decision = place(CAM, [origin("a", machine="m1"), origin("b", machine="m1"), origin("c", machine="m2", streams=9)])
    assert {decision.origin.machine, decision.heir.machine if decision.heir else ""} == {"m1", "m2"}
    assert place(CAM, [origin("a", machine="m1"), origin("b", machine="m1")]).heir is None


def test_the_publishers_zone_is_preferred_while_it_has_room() -> None:
    near, far = origin("a", zone="z1", streams=50, capacity=100), origin("b", zone="z2", capacity=100)
    decision = place(CAM, [near, far], publisher=Publisher("m9", "z1"))
    assert (decision.origin, decision.heir) == (near, far)
    assert "in zone z1" in decision.reason
    full = replace(near, streams=100)
    decision = place(CAM, [full, far], publisher=Publisher("m9", "z1"))
    assert decision.origin == far
    assert "none of zone z1" in decision.reason


def test_another_zone_comes_before_the_publishers_machine() -> None:
    decision = place(CAM, [origin("a", machine="m1", zone="z1"), origin("b", zone="z2")], publisher=Publisher("m1", "z1"))
    assert decision.origin.name == "b"


def test_an_origin_that_joins_gets_streams_and_no_other_gets_any() -> None:
    for stream in STREAMS:
        before, after = place(stream, THREE).origin, place(stream, [*THREE, origin("d")]).origin
        assert after == before or after.name == "d"


def test_the_publishers_machine_is_taken_only_for_want_of_another() -> None:
    origins = [origin("a", machine="m1"), origin("b", machine="m2", streams=50)]
    assert place(CAM, origins, publisher=Publisher("m1")).origin.name == "b"
    alone = place(CAM, origins[:1], publisher=Publisher("m1"))
    assert alone.origin.name == "a"
    assert "for want of another" in alone.reason


def test_what_was_tried_is_left_out_also_as_heir() -> None:
    decision = place(CAM, THREE, avoid=["a"])
    assert "a" not in (decision.origin.name, decision.heir.name if decision.heir else "")


def test_the_preferred_one_is_taken_where_it_has_room() -> None:
    for name in "abc":
        assert place(CAM, THREE, prefer=name).origin.name == name
    assert place(CAM, [origin("a", streams=1, capacity=1), origin("b")], prefer="a").origin.name == "b"


def test_a_group_that_stays_gets_an_heir_elsewhere() -> None:
    heir = heir_of(CAM, THREE[0], THREE, publisher=Publisher("b"))
    assert heir == THREE[2]


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 3), st.integers(0, 5), st.integers(0, 5)), max_size=6, unique_by=lambda t: t[0]
    ),
    st.integers(0, 3),
)
def test_every_decision_keeps_the_rules(nodes: list[tuple[int, int, int, int]], publisher: int) -> None:
    candidates = [origin(f"o{n}", machine=f"m{m}", streams=s, capacity=c) for n, m, s, c in nodes]
    roomy = [each for each in candidates if each.has_room]
    if not roomy:
        with pytest.raises(NoOriginAvailable):
            place(CAM, candidates, publisher=Publisher(f"m{publisher}"))
        return
    decision = place(CAM, candidates, publisher=Publisher(f"m{publisher}"))
    assert decision.origin in roomy
    if any(each.machine != f"m{publisher}" for each in roomy):
        assert decision.origin.machine != f"m{publisher}"
    others = {each.machine for each in roomy} - {decision.origin.machine}
    assert (decision.heir is not None) == bool(others)
    assert decision.heir is None or decision.heir.machine in others
