"""A real browser plays what the server offers: Chromium with hls.js, with mpegts.js, and with pages of our own for MSE.

All formats play side by side, each in a page of its own, from pages of another origin. `make e2e` watches for ten seconds;
``E2E_BROWSER_S=30 make e2e ARGS='-k browser'`` for thirty.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from support import browser
from support.browser import Pages, Report, Watch
from support.cluster import Node, Standalone
from support.ffmpeg import Publisher
from support.media import media

STREAM = "live/cam"
WATCHED_S = float(os.environ.get("E2E_BROWSER_S", "10"))
PUBLISHED_S = 90 + WATCHED_S
PICTURES_PER_S = 30.0  #: of the stream
SIZE = (640, 360)
TOLERANCE = 0.1  #: all players share the machine with other tests; one that drops pictures to the next key frame loses more

#: The player, and the URL of what it plays below the server's own.
FORMATS = {
    "http-flv": ("mpegts.js flv", "http", f"/{STREAM}.flv"),
    "ws-flv": ("mpegts.js flv", "ws", f"/{STREAM}.flv"),
    "http-ts": ("mpegts.js ts", "http", f"/{STREAM}.ts"),
    "ws-ts": ("mpegts.js ts", "ws", f"/{STREAM}.ts"),
    "http-fmp4": ("fetch fmp4", "http", f"/{STREAM}.mp4"),
    "ws-fmp4": ("websocket fmp4", "ws", f"/{STREAM}.mp4"),
}


@pytest.fixture(scope="module")
def pages() -> Iterator[Pages]:
    """The pages that play, on a port of their own."""
    if not browser.available():
        pytest.skip("chromium, node or npm is not installed")
    browser.install()
    with Pages() as pages:
        yield pages


@pytest.fixture(scope="module")
def server(pages: Pages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A standalone server that lets `pages` read, with a stream."""
    folder = tmp_path_factory.mktemp("browser")
    with (
        Standalone(folder, {"edge.http.cors_origins": [pages.origin]}) as node,
        Publisher(media("bench"), node.rtmp_url(STREAM), log=folder / "push.log", loops=-1, limit_s=PUBLISHED_S),
    ):
        yield node


@pytest.fixture(scope="module")
def reports(pages: Pages, server: Node) -> dict[str, Report]:
    """How each format did."""
    return pages.watch({name: watch(server, name) for name in FORMATS}, WATCHED_S)


def watch(server: Node, name: str) -> Watch:
    player, scheme, path = FORMATS[name]
    return Watch(player, f"{scheme}://127.0.0.1:{server.ports['http']}{path}")


@pytest.mark.parametrize("name", FORMATS)
def test_a_browser_plays_without_an_error_or_a_halt(reports: dict[str, Report], name: str) -> None:
    report = reports[name]
    assert report.fatal is None, report
    assert report.watched_s >= WATCHED_S, report
    assert report.sizes == [SIZE], report
    assert report.played_s == pytest.approx(report.watched_s, rel=TOLERANCE), report
    assert report.frames_per_s == pytest.approx(PICTURES_PER_S, rel=TOLERANCE), report


def test_a_page_of_another_origin_reads_nothing(pages: Pages, server: Node) -> None:
    strange = pages.watch({name: watch(server, name) for name in FORMATS}, WATCHED_S, host="localhost")
    assert {name for name, report in strange.items() if report.fatal is None} == set()
    assert {name for name, report in strange.items() if report.samples[-1]["frames"]} == set()
