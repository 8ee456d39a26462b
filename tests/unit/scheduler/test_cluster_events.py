from __future__ import annotations

from dataclasses import replace

import pytest

from lalmesh.names import StreamKey
from lalmesh.runtime.event_kinds import KINDS
from lalmesh.runtime.ownership import NodeAddress, NodeId
from lalmesh.runtime.scheduling.model import Role
from services.scheduler.changes import NodeChanged, RelayChanged
from services.scheduler.cluster_events import events_of
from services.scheduler.event_updates import MAX_PART_BYTES, parts_of
from services.scheduler.records import NodeRecord
from services.scheduler.relay_records import RelayRecord

CAM = StreamKey.of("live", "cam")
EDGE = NodeRecord(address=NodeAddress(NodeId("edge-1", b"\1" * 8), "h:1"), role=Role.EDGE, machine="m", mod_revision=5)
AGAIN = replace(EDGE, address=NodeAddress(NodeId("edge-1", b"\2" * 8), "h:1"), mod_revision=9)


def _kinds(before: NodeRecord | None, now: NodeRecord | None) -> list[str]:
    return [event.kind.value for event in events_of(NodeChanged(before, now), 0, _heard)]


def test_a_node_comes_goes_away_drains_and_leaves() -> None:
    assert _kinds(None, EDGE) == ["node_up"]
    assert _kinds(EDGE, replace(EDGE, mod_revision=6)) == []
    assert _kinds(EDGE, replace(EDGE, away=True)) == ["node_away"]
    assert _kinds(replace(EDGE, away=True), EDGE) == ["node_up"]
    assert _kinds(EDGE, replace(EDGE, draining=True)) == ["node_draining"]
    assert _kinds(replace(EDGE, draining=True), None) == ["node_down"]
    assert _kinds(EDGE, AGAIN) == ["node_down", "node_up"]


def test_all_replicas_tell_under_one_id_and_each_time_is_another() -> None:
    def ids(before: NodeRecord | None, now: NodeRecord | None) -> list[str]:
        return [event.once for event in events_of(NodeChanged(before, now), 0, _heard)]

    assert ids(None, EDGE) == ids(None, replace(EDGE, mod_revision=6))
    away = [replace(EDGE, away=True, mod_revision=revision) for revision in (6, 8)]
    assert len({*ids(None, EDGE), *ids(None, AGAIN), *ids(EDGE, away[0]), *ids(EDGE, away[1])}) == 4


def test_a_process_that_comes_and_goes_is_told_of_each_time() -> None:
    first, second = replace(EDGE, lease_id=1), replace(EDGE, lease_id=2, mod_revision=8)
    pairs: list[tuple[NodeRecord | None, NodeRecord | None]] = [(None, first), (first, None), (None, second), (second, None)]
    told = [event for pair in pairs for event in events_of(NodeChanged(*pair), 0, _heard)]
    assert [event.kind.value for event in told] == ["node_up", "node_down", "node_up", "node_down"]
    assert len({event.once for event in told}) == 4
    later = replace(first, mod_revision=7)  # another replica has not seen the first writes of the same membership
    assert [event.once for event in events_of(NodeChanged(later, None), 0, _heard)] == [told[1].once]


def test_a_lease_and_a_revision_of_one_number_are_two_happenings() -> None:
    up = events_of(NodeChanged(None, replace(EDGE, lease_id=5)), 0, _heard)
    back = events_of(NodeChanged(replace(EDGE, lease_id=5, away=True), replace(EDGE, lease_id=5, mod_revision=5)), 0, _heard)
    assert len({event.once for event in (*up, *back)}) == 2


def _heard(_: RelayRecord) -> bool:
    return False


@pytest.mark.parametrize("is_push", [False, True])
def test_of_a_relay_that_no_edge_has_had_it_is_told_that_it_never_ran_and_why(is_push: bool) -> None:
    relay = RelayRecord(
        id="1",
        is_push=is_push,
        stream=CAM,
        urls=("rtmp://u:p@a.example/x/key?token=1",),
        waits_for="an edge with room",
        created_us=7,
    )
    [told] = events_of(RelayChanged(relay, None), 2_000_007, _heard)
    assert told.kind.value == ("relay_push_stop" if is_push else "relay_pull_stop")
    assert told.facts.keys() | {"has_in_session", "has_out_session"} == KINDS[told.kind].facts.keys()
    assert (told.stream, told.facts["reason"]) == (CAM, "it has waited for an edge with room and never ran")
    assert (told.facts["url"], told.facts["remote_addr"]) == (f"rtmp://a.example/x/{'***' if is_push else 'key'}", "a.example:1935")
    assert (told.facts["session_id"], told.facts["duration_ms"]) == ("1", 2000)
    replaced = RelayChanged(relay, replace(relay, id="2"))
    assert [each.once for each in events_of(replaced, 9, _heard)] == [told.once]


def test_of_a_relay_that_waits_on_or_that_an_edge_has_had_nothing_is_told_here() -> None:
    relay = RelayRecord(id="1", is_push=False, stream=CAM, urls=("rtmp://a/x/y",), waits_for="an edge with room")
    for before, now in (
        (None, relay),
        (relay, replace(relay, via=("b",))),
        (relay, replace(relay, edge=EDGE.address, waits_for="")),
        (replace(relay, waits_for=""), None),
    ):
        assert list(events_of(RelayChanged(before, now), 0, _heard)) == []


def test_of_a_relay_whose_edge_has_not_heard_of_it_it_is_told_that_it_never_ran() -> None:
    relay = RelayRecord(id="1", is_push=False, stream=CAM, urls=("rtmp://a/x/y",), edge=EDGE.address)
    [told] = events_of(RelayChanged(relay, None), 0, lambda record: record is relay)
    assert told.facts["reason"] == "it has waited for its edge to hear of it and never ran"
    assert list(events_of(RelayChanged(relay, replace(relay, via=("b",))), 0, lambda _: True)) == []


async def test_many_streams_take_several_updates_and_one_is_told_without_its_players_rather_than_not() -> None:
    groups = [{"stream_name": str(number), "subs": ["x" * 1000]} for number in range(100)]
    parts = await parts_of(groups)
    assert [group for part in parts for group in part] == groups
    assert len(parts) == 2
    assert await parts_of([]) == [[]]
    assert await parts_of([{"stream_name": "a", "subs": ["x" * MAX_PART_BYTES]}]) == [[{"stream_name": "a", "subs": None}]]
