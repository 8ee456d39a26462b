"""A real browser plays what the server offers: Chromium with hls.js, with mpegts.js, and with pages of our own for MSE.

All formats play side by side, each in a page of its own, from pages of another origin. `make browser` watches for ten seconds,
and with ``E2E_BROWSER_S=30`` before it for thirty.
"""

from __future__ import annotations

import os
import statistics
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.browser import Pages, Report, Watch
from support.cluster import Node, Standalone
from support.ffmpeg import Publisher
from support.media import media
from support.ports import LOOPBACK
from support.process import wait_until

STREAM = "live/cam"
REPUBLISHED = "live/changing"
WATCHED_S = float(os.environ.get("E2E_BROWSER_S", "10"))
REFUSED_S = 2.0  #: that pages are watched all of which have failed
PUBLISHED_S = 90 + WATCHED_S
PICTURES_PER_S = 30.0  #: of the stream
SIZE = (640, 360)
TOLERANCE = 0.2  #: all players share the machine with other tests; one that drops pictures to the next key frame loses more

SEGMENTS = 3  #: in the playlist before players come: they begin so far from its end
START_S = 30.0  #: for those segments
UNSTEADY_S = 12.0  #: three of the four seconds that such a stream repeats
REPUBLISHED_S = 6.0  #: from the first publisher's end until the second one's pictures are seen everywhere
MAX_BEHIND_LIVE_S = 3.0  #: in low-latency HLS with parts of 0.5 s
#: Key frames are 2 s apart, so segments last 2 s too.
HLS = {"hls.start": "always", "hls.segment_ms": 2000, "hls.part_ms": 500}

#: The player, the scheme and the listener that it asks, and the path there.
FORMATS = {
    "http-flv": ("mpegts.js flv", "http", "http", "/{}.flv"),
    "ws-flv": ("mpegts.js flv", "ws", "http", "/{}.flv"),
    "http-ts": ("mpegts.js ts", "http", "http", "/{}.ts"),
    "ws-ts": ("mpegts.js ts", "ws", "http", "/{}.ts"),
    "http-fmp4": ("fetch fmp4", "http", "http", "/{}.mp4"),
    "ws-fmp4": ("websocket fmp4", "ws", "http", "/{}.mp4"),
    "hls-ts": ("hls.js", "http", "hls", "/hls/{}.m3u8"),
    "hls-fmp4": ("hls.js", "http", "http", "/hls/{}/index.m3u8"),
}
ORIGIN_CHECKED = ("http-flv", "ws-flv", "hls-ts", "hls-fmp4")  #: one of each kind of request and listener
#: Alone, so that what is measured is the server and not how busy the machine is.
LOW_LATENCY = {"ll-hls": ("hls.js low latency", "http", "http", "/hls/{}/index.m3u8")}
#: What is told of a new configuration. HTTP-fMP4 is not, it is closed. Interop: mpegts.js 1.8.2 appends the last picture of the old
#: one under the new init segment, and makes an init segment of every audio frame once the sample rate has changed.
GOING_ON = ("ws-fmp4", "ll-hls")
#: Streams that pause: how many pictures they have in four seconds, with one key frame. A player that takes a pause for a hole drops
#: what comes between it and the key frame: half of them and more.
UNSTEADY_PICTURES = {"h264_pausing_aac": 64, "h264_aac_missing": 100}
FRAGMENTED = ("http-fmp4", "ws-fmp4", "ll-hls")


@pytest.fixture(scope="module")
def server(pages: Pages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A standalone server that lets `pages` read, with a stream."""
    folder = tmp_path_factory.mktemp("browser")
    origins = {"edge.http.cors_origins": [pages.origin], "hls.http.cors_origins": [pages.origin]}
    with Standalone(folder, HLS | origins) as node, publish("bench", node, STREAM, folder):
        yield node


@pytest.fixture(scope="module")
def reports(pages: Pages, server: Node) -> dict[str, Report]:
    """How each format did."""
    wait_until("segments", lambda: segments(server) >= SEGMENTS, START_S, every_s=0.2)
    return pages.watch({name: watch(server, name) for name in FORMATS}, WATCHED_S)


def publish(name: str, node: Node, stream: str, folder: Path) -> Publisher:
    log = folder / f"push.{name}.log"
    return Publisher(media(name), node.rtmp_url(stream), log=log, loops=-1, limit_s=PUBLISHED_S)


def watch(server: Node, name: str, stream: str = STREAM) -> Watch:
    player, scheme, listener, path = (FORMATS | LOW_LATENCY)[name]
    return Watch(player, f"{scheme}://{LOOPBACK}:{server.ports[listener]}{path.format(stream)}")


def segments(server: Node) -> int:
    """How many segments the playlist has."""
    try:
        with urllib.request.urlopen(server.hls_url(f"{STREAM}.m3u8"), timeout=START_S) as answer:
            return int(answer.read().count(b"#EXTINF:"))
    except urllib.error.HTTPError:
        return 0


def test_a_page_of_another_origin_reads_nothing(pages: Pages, server: Node) -> None:
    strange = pages.watch({name: watch(server, name) for name in ORIGIN_CHECKED}, REFUSED_S, host="localhost")
    assert {name for name, report in strange.items() if report.fatal is None} == set()
    assert {name for name, report in strange.items() if report.samples[-1]["frames"]} == set()


@pytest.mark.parametrize("name", FORMATS)
def test_a_browser_plays_without_an_error_or_a_halt(reports: dict[str, Report], name: str) -> None:
    report = reports[name]
    assert report.fatal is None, str(report)
    assert report.watched_s >= WATCHED_S, str(report)
    assert report.sizes == [SIZE], str(report)
    assert report.played_s == pytest.approx(report.watched_s, rel=TOLERANCE), str(report)
    assert report.frames_per_s == pytest.approx(PICTURES_PER_S, rel=TOLERANCE), str(report)


def test_low_latency_hls_stays_near_to_live(pages: Pages, server: Node) -> None:
    report = pages.watch({"ll-hls": watch(server, "ll-hls")}, WATCHED_S)["ll-hls"]
    assert report.fatal is None, str(report)
    assert report.played_s > (1 - TOLERANCE) * report.watched_s, str(report)
    assert report.frames_per_s > (1 - TOLERANCE) * PICTURES_PER_S, str(report)
    assert report.behind_live_s, str(report)
    assert statistics.median(report.behind_live_s) < MAX_BEHIND_LIVE_S, str(report)


@pytest.fixture(scope="module")
def unsteady(pages: Pages, server: Node, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Report]:
    """How players did with streams that pause, by stream and player."""
    folder = tmp_path_factory.mktemp("unsteady")
    with ExitStack() as stack:
        for name in UNSTEADY_PICTURES:
            stack.enter_context(publish(name, server, f"live/{name}", folder))
        watched = [(name, player) for name in UNSTEADY_PICTURES for player in FRAGMENTED]
        watches = {f"{name} {player}": watch(server, player, f"live/{name}") for name, player in watched}
        reports = pages.watch(watches, UNSTEADY_S)
    return dict(zip(watched, reports.values(), strict=True))


@pytest.mark.parametrize("player", FRAGMENTED)
@pytest.mark.parametrize("name", UNSTEADY_PICTURES)
def test_pauses_of_pictures_and_of_sound_cost_no_picture(unsteady: dict[tuple[str, str], Report], name: str, player: str) -> None:
    report = unsteady[name, player]
    assert report.fatal is None, str(report)
    assert report.played_s > report.watched_s / 2, str(report)
    pictures = report.frames_per_s * report.watched_s
    assert pictures == pytest.approx(report.played_s * UNSTEADY_PICTURES[name] / 4, rel=TOLERANCE), str(report)


def test_players_go_on_when_another_publisher_brings_another_size(pages: Pages, server: Node, tmp_path: Path) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(publish("h264_aac", server, REPUBLISHED, tmp_path))

        def change() -> None:
            first.kill()
            stack.enter_context(publish("h264_large_aac", server, REPUBLISHED, tmp_path))

        watches = {name: watch(server, name, REPUBLISHED) for name in GOING_ON}
        reports = pages.watch(watches, REPUBLISHED_S, once_playing=change)
    for name, report in reports.items():
        assert report.fatal is None, f"{name}: {report}"
        assert report.sizes == [(320, 180), (640, 360)], f"{name}: {report}"
