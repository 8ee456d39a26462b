"""Streams by name alone."""

from __future__ import annotations

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch, NodeAddress, NodeId
from lalmesh.runtime.registry import Changed, FollowEvent, KeyValue, Listing, Removed
from services.scheduler import records
from services.scheduler.directory import Directory
from services.scheduler.names import MAX_FOUND, StreamNames

LIVE, TV = StreamKey.of("live", "cam"), StreamKey.of("tv", "cam")
EDGE = NodeAddress(NodeId("e1", b"12345678"), "e1:1")


def claim(stream: StreamKey, revision: int) -> KeyValue:
    record = records.ClaimRecord(stream=stream, term=1, publication=b"p" * 16, edge=EDGE, origin="o1")
    return KeyValue(records.claim_key(stream), records.serialize_claim(record), revision, revision)


def group(stream: StreamKey, revision: int) -> KeyValue:
    record = records.GroupRecord(stream=stream, term=1, origin=EDGE, heir=None, epoch=Epoch(1, 0), publication=b"p" * 16)
    return KeyValue(records.group_key(stream), records.serialize_group(record), revision, revision)


class Followed:
    """A directory whose changes the names hear of."""

    def __init__(self) -> None:
        self.directory = Directory(rejoin_s=1.0)
        self.names = StreamNames(self.directory)

    def handle(self, *events: FollowEvent) -> list[StreamKey]:
        for event in events:
            for change in self.directory.handle(event, 0.0):
                self.names.handle(change)
        return self.names.find("cam")


def test_a_stream_is_found_by_its_name_while_it_has_a_claim_or_a_group() -> None:
    followed = Followed()
    assert followed.handle(Listing((claim(LIVE, 2), group(LIVE, 2)), 2)) == [LIVE]
    assert followed.handle(Removed(records.claim_key(LIVE), 3)) == [LIVE]
    assert followed.handle(Removed(records.group_key(LIVE), 4)) == []
    assert followed.names.find("other") == []


def test_all_applications_that_have_the_name_are_found() -> None:
    followed = Followed()
    assert followed.handle(Listing((), 1), Changed(claim(TV, 2)), Changed(claim(LIVE, 3))) == [LIVE, TV]
    assert followed.handle(Listing((claim(TV, 2),), 9)) == [TV]


def test_of_many_only_some_are_told() -> None:
    followed = Followed()
    found = followed.handle(*(Changed(claim(StreamKey(f"a{n}", "cam"), n)) for n in range(1, MAX_FOUND + 3)))
    assert len(found) == MAX_FOUND
