from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch, HlsOwner, NodeAddress, NodeId
from lalmesh.runtime.registry import Changed, KeyValue, Listing, Removed
from services.scheduler.changes import HlsChanged
from services.scheduler.directory import Directory
from services.scheduler.hls_records import HlsRecord, hls_key, parse_hls, serialize_hls
from services.scheduler.recording_rules import RulesChanged
from services.scheduler.records import DamagedRecordError

CAM = StreamKey.of("a/b", "cam 1")
H1 = NodeAddress(NodeId("h1", b"12345678"), "h1:50054")
RECORD = HlsRecord(stream=CAM, owner=H1, epoch=Epoch(7, 0), limit=20)


def entry(record: HlsRecord, revision: int = 9) -> KeyValue:
    return KeyValue(hls_key(CAM), serialize_hls(record), 5, revision, 3)


def test_epoch_zero_is_the_revision_that_wrote_it_and_any_other_stays() -> None:
    named = parse_hls(entry(RECORD))
    assert named == replace(RECORD, lease_id=3, mod_revision=9, epoch=Epoch(7, 9))
    assert parse_hls(entry(replace(named, limit=40), 12)).epoch == Epoch(7, 9)
    assert named.answer() == HlsOwner(stream=CAM, epoch=Epoch(7, 9), worker=H1, limit=20)


def test_the_value_is_json_that_an_operator_reads() -> None:
    assert hls_key(CAM) == "hls/a%2Fb/cam%201"
    value = json.loads(serialize_hls(RECORD))
    assert value["owner"] == {"name": "h1", "incarnation": b"12345678".hex(), "address": "h1:50054"}
    assert (value["limit"], value["exact"], value["epoch"]) == (20, False, {"term": 7, "revision": 0})
    assert json.loads(serialize_hls(replace(RECORD, owner=None)))["owner"] is None


@given(st.binary(max_size=40) | st.sampled_from([b"{}", b"[]", b"null", b'{"owner":"x"}', b'{"owner":null,"epoch":3}']))
def test_what_no_scheduler_wrote_is_damaged(value: bytes) -> None:
    with pytest.raises(DamagedRecordError):
        parse_hls(KeyValue(hls_key(CAM), value, 5, 9))


def test_the_directory_knows_owners_and_their_streams() -> None:
    core = Directory(rejoin_s=1.0)
    assert core.handle(Listing((entry(RECORD),), 9), 0.0) == [HlsChanged(None, core.hls.record(CAM)), RulesChanged(())]
    assert (list(core.hls.owners()), list(core.hls.owned(H1.node))) == ([H1.node], [CAM])
    assert core.handle(Changed(entry(RECORD)), 0.0) == []
    released = replace(RECORD, owner=None)
    (change,) = core.handle(Changed(entry(released, 10)), 0.0)
    assert isinstance(change, HlsChanged)
    assert (list(core.hls.owners()), list(core.hls.owned(H1.node))) == ([], [])


def test_what_is_older_than_known_changes_nothing_and_a_listing_replaces_all() -> None:
    core = Directory(rejoin_s=1.0)
    core.handle(Listing((), 1), 0.0)
    core.learn(entry(RECORD, 9), 0.0)
    assert core.handle(Changed(entry(replace(RECORD, limit=3), 8)), 0.0) == []
    assert core.handle(Removed(hls_key(CAM), 8), 0.0) == []
    assert core.handle(Changed(KeyValue(hls_key(CAM), b"damaged", 5, 10)), 0.0) == []
    (change,) = core.handle(Listing((), 30), 0.0)
    assert isinstance(change, HlsChanged)
    assert core.hls.record(CAM) is None
