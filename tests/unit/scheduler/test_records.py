from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch, NodeAddress, NodeId, Place
from lalmesh.runtime.registry import KeyValue
from lalmesh.runtime.scheduling.model import Capacity, Endpoint, Load, NodeReport, Role
from services.scheduler import records

EDGE = NodeAddress(NodeId("e1", b"12345678"), "e1:50053")
ORIGIN = NodeAddress(NodeId("o1", b"87654321"), "o1:50052")
CAM = StreamKey.of("a/b", "cam 1")
CLAIM = records.ClaimRecord(stream=CAM, term=7, publication=b"p" * 16, edge=EDGE, origin="o1")
GROUP = records.GroupRecord(stream=CAM, term=7, origin=ORIGIN, heir=None, epoch=Epoch(7, 0), publication=b"p" * 16)


def entry(key: str, value: bytes) -> KeyValue:
    return KeyValue(key, value, 5, 9, 3)


def test_keys_are_readable_and_have_one_slash_for_the_stream() -> None:
    assert records.claim_key(CAM) == "claims/a%2Fb/cam%201"
    assert records.group_key(CAM) == "groups/a%2Fb/cam%201"
    assert records.node_key("e/1") == "nodes/e%2F1"


def test_a_claim_survives_and_its_epoch_is_the_revision_that_wrote_it() -> None:
    parsed = records.parse_claim(entry(records.claim_key(CAM), records.serialize_claim(CLAIM)))
    assert parsed == replace(CLAIM, lease_id=3, mod_revision=9)
    assert parsed.epoch == Epoch(7, 9)


def test_a_group_survives_and_epoch_zero_is_the_revision_that_wrote_it() -> None:
    parsed = records.parse_group(entry(records.group_key(CAM), records.serialize_group(GROUP)))
    assert parsed == replace(GROUP, lease_id=3, mod_revision=9, epoch=Epoch(7, 9))
    assert parsed.place == Place(7, 9)
    moved = replace(GROUP, heir=EDGE, epoch=Epoch(7, 4))
    again = records.parse_group(entry(records.group_key(CAM), records.serialize_group(moved)))
    assert (again.epoch, again.heir) == (Epoch(7, 4), EDGE)


def test_a_node_survives() -> None:
    report = NodeReport(
        node=EDGE, role=Role.EDGE, zone="z", capacity=Capacity(streams=3), endpoints=(Endpoint("rtmp", "h", 1935),), worker_of="e"
    )
    record = records.NodeRecord.of(report, away=True, replaced=(b"x" * 8,))
    parsed = records.parse_node(entry(records.node_key("e1"), records.serialize_node(record)))
    assert parsed == replace(record, lease_id=3, mod_revision=9)


def test_a_node_survives_the_replicas_of_another_version() -> None:
    load = Load(sessions=3, cpu_fraction=0.5, opened_sessions=9, hls_egress_bps=7)
    record = records.NodeRecord.of(NodeReport(node=EDGE, role=Role.EDGE, load=load))
    value = json.loads(records.serialize_node(record))
    known_before = {"ingress_bps", "egress_bps", "sessions", "streams", "cpu_fraction", "memory_bytes"}
    assert value["load"].keys() == known_before, "they read all that is there, and no record in which there is more"
    for figures in (value["load"], value["capacity"]):
        figures["of_a_later_version"] = [1]
    parsed = records.parse_node(entry(records.node_key("e1"), json.dumps(value).encode()))
    assert parsed == replace(record, lease_id=3, mod_revision=9)
    del value["opened_sessions"], value["hls_egress_bps"], value["worker_of"]
    parsed = records.parse_node(entry(records.node_key("e1"), json.dumps(value).encode()))
    assert parsed.load == replace(load, opened_sessions=0, hls_egress_bps=0)


def test_values_are_json_that_an_operator_reads() -> None:
    value = json.loads(records.serialize_claim(CLAIM))
    assert value["publication"] == "70" * 16
    assert value["edge"] == {"name": "e1", "incarnation": b"12345678".hex(), "address": "e1:50053"}


def test_a_node_that_states_no_machine_is_one_of_its_own() -> None:
    assert records.NodeRecord.of(NodeReport(node=EDGE, role=Role.EDGE)).machine == "node:e1"


@given(st.binary(max_size=40) | st.sampled_from([b"{}", b"[]", b"null", b'"x"', b'{"term":"x"}']))
def test_what_no_scheduler_wrote_is_damaged(value: bytes) -> None:
    with pytest.raises(records.DamagedRecordError):
        records.parse_claim(entry(records.claim_key(CAM), value))
    with pytest.raises(records.DamagedRecordError):
        records.parse_group(entry(records.group_key(CAM), value))
    with pytest.raises(records.DamagedRecordError):
        records.parse_node(entry("nodes/x", value))
