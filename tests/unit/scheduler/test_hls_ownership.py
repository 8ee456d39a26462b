from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch, NodeAddress, NodeId
from lalmesh.runtime.registry import Absent, Changed, KeyValue, Listing, Unchanged
from lalmesh.runtime.scheduling.hls import HlsLimit, HlsReleased
from lalmesh.runtime.scheduling.model import Capacity, NodeReport, Refusal, Refused, Role
from services.scheduler import records
from services.scheduler.cluster_records import SETTLING_KEY, SchedulerRecord, serialize_settling
from services.scheduler.directory import Directory
from services.scheduler.hls_ownership import (
    Held,
    HlsSeen,
    Owned,
    Ruling,
    Write,
    decide_limit,
    decide_owner,
    decide_release,
    decide_succession,
    find_orphans,
)
from services.scheduler.hls_records import HlsRecord, hls_key, parse_hls, serialize_hls

CAM = StreamKey.of("live", "cam")
KEY = hls_key(CAM)
TERM = KeyValue("cluster/term", b"1000", 2, 2)
EPOCH = Epoch(1000, 12)  # as `owned` has it


def address(name: str) -> NodeAddress:
    return NodeAddress(NodeId(name, name.encode().ljust(8, b".")), f"{name}:1")


def node(name: str, revision: int, *, draining: bool = False, away: bool = False, streams: int = 0) -> KeyValue:
    report = NodeReport(node=address(name), role=Role.HLS, draining=draining, capacity=Capacity(streams=streams))
    value = records.serialize_node(records.NodeRecord.of(report, away=away))
    return KeyValue(records.node_key(name), value, revision, revision, lease_id=revision)


def claim(stream: StreamKey = CAM) -> KeyValue:
    record = records.ClaimRecord(stream=stream, term=1000, publication=b"p" * 16, edge=address("e1"), origin="o1")
    return KeyValue(records.claim_key(stream), records.serialize_claim(record), 10, 10)


def record_of(owner: str | None = "h1", *, limit: int = 40, exact: bool = False) -> HlsRecord:
    return HlsRecord(stream=CAM, owner=address(owner) if owner else None, epoch=EPOCH, limit=limit, exact=exact)


def owned(owner: str | None = "h1", *, limit: int = 40, exact: bool = False, revision: int = 12) -> KeyValue:
    return KeyValue(KEY, serialize_hls(record_of(owner, limit=limit, exact=exact)), revision, revision)


NODES = (node("h1", 3), node("h2", 4))


def directory(*entries: KeyValue, nodes: tuple[KeyValue, ...] = NODES) -> Directory:
    made = Directory(rejoin_s=1.0)
    made.handle(Listing((TERM, *nodes, *entries), 20), 0.0)
    return made


def owner_of(core: Directory, now: float = 0.0) -> Ruling:
    return decide_owner(CAM, HlsSeen.of(core, CAM), core, now)


def written(ruling: Ruling) -> HlsRecord:
    """The record once a write was carried out at revision 30."""
    assert isinstance(ruling, Write), ruling
    put = ruling.put(0)
    return parse_hls(KeyValue(put.key, put.value, 30, 30))


def refusal(ruling: Ruling) -> Refusal:
    assert isinstance(ruling, Refused), ruling
    return ruling.refusal


def test_a_published_stream_that_nobody_segments_is_given_to_a_worker_under_a_new_epoch() -> None:
    ruling = owner_of(directory(claim()))
    assert isinstance(ruling, Write)
    assert ruling.compares == (Absent(KEY), Unchanged("cluster/term", 2))
    named = written(ruling)
    assert named.owner in (address("h1"), address("h2"))
    assert (named.epoch, named.limit, named.exact) == (Epoch(1000, 30), 0, False)


def test_an_owner_that_lives_is_the_answer_even_where_the_stream_has_ended() -> None:
    for entries in ((owned(),), (owned(), claim())):
        ruling = owner_of(directory(*entries))
        assert isinstance(ruling, Owned)
        assert (ruling.owner.worker, ruling.owner.epoch, ruling.owner.limit) == (address("h1"), EPOCH, 40)


def test_a_stream_that_nobody_publishes_is_not_found() -> None:
    assert refusal(owner_of(directory())) is Refusal.NOT_FOUND
    assert refusal(owner_of(directory(owned("gone")))) is Refusal.NOT_FOUND
    assert refusal(owner_of(directory(owned(None)))) is Refusal.NOT_FOUND


def test_a_dead_owner_is_replaced_under_its_number_limit_and_nothing_is_exact() -> None:
    ruling = owner_of(directory(owned("gone", exact=True), claim()))
    assert isinstance(ruling, Write)
    assert ruling.compares[0] == Unchanged(KEY, 12)
    assert (written(ruling).limit, written(ruling).exact, written(ruling).epoch) == (40, False, Epoch(1000, 30))


def test_who_comes_after_one_that_handed_over_has_the_exact_number() -> None:
    assert (
        written(owner_of(directory(owned(None, limit=37, exact=True), claim()))).answer()
        == replace(
            record_of(), owner=written(owner_of(directory(claim()))).owner, epoch=Epoch(1000, 30), limit=37, exact=True
        ).answer()
    )


def test_another_incarnation_of_the_owner_is_not_the_owner() -> None:
    before = NodeAddress(NodeId("h1", b"before.."), "h1:1")
    record = replace(record_of(), owner=before)
    ruling = owner_of(directory(KeyValue(KEY, serialize_hls(record), 12, 12), claim()))
    assert isinstance(ruling, Write)
    assert written(ruling).owner != before


def test_an_owner_that_is_away_has_the_time_to_come_back_in() -> None:
    core = directory(owned(), claim(), nodes=(node("h1", 3, away=True), node("h2", 4)))
    assert isinstance(owner_of(core, 0.5), Owned)
    assert written(owner_of(core, 1.0)).owner == address("h2")


def test_an_owner_that_the_view_does_not_know_yet_is_taken_to_live() -> None:
    core = directory(claim())
    seen = HlsSeen.of(core, CAM).with_found({KEY: owned("h3", revision=25)}, CAM)
    assert isinstance(decide_owner(CAM, seen, core, 0.0), Owned)
    core.handle(Changed(KeyValue("other", b"", 26, 26)), 0.0)
    assert isinstance(decide_owner(CAM, seen, core, 0.0), Write)


def test_workers_that_drain_are_away_or_full_are_not_chosen() -> None:
    full = (node("h1", 3, draining=True), node("h2", 4, away=True), node("h3", 5, streams=1))
    assert written(owner_of(directory(claim(), nodes=full))).owner == address("h3")
    other = StreamKey.of("live", "other")
    busy = KeyValue(hls_key(other), serialize_hls(replace(record_of("h3"), stream=other)), 13, 13)
    assert refusal(owner_of(directory(claim(), busy, nodes=full))) is Refusal.NO_WORKER


def test_the_less_loaded_of_the_first_two_is_chosen() -> None:
    first = written(owner_of(directory(claim()))).owner
    assert first is not None
    others = [StreamKey.of("live", str(number)) for number in range(2)]
    load = [KeyValue(hls_key(each), serialize_hls(replace(record_of(first.node.name), stream=each)), 13, 13) for each in others]
    second = written(owner_of(directory(claim(), *load))).owner
    assert second is not None
    assert second != first


def test_the_limit_is_raised_and_the_epoch_stays() -> None:
    seen = HlsSeen(record=parse_hls(owned()))
    ruling = decide_limit(HlsLimit(CAM, EPOCH, 60), address("h1"), seen)
    assert isinstance(ruling, Write)
    assert ruling.compares == (Unchanged(KEY, 12),)
    assert (written(ruling).limit, written(ruling).epoch, written(ruling).owner) == (60, EPOCH, address("h1"))


def test_a_limit_is_never_lowered_and_the_same_again_is_no_write() -> None:
    for limit in (0, 40):
        assert decide_limit(HlsLimit(CAM, EPOCH, limit), address("h1"), HlsSeen(record=parse_hls(owned()))) == Held(True)


def test_a_number_that_was_handed_over_is_exact_only_until_the_limit_is_raised() -> None:
    seen = HlsSeen(record=parse_hls(owned(exact=True)))
    for limit, expected in ((30, 40), (60, 60)):
        raised = written(decide_limit(HlsLimit(CAM, EPOCH, limit), address("h1"), seen))
        assert (raised.limit, raised.exact) == (expected, False)


def test_who_is_not_the_owner_raises_and_releases_nothing() -> None:
    seen = HlsSeen(record=parse_hls(owned()))
    for asker, epoch in (("h2", EPOCH), ("h1", Epoch(1000, 11))):
        assert decide_limit(HlsLimit(CAM, epoch, 60), address(asker), seen) == Held(False)
        assert decide_release(HlsReleased(CAM, epoch, 50), address(asker).node, seen) == Held(False)
    assert decide_release(HlsReleased(CAM, EPOCH, 50), address("h1").node, HlsSeen()) == Held(False)


def test_an_owner_whose_key_was_wiped_writes_it_again_under_its_epoch() -> None:
    ruling = decide_limit(HlsLimit(CAM, EPOCH, 60), address("h1"), HlsSeen())
    assert isinstance(ruling, Write)
    assert ruling.compares == (Absent(KEY),)
    assert (written(ruling).epoch, written(ruling).limit) == (EPOCH, 60)


def test_an_owner_that_a_restored_registry_knows_nothing_of_is_written_over_what_it_knows() -> None:
    later = Epoch(1000, 90)
    ruling = decide_limit(HlsLimit(CAM, later, 30), address("h2"), HlsSeen(record=parse_hls(owned())))
    assert isinstance(ruling, Write)
    assert ruling.compares == (Unchanged(KEY, 12),)
    now = written(ruling)
    assert (now.owner, now.epoch, now.limit) == (address("h2"), later, 40)


def test_whoever_comes_after_what_a_restored_registry_forgot_is_above_it() -> None:
    later = Epoch(1000, 90)  # a revision that the registry is far from now
    core = directory(owned(), claim())
    ruling = decide_owner(CAM, HlsSeen.of(core, CAM), core, 0.0, shown=later)
    assert written(ruling).epoch == Epoch(1001, 30)
    assert isinstance(decide_owner(CAM, HlsSeen.of(core, CAM), core, 0.0, shown=EPOCH), Owned)
    kept = parse_hls(KeyValue(KEY, serialize_hls(replace(record_of("gone"), epoch=later)), 13, 13))
    ruling = decide_owner(CAM, HlsSeen(core.term, kept, True), core, 0.0)
    assert written(ruling).epoch == Epoch(1001, 30)
    after = replace(written(ruling), owner=address("gone"))
    core.handle(Changed(KeyValue("other", b"", 31, 31)), 0.0)
    assert written(decide_owner(CAM, HlsSeen(core.term, after, True), core, 0.0)).epoch.term == 1001


def test_a_release_leaves_the_exact_number_to_nobody() -> None:
    ruling = decide_release(HlsReleased(CAM, EPOCH, 37), address("h1").node, HlsSeen(record=parse_hls(owned())))
    assert isinstance(ruling, Write)
    assert ruling.is_at_rest
    rest = written(ruling)
    assert (rest.owner, rest.limit, rest.exact, rest.epoch, rest.answer()) == (None, 37, True, EPOCH, None)


def test_the_succession_of_a_dead_owner_is_another_where_the_stream_lives_and_rest_where_it_does_not() -> None:
    core = directory(owned("gone"), claim())
    assert written(decide_succession(CAM, HlsSeen.of(core, CAM), core, 0.0)).owner in (address("h1"), address("h2"))
    core = directory(owned("gone"))
    rest = decide_succession(CAM, HlsSeen.of(core, CAM), core, 0.0)
    assert isinstance(rest, Write)
    assert rest.is_at_rest
    assert (written(rest).limit, written(rest).exact) == (40, False)


def test_there_is_no_succession_to_one_that_lives_or_to_nobody() -> None:
    core = directory(owned(), claim())
    assert isinstance(decide_succession(CAM, HlsSeen.of(core, CAM), core, 0.0), Owned)
    core = directory(owned(None), claim())
    assert decide_succession(CAM, HlsSeen.of(core, CAM), core, 0.0) == Held(False)


def settles(core: Directory) -> Directory:
    core.learn(KeyValue(SETTLING_KEY, serialize_settling("a test"), 40, 40), 0.0)
    return core


def stands_not(core: Directory) -> Directory:
    core.cluster.cease_to_stand()
    return core


@pytest.mark.parametrize("waiting", [settles, stands_not])
def test_while_the_cluster_settles_an_owner_that_is_not_there_has_not_died(waiting: Callable[[Directory], Directory]) -> None:
    core = waiting(directory(owned("gone"), claim()))
    ruling = decide_owner(CAM, HlsSeen.of(core, CAM), core, 0.0)
    assert isinstance(ruling, Refused)
    assert (ruling.refusal, decide_succession(CAM, HlsSeen.of(core, CAM), core, 0.0)) == (Refusal.SETTLING, ruling)
    assert find_orphans(core, 0.0)[0] == []
    core = waiting(directory(owned("gone")))
    assert decide_succession(CAM, HlsSeen.of(core, CAM), core, 0.0) == Held(False)
    core = waiting(directory(claim()))
    assert isinstance(decide_owner(CAM, HlsSeen.of(core, CAM), core, 0.0), Write)


@pytest.mark.parametrize("waiting", [settles, stands_not])
@pytest.mark.parametrize("entries", [(claim(),), (claim(), owned(None))])
def test_while_the_cluster_settles_nobody_is_named_unasked_for_the_owner_may_have_yet_to_say_so(
    waiting: Callable[[Directory], Directory], entries: tuple[KeyValue, ...]
) -> None:
    core = waiting(directory(*entries))
    assert refusal(decide_owner(CAM, HlsSeen.of(core, CAM), core, 0.0, is_asked=False)) is Refusal.SETTLING
    core = directory(*entries)
    ruling = decide_owner(CAM, HlsSeen.of(core, CAM), core, 0.0, is_asked=False)
    assert isinstance(ruling, Write)
    assert Absent(SETTLING_KEY) in ruling.compares


def test_an_owner_that_was_lost_is_followed_only_where_it_has_not_come_back_at_another_replica() -> None:
    for core, known in (
        (directory(owned("gone"), claim()), Absent("nodes/gone")),
        (directory(owned(), claim(), nodes=(node("h1", 3, away=True), node("h2", 4))), Unchanged("nodes/h1", 3)),
    ):
        for ruling in (owner_of(core, 5.0), decide_succession(CAM, HlsSeen.of(core, CAM), core, 5.0)):
            assert isinstance(ruling, Write)
            assert known in ruling.compares


def test_an_owner_that_was_lost_is_followed_only_while_nothing_settles_whatever_the_view_has_seen() -> None:
    core = directory(owned("gone"), claim())
    ruling = decide_owner(CAM, HlsSeen.of(core, CAM), core, 0.0)
    assert isinstance(ruling, Write)
    assert Absent(SETTLING_KEY) in ruling.compares


def test_a_replica_that_finds_that_it_stands_no_more_waits_and_does_not_try_again() -> None:
    core = directory(owned("gone"), claim())
    core.cluster.begin_to_stand(SchedulerRecord(key="schedulers/s1", mod_revision=9))
    seen = HlsSeen.of(core, CAM)
    ruling = decide_owner(CAM, seen, core, 0.0)
    assert isinstance(ruling, Write)
    assert Unchanged("schedulers/s1", 9) in ruling.compares
    again = decide_owner(CAM, seen.with_found({"schedulers/s1": None, KEY: owned("gone")}, CAM), core, 0.0)
    assert isinstance(again, Refused)
    assert again.refusal is Refusal.SETTLING


def test_orphans_are_found_and_when_to_look_again() -> None:
    assert find_orphans(directory(owned(), claim()), 0.0) == ([], None)
    assert find_orphans(directory(owned("gone")), 0.0) == ([CAM], None)
    core = directory(owned(), nodes=(node("h1", 3, away=True),))
    assert find_orphans(core, 0.25) == ([], 0.75)
    assert find_orphans(core, 1.0) == ([CAM], None)


def test_one_that_the_view_does_not_know_yet_is_looked_at_again() -> None:
    core = directory()
    core.learn(owned("h3", revision=25), 0.0)
    orphans, wait_s = find_orphans(core, 0.0)
    assert orphans == []
    assert wait_s is not None


def test_a_stream_comes_to_rest_only_while_nobody_claims_it_whatever_the_view_has_seen() -> None:
    core = directory(owned("gone"))
    rest = decide_succession(CAM, HlsSeen.of(core, CAM), core, 0.0)
    assert isinstance(rest, Write)
    absent = (records.claim_key(CAM), records.group_key(CAM), records.node_key("gone"), SETTLING_KEY)
    assert rest.compares == (Unchanged(KEY, 12), *map(Absent, absent))
    found = {KEY: owned("gone"), records.claim_key(CAM): claim(), records.group_key(CAM): None}
    again = decide_succession(CAM, HlsSeen.of(core, CAM).with_found(found, CAM), core, 0.0)
    assert written(again).owner in (address("h1"), address("h2"))


def test_while_the_cluster_settles_nobody_is_taken_for_dead() -> None:
    settling = KeyValue("cluster/settling", b'{"reason":"the term is new"}', 9, 9)
    assert find_orphans(directory(owned("gone"), settling), 0.0) == ([], None)


def test_an_owner_that_was_taken_for_dead_takes_back_what_is_at_rest_unless_it_was_handed_over() -> None:
    asked = HlsLimit(CAM, EPOCH, 60)
    back = written(decide_limit(asked, address("h1"), HlsSeen.of(directory(owned(None, limit=40)), CAM)))
    assert (back.owner, back.epoch, back.limit) == (address("h1"), EPOCH, 60)
    for later in (owned(None, exact=True), owned("h2")):
        assert decide_limit(asked, address("h1"), HlsSeen.of(directory(later), CAM)) == Held(False)
