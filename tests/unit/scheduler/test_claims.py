from __future__ import annotations

from dataclasses import replace

from support.rulings import (
    CAM,
    CLAIM_KEY,
    GROUP_KEY,
    NODES,
    OTHER_ORIGIN,
    P1,
    P2,
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
from lalmesh.runtime.registry import Absent, KeyValue, Unchanged
from lalmesh.runtime.scheduling.model import Claim, Refusal, Refused, Released, Role
from services.scheduler import records
from services.scheduler.claims import decide_claim, is_claim_of, is_group_of
from services.scheduler.directory import Directory
from services.scheduler.rulings import Granted, Ruling, Seen, Write


def claim(core: Directory, edge: str = "e1", publication: bytes = P1, *, take_over: bool = False, now: float = 0.0) -> Ruling:
    asked = Claim(stream=CAM, publication=publication, take_over=take_over)
    return decide_claim(asked, address(edge).node, Seen.of(core, CAM), core, now)


def test_a_first_claim_writes_both_keys_if_neither_exists() -> None:
    ruling = claim(directory())
    assert isinstance(ruling, Write)
    assert ruling.compares == (Absent(CLAIM_KEY), Absent(GROUP_KEY), Unchanged("cluster/term", 2), Absent("cluster/settling"))
    seen = written(ruling)
    assert seen.claim is not None
    assert seen.group is not None
    assert (seen.claim.epoch, seen.group.epoch, seen.group.place) == (Epoch(1000, 30), Epoch(1000, 30), Place(1000, 30))
    assert (seen.claim.lease_id, seen.group.lease_id) == (3, 5 if seen.group.origin == address("o1") else 6)
    assert seen.group.heir == address(OTHER_ORIGIN[seen.group.origin.node.name])


def test_the_same_claim_again_gets_the_same_grant() -> None:
    ruling = claim(directory(held(), group(revision=15)))
    assert isinstance(ruling, Granted)
    assert (ruling.grant.epoch, ruling.grant.place) == (Epoch(1000, 10), Place(1000, 15))


def test_a_claim_that_lost_its_group_gets_another_under_its_own_epoch() -> None:
    ruling = claim(directory(held()))
    assert isinstance(ruling, Write)
    assert ruling.compares[:2] == (Unchanged(CLAIM_KEY, 10), Absent(GROUP_KEY))
    group_now = written(ruling).group
    assert group_now is not None
    assert (group_now.epoch, group_now.place) == (Epoch(1000, 10), Place(1000, 30))


def test_a_held_stream_is_refused() -> None:
    assert refusal(claim(directory(held(), group()), "e2", P2)) is Refusal.EXISTS
    assert refusal(claim(directory(held(), group()), "e1", P2)) is Refusal.EXISTS
    assert refusal(claim(directory(held(), group()), "e2", P1)) is Refusal.EXISTS


def test_taking_over_compares_what_was_read_and_keeps_the_group_where_it_is() -> None:
    for name in ("o1", "o2"):
        ruling = claim(directory(held(), group(name, OTHER_ORIGIN[name], 12)), "e2", P2, take_over=True)
        assert isinstance(ruling, Write)
        assert ruling.compares[:2] == (Unchanged(CLAIM_KEY, 10), Unchanged(GROUP_KEY, 12))
        seen = written(ruling)
        assert seen.group is not None
        assert seen.group.origin == address(name)
        assert seen.group.heir == address(OTHER_ORIGIN[name])


def test_the_claim_of_a_node_that_is_away_may_be_taken_after_rejoin_s() -> None:
    core = directory(held(), group())
    core.mark_away(address("e1").node, 5.0)
    early = claim(core, "e2", P2, now=5.4)
    assert isinstance(early, Refused)
    assert (early.refusal, round(early.retry_after_s, 3)) == (Refusal.EXISTS, 0.6)
    assert isinstance(claim(core, "e2", P2, now=6.0), Write)


def test_the_claim_of_a_node_that_is_gone_may_be_taken() -> None:
    core = directory(held("gone"), group())
    assert isinstance(claim(core, "e2", P2), Write)


def test_a_claim_is_taken_only_while_its_holder_is_as_away_or_as_gone_as_it_is_known_to_be() -> None:
    core = directory(held(), group())
    core.mark_away(address("e1").node, 0.0)
    gone, other_start = directory(held("gone"), group()), directory(held("e1", start=b"before.."), group())
    for made, compare in (
        (core, Unchanged(records.node_key("e1"), 3)),
        (gone, Absent(records.node_key("gone"))),
        (other_start, Unchanged(records.node_key("e1"), 3)),
    ):
        ruling = claim(made, "e2", P2, now=5.0)
        assert isinstance(ruling, Write)
        assert compare in ruling.compares
        forced = claim(made, "e2", P2, take_over=True, now=5.0)
        assert isinstance(forced, Write)
        assert compare not in forced.compares


def test_a_holder_that_the_view_cannot_know_yet_is_not_gone() -> None:
    core = directory()
    seen = Seen.of(core, CAM).with_found({CLAIM_KEY: held("new", revision=21)}, CAM)
    ruling = decide_claim(Claim(stream=CAM, publication=P2), address("e2").node, seen, core, 0.0)
    assert isinstance(ruling, Refused)
    assert ruling.retry_after_s > 0


def test_a_group_whose_origin_is_gone_or_away_too_long_goes_elsewhere() -> None:
    gone = written(claim(directory(group("gone", "o2")))).group
    assert gone is not None
    assert gone.origin.node.name in OTHER_ORIGIN
    core = directory(group("o1", "o2"))
    core.mark_away(address("o1").node, 0.0)
    kept, moved = written(claim(core, now=0.5)).group, written(claim(core, now=1.5)).group
    assert kept is not None
    assert moved is not None
    assert (kept.origin, moved.origin) == (address("o1"), address("o2"))


def test_who_is_no_member_or_away_gets_nothing() -> None:
    assert refusal(claim(directory(), "stranger")) is Refusal.NOT_JOINED
    core = directory()
    core.mark_away(address("e1").node, 0.0)
    assert refusal(claim(core)) is Refusal.NOT_JOINED


def test_without_term_or_origin_nothing_is_granted() -> None:
    assert refusal(claim(directory(nodes=NODES[:2]))) is Refusal.NO_ORIGIN
    core = directory()
    seen = replace(Seen.of(core, CAM), term=None)
    assert refusal(decide_claim(Claim(stream=CAM, publication=P1), address("e1").node, seen, core, 0.0)) is Refusal.UNAVAILABLE


def test_only_the_holder_gives_back() -> None:
    record, place = records.parse_claim(held()), records.parse_group(group())
    mine = Released(stream=CAM, epoch=Epoch(1000, 10), publication=P1, place=Place(1000, 10))
    assert is_claim_of(record, mine, address("e1").node)
    assert not is_claim_of(record, mine, address("e2").node)
    assert not is_claim_of(record, replace(mine, epoch=Epoch(999, 10)), address("e1").node)
    assert not is_claim_of(record, replace(mine, publication=P2), address("e1").node)
    assert is_group_of(place, mine, address("o1").node)
    assert not is_group_of(place, mine, address("o2").node)
    assert not is_group_of(place, replace(mine, place=Place(1000, 9)), address("o1").node)


def test_what_a_claim_got_is_told_to_who_asks_for_no_more_than_that_and_nothing_is_granted_anew() -> None:
    asked = Claim(stream=CAM, publication=P1, repeat_only=True)
    for core, is_granted in ((directory(), False), (directory(held(publication=P2)), False), (directory(held(), group()), True)):
        ruling = decide_claim(asked, address("e1").node, Seen.of(core, CAM), core, 0.0)
        assert isinstance(ruling, Granted) if is_granted else refusal(ruling) is Refusal.NOT_FOUND


def test_while_the_cluster_settles_first_claims_wait_and_the_holder_is_answered() -> None:
    for take_over in (False, True):
        refused = claim(directory(SETTLING, group()), "e2", P2, take_over=take_over)
        assert isinstance(refused, Refused)
        assert (refused.refusal, refused.retry_after_s > 0) == (Refusal.SETTLING, True)
        assert "the term is new" in refused.detail
    assert isinstance(claim(directory(SETTLING, held(), group()), "e1", P1), Granted)


def test_a_first_claim_compares_what_its_replica_stands_by() -> None:
    core = directory()
    core.cluster.standing = (Unchanged("schedulers/s/1", 7),)
    ruling = claim(core)
    assert isinstance(ruling, Write)
    assert ruling.compares[-1] == Unchanged("schedulers/s/1", 7)
    for found in (None, KeyValue("schedulers/s/1", b"{}", 8, 8)):
        seen = Seen.of(core, CAM).with_found({"schedulers/s/1": found}, CAM)
        asked = Claim(stream=CAM, publication=P1)
        assert refusal(decide_claim(asked, address("e1").node, seen, core, 0.0)) is Refusal.SETTLING


def test_a_group_does_not_stay_at_an_origin_that_drains() -> None:
    draining = (*NODES[:2], node("o1", Role.ORIGIN, 5, draining=True), NODES[3])
    placed = written(claim(directory(group("o1"), nodes=draining))).group
    assert placed is not None
    assert placed.origin == address("o2")
