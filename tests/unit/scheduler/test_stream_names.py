"""Streams by name alone."""

from __future__ import annotations

from collections.abc import Sequence

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch, NodeAddress, NodeId
from lalmesh.runtime.registry import Changed, FollowEvent, KeyValue, Listing, Removed
from lalmesh.runtime.relay_rules import parse_relay_rule
from lalmesh.runtime.scheduling import NamedStreams
from services.scheduler import records
from services.scheduler.directory import Directory
from services.scheduler.names import MAX_FOUND, StreamNames
from services.scheduler.relay_records import RelayRecord, serialize_relay

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

    def handle(self, *events: FollowEvent) -> Sequence[StreamKey]:
        for event in events:
            for change in self.directory.handle(event, 0.0):
                self.names.handle(change)
        return self.names.find("cam").streams


def test_a_stream_is_found_by_its_name_while_it_has_a_claim_or_a_group() -> None:
    followed = Followed()
    assert followed.handle(Listing((claim(LIVE, 2), group(LIVE, 2)), 2)) == (LIVE,)
    assert followed.handle(Removed(records.claim_key(LIVE), 3)) == (LIVE,)
    assert followed.handle(Removed(records.group_key(LIVE), 4)) == ()
    assert followed.names.find("other") == NamedStreams()


def test_all_applications_that_have_the_name_are_found() -> None:
    followed = Followed()
    assert followed.handle(Listing((), 1), Changed(claim(TV, 2)), Changed(claim(LIVE, 3))) == (LIVE, TV)
    assert followed.handle(Listing((claim(TV, 2),), 9)) == (TV,)


def named_by(*rules: str) -> StreamKey | None:
    """What the name means where these rules fetch."""
    followed = Followed()
    parsed = [parse_relay_rule(rule, is_push=False) for rule in rules]
    followed.directory.relaying.configure([(str(number), rule) for number, rule in enumerate(parsed)])
    return followed.names.find("cam").fetched


def test_a_stream_that_is_nowhere_is_the_one_that_a_rule_would_fetch() -> None:
    assert named_by() is None
    assert named_by("tv/x* rtmp://a/b/c") is None
    assert named_by("tv/c* rtmp://a/b/c") == TV
    assert named_by("tv/hd/* rtmp://a/b/c") == StreamKey.of("tv/hd", "cam")
    assert named_by("tv/cam rtmp://a/b/c start=always", "tv/other rtmp://a/b/c start=always") == TV


def test_it_is_of_the_usual_application_where_a_rule_would_fetch_it_of_any_or_several_would_of_theirs() -> None:
    for pattern in ("*", "*/cam", "l*/cam", "*cam"):
        assert named_by(f"{pattern} rtmp://a/b/c") == LIVE
    assert named_by("t*/cam rtmp://a/b/c") is None, "nobody can tell which"
    assert named_by("tv/* rtmp://a/b/c", "live/* rtmp://a/b/c") == LIVE
    assert named_by("tv/* rtmp://a/b/c", "* rtmp://a/b/c") == LIVE
    assert named_by("tv/* rtmp://a/b/c", "cable/* rtmp://a/b/c") == TV


def test_a_relay_that_fetches_it_comes_before_rules_and_what_is_there_before_both() -> None:
    followed = Followed()
    followed.directory.relaying.configure([("1", parse_relay_rule("live/* rtmp://a/b/c", is_push=False))])
    pull = RelayRecord(id="1", is_push=False, stream=TV, urls=("rtmp://a/b/c",))
    followed.handle(Listing((), 1), Changed(KeyValue(pull.key, serialize_relay(pull), 2, 2)))
    assert followed.names.find("cam").fetched == TV
    followed.handle(Changed(claim(StreamKey.of("cable", "cam"), 3)))
    assert followed.names.find("cam") == NamedStreams((StreamKey.of("cable", "cam"),))
    followed.handle(Listing((), 4))
    assert followed.names.find("cam").fetched == LIVE


def test_of_many_only_some_are_told() -> None:
    followed = Followed()
    found = followed.handle(*(Changed(claim(StreamKey(f"a{n}", "cam"), n)) for n in range(1, MAX_FOUND + 3)))
    assert len(found) == MAX_FOUND
