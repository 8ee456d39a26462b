"""Which hls node is asked for what."""

from __future__ import annotations

from collections import Counter

import pytest
from support.turned_clock import Clock

from services.edge.upstreams import AVOID_S, FOUND_S, Upstream, UpstreamChoice, stream_of

NODES = [Upstream(f"hls-{number}", f"10.0.0.{number}", 8081) for number in range(5)]
STREAMS = [f"live/{number}" for number in range(500)]


def choice(nodes: list[Upstream] = NODES, clock: Clock | None = None) -> UpstreamChoice:
    return UpstreamChoice(lambda: nodes, clock or Clock())


def test_every_edge_asks_the_same_node_for_a_stream() -> None:
    assert choice(NODES).ranked("live/a") == choice(NODES[::-1]).ranked("live/a")


def test_streams_are_spread_over_the_nodes() -> None:
    firsts = Counter(choice().ranked(stream)[0].name for stream in STREAMS)
    assert set(firsts) == {node.name for node in NODES}
    assert max(firsts.values()) < 2 * min(firsts.values())


def test_a_node_that_goes_moves_its_own_streams_only() -> None:
    before = {stream: choice().ranked(stream)[0] for stream in STREAMS}
    after = {stream: choice(NODES[1:]).ranked(stream)[0] for stream in STREAMS}
    assert all(after[stream] == node for stream, node in before.items() if node != NODES[0])


def test_a_node_that_could_not_be_reached_comes_last_for_a_while() -> None:
    clock = Clock()
    chosen = choice(clock=clock)
    usual = chosen.ranked("live/a")
    chosen.failed(usual[0])
    assert chosen.ranked("live/a") == [*usual[1:], usual[0]]
    clock.now += AVOID_S
    assert chosen.ranked("live/a") == usual


def test_a_node_that_answers_again_comes_first_at_once() -> None:
    chosen = choice()
    usual = chosen.ranked("live/a")
    chosen.failed(usual[0])
    chosen.reached(usual[0])
    assert chosen.ranked("live/a") == usual


def test_the_node_that_knew_where_a_stream_is_is_asked_first_for_it_for_a_while() -> None:
    clock = Clock()
    chosen = choice(clock=clock)
    usual = chosen.ranked("live/a")
    chosen.answered("live/a", usual[3], first=True)
    assert chosen.ranked("live/a") == [usual[3], *usual[:3], usual[4]]
    chosen.answered("live/a", usual[3])
    assert chosen.ranked("live/a")[0] == usual[3]
    assert chosen.ranked("live/b") == choice().ranked("live/b")
    clock.now += FOUND_S
    assert chosen.ranked("live/a") == usual


def test_the_last_node_that_answered_is_known_and_changes_no_order() -> None:
    chosen = choice()
    usual = chosen.ranked("live/a")
    assert chosen.last("live/a") is None
    chosen.answered("live/a", usual[3])
    assert chosen.last("live/a") == usual[3]
    assert chosen.ranked("live/a") == usual


def test_a_node_that_has_left_is_nobodys_last() -> None:
    nodes = list(NODES)
    chosen = choice(nodes)
    chosen.answered("live/a", nodes[0])
    nodes.remove(nodes[0])
    assert chosen.last("live/a") is None


@pytest.mark.parametrize(
    ("path", "stream"),
    [
        ("/hls/live/a.m3u8", "live/a"),
        ("/hls/a.m3u8", "a"),
        ("/hls/a/playlist.m3u8", "a"),
        ("/hls/live/a/index.m3u8", "live/a"),
        ("/hls/live/a/live.m3u8", "live/a"),
        ("/hls/live/a/5.3-17.2.m4s", "live/a"),
        ("/hls/live/tv/a.m3u8", "live/tv/a"),
        ("/record/live/a/20260101T000000.000Z-1.2-3.mp4", "live/a"),
        ("/record/", ""),
        ("/hls/", ""),
    ],
)
def test_playlists_and_segments_of_a_stream_meet_the_same_node(path: str, stream: str) -> None:
    assert stream_of(path) == stream


@pytest.mark.parametrize(
    ("address", "host", "authority"),
    [("hls:81", "hls", "hls:81"), ("[::1]:81", "::1", "[::1]:81"), ("10.0.0.1:81", "10.0.0.1", "10.0.0.1:81")],
)
def test_a_configured_address_is_read(address: str, host: str, authority: str) -> None:
    upstream = Upstream.parse(address)
    assert (upstream.host, upstream.port, upstream.authority) == (host, 81, authority)
