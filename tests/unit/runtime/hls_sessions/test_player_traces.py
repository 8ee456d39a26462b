"""What traces say of players of HLS: when they asked first, what they got, and that this is theirs once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from support.tracing import Recorded, context_of, parent_of, traced

from lalmesh.names import StreamKey
from lalmesh.runtime.hls_answers import NOT_KNOWN, Played
from lalmesh.runtime.hls_sessions import LEFT, HlsPlayer, Players, SessionIds, made_us
from lalmesh.runtime.hls_sessions._players import FIRST_US, KNOWN_US, SKEW_US
from lalmesh.runtime.sessions import SessionTouch
from lalmesh.runtime.telemetry import SpanName, TraceContext

CAM = StreamKey("live", "cam")
IDS = SessionIds((b"0123456789abcdef",))
PUBLICATION, CLIENT = TraceContext(0xA, 1), TraceContext(0xB, 2)
PLAYED = Played("70" * 16, PUBLICATION)
PLAYER = HlsPlayer(peer="192.0.2.1:9")


class Node:
    """One that counts, some time after an id was made, and hears what is told of its players."""

    def __init__(self, *, after_us: int = 0, spans: tuple[SpanName, SpanName] = (SpanName.PLAY, SpanName.FIRST_FRAME)) -> None:
        self.id = IDS.make(CAM)
        self.made_us = made_us(self.id)
        self.now_us = self.made_us + after_us
        self.players = Players(30.0, lambda: self.now_us / 1e6, lambda: self.now_us / 1e6, spans)
        self.players.watcher = self
        self.told: list[TraceContext | None] = []
        self.lasted_ms: list[int] = []

    def player_came(self, touch: SessionTouch, trace: TraceContext | None) -> None:
        self.told.append(trace)

    def player_left(self, touch: SessionTouch, sent_bytes: int, lasted_ms: int, reason: str, trace: TraceContext | None) -> None:
        self.told.append(trace)
        self.lasted_ms.append(lasted_ms)

    def saw(self, *, trace: TraceContext | None = None, is_media: bool = True, played: Played = PLAYED, waited_us: int = 0) -> None:
        player = replace(PLAYER, trace=trace, asked_us=self.now_us - waited_us)
        self.players.saw(CAM, self.id, lambda: player, 10, is_media=is_media, played=played)


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    with traced() as recorded:
        yield recorded


def test_a_player_joins_when_its_id_was_made() -> None:
    node = Node(after_us=1_500_000)
    node.saw()
    [touch] = node.players.touches()
    assert (touch.opened_us, touch.first_media_ms) == (node.made_us, 1500)
    assert (node.players.times.joins.count, node.players.times.joins.sum_s) == (1, 1.5)


def test_one_that_comes_from_another_node_has_joined_there(recorded: Recorded) -> None:
    node = Node(after_us=FIRST_US + 1)
    node.saw(trace=CLIENT)
    [touch] = node.players.touches()
    assert (touch.opened_us, node.players.times.joins.count) == (node.made_us, 0)
    assert recorded.all() == {}


def test_a_player_that_a_balancer_takes_to_one_edge_after_another_has_joined_once(recorded: Recorded) -> None:
    edges = [Node(after_us=after_us) for after_us in (100_000, 4_100_000, 8_100_000)]
    for edge in edges:
        edge.saw()
        edge.now_us += 12_000_000
        edge.saw()
    assert [(edge.players.times.joins.count, edge.players.times.joins.sum_s) for edge in edges] == [(1, 0.1), (0, 0.0), (0, 0.0)]
    assert len(recorded.named("edge.first_frame")) == 1


def test_one_that_waited_for_its_publisher_is_new_and_has_waited_since_its_id_was_made(recorded: Recorded) -> None:
    node, elsewhere = Node(after_us=12_000_000), Node(after_us=12_000_000)
    node.saw(waited_us=12_000_000 - FIRST_US)
    elsewhere.saw(waited_us=12_000_000 - FIRST_US - 1)
    [[touch], [other]] = node.players.touches(), elsewhere.players.touches()
    assert (touch.first_media_ms, other.first_media_ms) == (12_000, 9_999)
    assert [(each.players.times.joins.count, each.players.times.joins.sum_s) for each in (node, elsewhere)] == [(1, 12.0), (0, 0.0)]
    [first] = recorded.named("edge.first_frame")
    assert (first.start_time, first.end_time) == (node.made_us * 1000, node.now_us * 1000)


def test_a_pause_is_no_part_of_how_long_a_player_was_there() -> None:
    node = Node()
    for _ in range(2):
        node.saw()
        node.now_us += 40_000_000
        node.players.expire()
        node.now_us += 7_200_000_000
    assert node.lasted_ms == [40_000, 40_000]


@pytest.mark.parametrize("after_us", [-SKEW_US - 1, KNOWN_US + 1])
def test_an_id_of_another_time_says_nothing_of_when_it_was_made(after_us: int) -> None:
    node = Node(after_us=after_us)
    node.saw()
    [touch] = node.players.touches()
    assert (touch.opened_us, touch.first_media_ms) == (node.now_us, 1)
    assert made_us("x") == made_us("x" * 48) == 0


def test_a_clock_that_is_behind_makes_no_time_before_the_first_request() -> None:
    node = Node(after_us=-SKEW_US // 2)
    node.saw()
    assert node.players.times.joins.sum_s == 0.001


def test_the_first_media_of_a_player_is_a_part_of_its_publication(recorded: Recorded) -> None:
    node = Node(after_us=1_000_000)
    node.saw(is_media=False)
    node.now_us += 500_000
    for _ in range(2):
        node.saw()
    [first] = recorded.all().values()
    assert (first.name, parent_of(first)) == ("edge.first_frame", PUBLICATION)
    assert (first.start_time, first.end_time) == (node.made_us * 1000, node.now_us * 1000)
    assert dict(first.attributes or {}) == {
        "lalmesh.stream": "live/cam",
        "lalmesh.publication": PLAYED.publication,
        "lalmesh.protocol": "hls",
        "lalmesh.session_id": node.id,
    }


def test_a_player_whose_client_has_a_trace_is_a_part_of_that_too(recorded: Recorded) -> None:
    node = Node(spans=(SpanName.HLS_PLAY, SpanName.HLS_FIRST_FRAME))
    node.saw(trace=CLIENT)
    spans = recorded.all()
    play, first = spans["hls.play"], spans["hls.first_frame"]
    assert (parent_of(play), parent_of(first)) == (CLIENT, PUBLICATION)
    [link] = first.links
    assert TraceContext(link.context.trace_id, link.context.span_id) == context_of(play)


def test_its_events_are_parts_of_the_same_spans(recorded: Recorded) -> None:
    node, other = Node(), Node()
    node.saw(trace=CLIENT)
    other.saw()
    for each in (node, other):
        each.now_us += 31_000_000
        each.players.expire()
    [play] = map(context_of, recorded.named("edge.play"))
    _, first = map(context_of, recorded.named("edge.first_frame"))
    assert (node.told, other.told) == ([play, play], [PUBLICATION, first])


def test_one_that_got_nothing_says_why(recorded: Recorded) -> None:
    node = Node()
    node.saw(trace=CLIENT, is_media=False, played=NOT_KNOWN)
    node.now_us += 31_000_000
    node.players.expire()
    [play] = recorded.all().values()
    assert (play.attributes or {})["lalmesh.reason"] == play.status.description == LEFT


def test_a_publication_is_told_as_a_header() -> None:
    for played in (PLAYED, Played("ab"), NOT_KNOWN):
        assert Played.parse(str(played)) == played
