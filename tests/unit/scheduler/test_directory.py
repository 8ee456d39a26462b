from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch, NodeAddress, NodeId
from lalmesh.runtime.registry import Changed, FollowEvent, KeyValue, Listing, Removed
from lalmesh.runtime.scheduling.model import Capacity, NodeReport, Role
from services.scheduler import records
from services.scheduler.changes import ClaimChanged, GroupChanged, NodeChanged
from services.scheduler.cluster_records import TermRecord
from services.scheduler.directory import Directory

CAM = StreamKey.of("live", "cam")


def address(name: str, incarnation: bytes = b"12345678") -> NodeAddress:
    return NodeAddress(NodeId(name, incarnation), f"{name}:1")


def node(name: str, revision: int, *, away: bool = False, draining: bool = False, role: Role = Role.ORIGIN) -> KeyValue:
    report = NodeReport(node=address(name), role=role, draining=draining, capacity=Capacity(streams=9))
    value = records.serialize_node(records.NodeRecord.of(report, away=away))
    return KeyValue(records.node_key(name), value, revision, revision, lease_id=77)


def claim(revision: int, edge: str = "e1") -> KeyValue:
    record = records.ClaimRecord(stream=CAM, term=1, publication=b"p" * 16, edge=address(edge), origin="o1")
    return KeyValue(records.claim_key(CAM), records.serialize_claim(record), revision, revision)


def group(revision: int, origin: str = "o1") -> KeyValue:
    record = records.GroupRecord(stream=CAM, term=1, origin=address(origin), heir=None, epoch=Epoch(1, 0), publication=b"p" * 16)
    return KeyValue(records.group_key(CAM), records.serialize_group(record), revision, revision)


def directory(*events: FollowEvent, now: float = 0.0) -> Directory:
    made = Directory(rejoin_s=1.0)
    for event in events or (Listing((), 1),):
        made.handle(event, now)
    return made


def test_a_listing_shows_term_nodes_claims_and_groups() -> None:
    term = KeyValue("cluster/term", b"1700000000", 2, 2)
    core = directory(Listing((claim(4), term, group(4), node("o1", 3)), 4))
    assert core.is_listed
    assert core.term == TermRecord(term=1700000000, mod_revision=2)
    assert core.streams() == [CAM]
    assert [record.node.name for record in core.nodes()] == ["o1"]
    assert core.groups_of(address("o1").node) == 1


def test_changes_say_what_was_before() -> None:
    core = directory()
    assert core.handle(Changed(claim(2)), 0) == [ClaimChanged(None, core.claim(CAM))]
    before = core.claim(CAM)
    assert core.handle(Changed(claim(3, "e2")), 0) == [ClaimChanged(before, core.claim(CAM))]
    before = core.claim(CAM)
    assert core.handle(Removed(records.claim_key(CAM), 4), 0) == [ClaimChanged(before, None)]


def test_what_is_older_than_known_changes_nothing() -> None:
    core = directory()
    core.learn(group(5, "o2"), 0)
    assert core.handle(Changed(group(3)), 0) == []
    assert core.handle(Removed(records.group_key(CAM), 4), 0) == []
    assert core.handle(Changed(group(5, "o2")), 0) == []
    assert core.groups_of(address("o2").node) == 1


def test_nothing_is_learnt_that_the_following_has_passed() -> None:
    core = directory(Listing((), 1), Changed(group(3)), Removed(records.group_key(CAM), 4))
    assert core.learn(group(3), 0) == []
    assert core.group(CAM) is None


def test_a_new_listing_replaces_all_even_with_lower_revisions() -> None:
    core = directory(Listing((claim(40), group(40), node("o1", 30)), 40))
    changes = core.handle(Listing((node("o1", 2), group(3)), 3), 0)
    assert core.claim(CAM) is None
    assert [type(change) for change in changes] == [ClaimChanged, NodeChanged, GroupChanged]
    assert core.revision == 3
    assert core.groups_of(address("o1").node) == 1


def test_a_group_that_moves_is_counted_at_its_new_origin() -> None:
    core = directory(Listing((), 1), Changed(group(2)), Changed(group(3, "o2")))
    assert (core.groups_of(address("o1").node), core.groups_of(address("o2").node)) == (0, 1)


def test_only_origins_that_are_joined_and_not_draining_are_candidates() -> None:
    entries = (node("e1", 2, role=Role.EDGE), node("o1", 3), node("o2", 4, draining=True), node("o3", 5, away=True))
    core = directory(Listing(entries, 5))
    assert [candidate.name for candidate in core.offers.origins()] == ["o1"]
    assert [core.state_of(record) for record in core.nodes()] == ["joined", "joined", "draining", "away"]


def test_a_node_that_went_away_here_is_live_for_rejoin_s() -> None:
    core = directory(Listing((node("o1", 2),), 2))
    core.mark_away(address("o1").node, 10.0)
    assert not core.is_joined(address("o1").node)
    assert core.is_live(address("o1").node, 10.9)
    assert not core.is_live(address("o1").node, 11.0)
    core.handle(Changed(node("o1", 3, away=True)), 10.5)
    assert core.rejoin_left_s(address("o1").node, 10.5) == 0.5
    core.handle(Changed(node("o1", 4)), 10.6)
    assert core.is_joined(address("o1").node)


def test_a_listing_of_the_same_does_not_bring_an_away_node_back() -> None:
    core = directory(Listing((node("o1", 2),), 2))
    core.mark_away(address("o1").node, 10.0)
    assert core.handle(Listing((node("o1", 2),), 9), 11.0) == []
    assert core.is_away(address("o1").node)


def test_a_stream_is_listed_while_it_has_a_claim_or_a_group() -> None:
    core = directory()
    assert core.streams() == []
    core.handle(Changed(claim(2)), 0)
    assert core.streams() == [CAM]
    core.handle(Changed(group(3)), 0)
    core.handle(Removed(records.claim_key(CAM), 4), 0)
    assert core.streams() == [CAM]
    core.handle(Removed(records.group_key(CAM), 5), 0)
    assert core.streams() == []


def test_another_incarnation_is_another_node() -> None:
    core = directory(Listing((node("o1", 2),), 2))
    assert core.node(address("o1", b"another.").node) is None
    assert not core.is_live(address("o1", b"another.").node, 0)


def test_the_nodes_under_an_ended_lease_are_forgotten() -> None:
    core = directory(Listing((node("o1", 2), node("o2", 3)), 3))
    assert len(core.end_lease(77, 0)) == 2
    assert core.nodes() == []


def test_damaged_values_are_passed_over() -> None:
    core = directory(Listing((replace(claim(2), value=b"x"), KeyValue("cluster/term", b"soon", 2, 2)), 2))
    assert core.streams() == []
    assert core.term is None


@given(st.permutations([group(2), group(3, "o2"), group(4, "o3"), group(5, "o1")]))
def test_the_newest_write_wins_in_whatever_order_they_come(entries: list[KeyValue]) -> None:
    core = directory(Listing((), 1), *(Changed(entry) for entry in entries))
    found = core.group(CAM)
    assert found is not None
    assert found.mod_revision == 5
    assert [core.groups_of(address(name).node) for name in ("o1", "o2", "o3")] == [1, 0, 0]
