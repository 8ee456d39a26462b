"""What publications hold, and the registry has forgotten or shows otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.rulings import (
    CAM,
    CLAIM_KEY,
    EPOCH,
    GROUP_KEY,
    NODES,
    P1,
    P2,
    PLACE,
    SETTLING,
    address,
    directory,
    group,
    held,
    node,
    refusal,
    written,
)

from lalmesh.runtime.ownership import Epoch, NodeAddress, NodeId, Place
from lalmesh.runtime.registry import Absent, KeyValue, Unchanged
from lalmesh.runtime.scheduling.model import Claim, Held, NodeReport, Refusal, Role
from services.scheduler import records
from services.scheduler.claims import decide_claim
from services.scheduler.directory import Directory
from services.scheduler.rulings import Granted, Ruling, Seen, Write

HELD = Held(epoch=EPOCH, place=PLACE, origin=address("o1"), heir=address("o2"))
OF_BEFORE = replace(HELD, epoch=Epoch(999, 10), place=Place(999, 10))  #: of another past of the store


def reclaim(core: Directory, held: Held = HELD, *, edge: str = "e1", publication: bytes = P1, seen: Seen | None = None) -> Ruling:
    asked = Claim(stream=CAM, publication=publication, held=held)
    return decide_claim(asked, address(edge).node, seen or Seen.of(core, CAM), core, 0.0)


def owned(publication: bytes = P1, revision: int = 10, edge: str = "e1", *, kept: Epoch | None = None) -> KeyValue:
    """The claim that stands in the registry, under the edge's present lease."""
    address_ = address(edge)
    record = records.ClaimRecord(stream=CAM, term=1000, publication=publication, edge=address_, origin="o1", kept=kept)
    lease_id = 3 if edge == "e1" else 4
    return KeyValue(CLAIM_KEY, records.serialize_claim(record), revision, revision, lease_id)


def of_another(revision: int) -> KeyValue:
    """The group of a publication that was granted at `revision`, and has ended."""
    record = records.GroupRecord(
        stream=CAM, term=1000, origin=address("o1"), heir=address("o2"), epoch=Epoch(1000, revision), publication=P2
    )
    return KeyValue(GROUP_KEY, records.serialize_group(record), revision, revision, 5)


def test_what_was_forgotten_is_written_again_where_it_was() -> None:
    of_settling = {
        directory(): Absent("cluster/settling"),
        directory(SETTLING): Unchanged("cluster/settling", SETTLING.mod_revision),
    }
    for core, settling in of_settling.items():
        ruling = reclaim(core)
        assert isinstance(ruling, Write)
        assert ruling.compares == (Absent(CLAIM_KEY), Absent(GROUP_KEY), Unchanged("cluster/term", 2), settling)
        seen = written(ruling)
        assert seen.claim is not None
        assert seen.group is not None
        assert seen.claim.publication == P1
        assert (seen.group.epoch, seen.group.origin, seen.group.heir) == (seen.claim.epoch, address("o1"), address("o2"))
        assert seen.group.place == Place(1000, 30) > PLACE


@pytest.mark.parametrize("held_", [HELD, OF_BEFORE], ids=["of this term", "of the term before"])
def test_while_the_cluster_settles_it_keeps_its_epoch(held_: Held) -> None:
    ruling = reclaim(directory(SETTLING), held_)
    assert isinstance(ruling, Write)
    assert ruling.compares[-1] == Unchanged("cluster/settling", SETTLING.mod_revision)
    seen = written(ruling)
    assert seen.claim is not None
    assert seen.group is not None
    assert seen.claim.epoch == seen.group.epoch == held_.epoch


def test_before_a_replica_stands_it_does_not_know_whether_the_cluster_has_to_settle() -> None:
    seen = replace(Seen.of(directory(), CAM), standing=None)
    assert refusal(reclaim(directory(), seen=seen)) is Refusal.UNAVAILABLE
    assert isinstance(reclaim(directory(group()), seen=replace(Seen.of(directory(group()), CAM), standing=None)), Write)


def test_it_keeps_its_epoch_where_the_group_says_that_nobody_else_had_the_stream() -> None:
    seen = written(reclaim(directory(group())))
    assert seen.claim is not None
    assert seen.claim.epoch == EPOCH


def test_where_another_may_have_come_and_gone_it_gets_an_epoch_above_that() -> None:
    gone_and_restored = (directory(), HELD), (directory(), OF_BEFORE), (directory(group()), OF_BEFORE)
    for core, held_ in gone_and_restored:
        claim = written(reclaim(core, held_)).claim
        assert claim is not None
        assert claim.epoch == Epoch(1000, 30)


def test_a_group_of_another_with_a_higher_epoch_fences_though_its_claim_was_given_back() -> None:
    assert refusal(reclaim(directory(of_another(20)))) is Refusal.FENCED
    assert refusal(reclaim(directory(of_another(10)))) is Refusal.FENCED
    assert isinstance(reclaim(directory(of_another(9))), Write)


def test_the_same_again_is_answered_alike() -> None:
    again = reclaim(directory(owned(revision=30, kept=EPOCH), group(revision=30)))
    assert isinstance(again, Granted)
    assert (again.grant.epoch, again.grant.place) == (EPOCH, Place(1000, 30))


def test_of_two_the_higher_epoch_wins_whoever_comes_first() -> None:
    lower, higher = owned(P2, 5, "e2", kept=Epoch(1000, 9)), owned(P2, 5, "e2", kept=Epoch(1000, 11))
    won = written(reclaim(directory(lower, group())))
    assert won.claim is not None
    assert (won.claim.publication, won.claim.epoch) == (P1, EPOCH)
    assert refusal(reclaim(directory(higher, group()))) is Refusal.FENCED


def test_the_same_epoch_of_another_publication_is_fenced() -> None:
    assert refusal(reclaim(directory(owned(P2, 5, "e2", kept=EPOCH), group()))) is Refusal.FENCED


def test_a_group_that_has_moved_on_is_left_and_one_that_lags_behind_is_pointed_anew() -> None:
    kept = reclaim(directory(owned(), group("o2", revision=15)))
    assert isinstance(kept, Granted)
    assert kept.grant.origin == address("o2")
    heir_took_over = replace(HELD, place=Place(1000, 10, True), origin=address("o2"), heir=None)
    pointed = written(reclaim(directory(owned(), group("o1", "o2", revision=10)), heir_took_over)).group
    assert pointed is not None
    assert (pointed.origin, pointed.heir) == (address("o2"), address("o1"))


def test_where_the_origin_has_yet_to_come_back_the_claim_is_secured_and_the_group_waits() -> None:
    core = directory(SETTLING, nodes=NODES[:2])
    ruling = reclaim(core)
    assert isinstance(ruling, Write)
    assert [put.key for put in ruling.operations] == [CLAIM_KEY]
    after = directory(SETTLING, owned(revision=30, kept=EPOCH), nodes=NODES[:2])
    assert refusal(reclaim(after)) is Refusal.UNAVAILABLE


def test_an_origin_that_is_gone_when_all_has_settled_is_replaced_by_the_heir() -> None:
    nodes = (*NODES[:2], NODES[3], node("o3", Role.ORIGIN, 7))
    moved = written(reclaim(directory(nodes=nodes))).group
    assert moved is not None
    assert moved.origin == address("o2")
    assert refusal(reclaim(directory(owned(kept=EPOCH), nodes=NODES[:2]))) is Refusal.NO_ORIGIN


def test_another_start_of_the_origin_is_taken_where_there_is_no_other() -> None:
    again = NodeAddress(NodeId("o1", b"another!"), "o1:2")
    entry = records.serialize_node(records.NodeRecord.of(NodeReport(node=again, role=Role.ORIGIN)))
    started = KeyValue(records.node_key("o1"), entry, 9, 9, 9)
    alone = written(reclaim(directory(nodes=(*NODES[:2], started)))).group
    assert alone is not None
    assert alone.origin == again
    beside = written(reclaim(directory(nodes=(*NODES[:2], NODES[3], started)), replace(HELD, heir=None))).group
    assert beside is not None
    assert (beside.origin, beside.heir) == (address("o2"), None)


def test_a_claim_of_a_restored_store_that_is_below_what_is_held_is_raised_to_it() -> None:
    raised = written(reclaim(directory(owned(revision=5), group(revision=5)))).claim
    assert raised is not None
    assert raised.epoch == EPOCH


def test_a_claim_under_a_lease_that_the_edge_has_no_more_gets_its_present_one() -> None:
    ruling = reclaim(directory(held(), group()))  # without a lease
    assert isinstance(ruling, Write)
    assert [(put.key, put.lease_id) for put in ruling.operations] == [(CLAIM_KEY, 3)]
    assert written(ruling).claim is not None


def test_who_is_no_member_claims_nothing_again() -> None:
    assert refusal(reclaim(directory(), edge="stranger")) is Refusal.NOT_JOINED
