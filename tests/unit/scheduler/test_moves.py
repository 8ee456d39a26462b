"""Where groups go that cannot stay where they are."""

from __future__ import annotations

from support.rulings import (
    CAM,
    CLAIM_KEY,
    EPOCH,
    GROUP_KEY,
    NODES,
    OTHER_ORIGIN,
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

from lalmesh.runtime.ownership import Epoch, Place
from lalmesh.runtime.registry import Unchanged
from lalmesh.runtime.scheduling.model import Move, Refusal, Role
from services.scheduler.directory import Directory
from services.scheduler.moves import decide_move, decide_planned_move
from services.scheduler.rulings import Granted, Ruling, Seen, Write

THREE = (*NODES, node("o3", Role.ORIGIN, 7))


def move(core: Directory, *avoid: str, epoch: Epoch = EPOCH, place: Place = PLACE, edge: str = "e1", at: str = "") -> Ruling:
    heir = address(at).node if at else None
    asked = Move(stream=CAM, epoch=epoch, place=place, publication=P1, avoid=avoid, at=heir)
    return decide_move(asked, address(edge).node, Seen.of(core, CAM), core)


def test_a_move_goes_to_the_heir_under_the_same_epoch() -> None:
    ruling = move(directory(held(), group("o1", "o2")), "o1")
    assert isinstance(ruling, Write)
    assert ruling.compares[:2] == (Unchanged(CLAIM_KEY, 10), Unchanged(GROUP_KEY, 10))
    assert [put.key for put in ruling.operations] == [GROUP_KEY]
    moved = written(ruling).group
    assert moved is not None
    assert (moved.origin, moved.epoch, moved.place) == (address("o2"), Epoch(1000, 10), Place(1000, 30))


def test_a_move_from_an_outdated_place_is_told_the_present_one() -> None:
    ruling = move(directory(held(), group(revision=15)))
    assert isinstance(ruling, Granted)
    assert ruling.grant.place == Place(1000, 15)


def test_another_heir_is_no_move_and_the_old_one_that_has_taken_over_is_written_down() -> None:
    core = directory(held(), group("o1", "o3", revision=15, pointed=PLACE), nodes=THREE)
    assert isinstance(move(core, place=Place(1000, 9)), Granted)
    moved = written(move(core, "o1", at="o2")).group
    assert moved is not None
    assert (moved.origin, moved.heir, moved.pointed_place) == (address("o2"), address("o3"), Place(1000, 30))


def test_a_move_away_from_the_heir_that_took_over_is_made() -> None:
    ruling = move(directory(held(), group(revision=10)), "o1", place=Place(1000, 10, True))
    assert isinstance(ruling, Write)


def test_a_move_with_an_outdated_claim_is_fenced() -> None:
    core = directory(held("e2", P2, 12), group(revision=12))
    assert refusal(move(core)) is Refusal.FENCED
    assert refusal(move(directory(held(), group()), edge="e2")) is Refusal.FENCED


def test_a_move_without_a_claim_is_told_to_claim_again() -> None:
    assert refusal(move(directory(group()))) is Refusal.NOT_FOUND
    assert refusal(move(directory(held(revision=10)), epoch=Epoch(1001, 3))) is Refusal.NOT_FOUND


def test_a_move_never_returns_to_where_the_group_is() -> None:
    assert refusal(move(directory(held(), group(), nodes=NODES[:3]))) is Refusal.NO_ORIGIN
    assert refusal(move(directory(held(), group()), "o2")) is Refusal.NO_ORIGIN


def test_where_the_group_is_lost_an_origin_that_was_tried_is_better_than_none() -> None:
    moved = written(move(directory(held()), "o1", "o2")).group
    assert moved is not None
    assert moved.origin.node.name in OTHER_ORIGIN


def test_where_an_heir_has_taken_over_the_group_is_written_down_there_with_another_heir() -> None:
    ruling = move(directory(held(), group("o1", "o2"), nodes=THREE), "o1", at="o2")
    moved = written(ruling).group
    assert moved is not None
    assert (moved.origin, moved.heir, moved.epoch) == (address("o2"), address("o3"), EPOCH)
    assert moved.place == Place(1000, 30)


def test_an_heir_that_drains_or_is_away_is_written_down_all_the_same() -> None:
    core = directory(held(), group("o1", "o2"), nodes=(*NODES[:3], node("o2", Role.ORIGIN, 6, draining=True)))
    core.mark_away(address("o2").node, 0.0)
    moved = written(move(core, "o1", at="o2")).group
    assert moved is not None
    assert (moved.origin, moved.heir) == (address("o2"), None)


def test_who_writes_down_what_has_moved_on_is_told_the_present_place() -> None:
    ruling = move(directory(held(), group("o3", "o2", revision=15), nodes=THREE), "o1", at="o2")
    assert isinstance(ruling, Granted)
    assert (ruling.grant.origin, ruling.grant.place) == (address("o3"), Place(1000, 15))


def test_where_the_heir_is_gone_too_the_group_goes_elsewhere_but_not_while_the_cluster_settles() -> None:
    nodes = (*NODES[:3], THREE[-1])
    moved = written(move(directory(held(), group("o1", "o2"), nodes=nodes), "o1", at="o2")).group
    assert moved is not None
    assert moved.origin == address("o3")
    assert refusal(move(directory(SETTLING, held(), group("o1", "o2"), nodes=nodes), "o1", at="o2")) is Refusal.UNAVAILABLE


def test_what_was_tried_is_left_out() -> None:
    moved = written(move(directory(held(), group("o1", "o2"), nodes=THREE), "o1", "o2")).group
    assert moved is not None
    assert (moved.origin, moved.heir) == (address("o3"), None)


def test_while_the_cluster_settles_what_is_claimed_may_be_moved() -> None:
    assert isinstance(move(directory(SETTLING, held(), group("o1", "o2")), "o1"), Write)


def planned(core: Directory) -> Ruling | None:
    return decide_planned_move(CAM, Seen.of(core, CAM), core)


def test_the_group_of_an_origin_that_drains_goes_to_its_heir_under_the_same_claim() -> None:
    nodes = (*NODES[:2], node("o1", Role.ORIGIN, 5, draining=True), NODES[3], THREE[-1])
    ruling = planned(directory(held(), group("o1", "o2"), nodes=nodes))
    assert isinstance(ruling, Write)
    assert ruling.compares == (Unchanged(CLAIM_KEY, 10), Unchanged(GROUP_KEY, 10), Unchanged("cluster/term", 2))
    moved = written(ruling).group
    assert moved is not None
    assert (moved.origin, moved.heir, moved.epoch) == (address("o2"), address("o3"), EPOCH)


def test_nothing_is_moved_that_needs_not_be() -> None:
    assert planned(directory(held(), group("o1", "o2"))) is None
    draining = (*NODES[:2], node("o1", Role.ORIGIN, 5, draining=True), NODES[3])
    assert planned(directory(group("o1", "o2"), nodes=draining)) is None
    alone = planned(directory(held(), group("o1", "o2"), nodes=draining[:3]))
    assert alone is not None
    assert refusal(alone) is Refusal.NO_ORIGIN
