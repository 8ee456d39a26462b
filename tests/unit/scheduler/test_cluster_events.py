from __future__ import annotations

from dataclasses import replace

from lalmesh.runtime.ownership import NodeAddress, NodeId
from lalmesh.runtime.scheduling.model import Role
from services.scheduler.changes import NodeChanged
from services.scheduler.cluster_events import events_of
from services.scheduler.event_updates import MAX_PART_BYTES, parts_of
from services.scheduler.records import NodeRecord

EDGE = NodeRecord(address=NodeAddress(NodeId("edge-1", b"\1" * 8), "h:1"), role=Role.EDGE, machine="m", mod_revision=5)
AGAIN = replace(EDGE, address=NodeAddress(NodeId("edge-1", b"\2" * 8), "h:1"), mod_revision=9)


def _kinds(before: NodeRecord | None, now: NodeRecord | None) -> list[str]:
    return [event.kind.value for event in events_of(NodeChanged(before, now))]


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
        return [event.once for event in events_of(NodeChanged(before, now))]

    assert ids(None, EDGE) == ids(None, replace(EDGE, mod_revision=6))
    away = [replace(EDGE, away=True, mod_revision=revision) for revision in (6, 8)]
    assert len({*ids(None, EDGE), *ids(None, AGAIN), *ids(EDGE, away[0]), *ids(EDGE, away[1])}) == 4


async def test_many_streams_take_several_updates_and_one_is_told_without_its_players_rather_than_not() -> None:
    groups = [{"stream_name": str(number), "subs": ["x" * 1000]} for number in range(100)]
    parts = await parts_of(groups)
    assert [group for part in parts for group in part] == groups
    assert len(parts) == 2
    assert await parts_of([]) == [[]]
    assert await parts_of([{"stream_name": "a", "subs": ["x" * MAX_PART_BYTES]}]) == [[{"stream_name": "a", "subs": None}]]
