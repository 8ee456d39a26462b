"""The console in a real browser: what it shows of a cluster while that changes, what it does about it, and how it can be used.

``CONSOLE_SCREENSHOTS=1 make e2e browser ARGS='-k test_console'`` writes the pictures of docs/console.md anew.
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect
from support.cluster import Cluster, Node, Standalone
from support.console import BUILT, WAIT_MS, Console
from support.ffmpeg import Player, Publisher
from support.media import media
from support.ports import LOOPBACK
from support.process import ProcessError, wait_until

from lalmesh.runtime.api_tokens import hash_token

STREAM = "live/cam"
NEW = "halls/north/kamera-ü&1%"  #: of an application with a slash, and what URLs do not take as it is
PUBLISHED_S = 600.0
DOCS = BUILT.parents[2] / "docs"
START_S = 40.0  #: for a picture on a busy machine
OPERATOR = "an operator of the console in tests"
#: Each page, and what it has to have asked for before it shows all that it has.
PAGES = {
    "": ("nodes", "streams"),
    "nodes": ("nodes",),
    "nodes/edge-1": ("nodes/edge-1", "streams"),
    "streams": ("streams",),
    f"streams/{STREAM}": (f"streams/{STREAM}", f"streams/{STREAM}/history", f"streams/{STREAM}/path", "sessions", "relays"),
    "sessions": ("sessions",),
    "relays": ("relays", "relays/rules"),
}

expect.set_options(timeout=WAIT_MS)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two edges, of which players go to any, with a stream."""
    folder = tmp_path_factory.mktemp("console")
    settings = {"scheduler": {"scheduler.http.tokens": [f"ops operator {hash_token(OPERATOR)}"]}}
    with ExitStack() as stack:
        made = stack.enter_context(Cluster(folder, origins=2, edges=0, hls=1, settings=settings))
        for edge in [made.add("edge", {"edge.http.cors_origins": [made.api_url]}) for _ in range(2)]:
            edge.wait_ready()
        stack.enter_context(publish(made.edges[0], STREAM, folder))
        wait_until("the stream", lambda: ask(made.api_url, f"streams/{STREAM}").get("tracks"), START_S)
        yield made


@pytest.fixture(scope="module")
def standalone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    """A server of another cluster, with a stream; its console can be opened by any address of the machine."""
    folder = tmp_path_factory.mktemp("standalone")
    settings = {"cluster.name": "elsewhere", "scheduler.http.host": "0.0.0.0"}
    with Standalone(folder, settings) as server, publish(server, STREAM, folder):
        yield server


@pytest.fixture
def console(browser: Browser, cluster: Cluster) -> Iterator[Console]:
    made = Console(browser, cluster.api_url)
    yield made
    made.close()


def publish(node: Node, stream: str, folder: Path) -> Publisher:
    log = folder / f"push.{stream.replace('/', '.')}.log"
    return Publisher(media("bench"), node.rtmp_url(stream), log=log, loops=-1, limit_s=PUBLISHED_S)


def ask(api_url: str, path: str) -> Any:
    """What the API says; nothing where it refuses."""
    try:
        with urllib.request.urlopen(f"{api_url}/v1/{path}", timeout=START_S) as answer:
            return json.load(answer)
    except urllib.error.HTTPError:
        return {}


def play(page: Page, protocol: str) -> FrameLocator:
    page.locator(".player").get_by_label("Over").select_option(protocol)
    page.get_by_role("button", name="▶ Play").click()
    return page.frame_locator(".screen iframe")


#: A few pixels of what is shown, as text.
PIXELS = """video => {
    const canvas = document.createElement('canvas');
    canvas.width = 64; canvas.height = 36;
    canvas.getContext('2d').drawImage(video, 0, 0, 64, 36);
    return [...canvas.getContext('2d').getImageData(0, 0, 64, 36).data].join();
}"""

#: How a player stands, as text.
STATE = """video => JSON.stringify({
    at: video.currentTime, paused: video.paused, ready: video.readyState, error: video.error && video.error.message,
    buffered: Array.from({length: video.buffered.length}, (_, at) => [video.buffered.start(at), video.buffered.end(at)]),
    frames: video.getVideoPlaybackQuality().totalVideoFrames,
})"""


def check_it_plays(frame: FrameLocator, page: Page) -> None:
    """Pictures come, and are not always the same."""
    video = frame.locator("video")
    expect(page.locator(".figures-of-player")).to_contain_text("640×360", timeout=START_S * 1000)
    seen: set[str] = set()
    try:
        wait_until("other pictures", lambda: len(seen.__ior__({video.evaluate(PIXELS)})) > 2, START_S, every_s=0.2)
    except ProcessError:
        pytest.fail(f"{len(seen)} pictures of {video.evaluate(STATE)}")


def test_it_is_as_small_as_the_documentation_says() -> None:
    said = [int(kb) * 1000 for kb in re.findall(r"less than (\d+) kB", (DOCS / "console.md").read_text(encoding="utf-8"))]
    packed = {path: path.stat().st_size for path in BUILT.parent.rglob("*.gz")}
    players = sum(size for path, size in packed.items() if path.name.startswith("player"))
    assert 0 < sum(packed.values()) - players < said[0]
    assert 0 < players < said[1]


def test_each_page_shows_what_there_is_and_asks_nobody_else(console: Console, cluster: Cluster) -> None:
    page = console.open()
    for node in cluster.edges + cluster.origins + cluster.hls:
        expect(page.locator(f'.map a[aria-label*=" {node.name}, "]')).to_be_visible()
    expect(page.locator(".map .link")).not_to_have_count(0)
    expect(page.locator("header .live")).to_have_text("live")
    expect(page.locator(".feed")).to_contain_text("pub start")
    expect(page.locator(".figures a").filter(has_text="In")).to_contain_text("Mbit/s")

    page = console.open("nodes")
    expect(page.get_by_role("row")).to_have_count(1 + 5)
    page.get_by_label("Role").select_option("edge")
    expect(page.get_by_role("row")).to_have_count(1 + 2)
    page.get_by_role("link", name="edge-1").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("edge-1")
    expect(page.locator(".gauge").filter(has_text="Sessions")).to_contain_text("1")
    expect(page.get_by_role("table", name="Streams").get_by_role("link", name=STREAM)).to_be_visible()

    page = console.open("sessions")
    expect(page.get_by_role("table", name="Sessions")).to_contain_text("publisher")
    page = console.open("relays")
    expect(page.get_by_role("table", name="Relays", exact=True)).to_contain_text("Nothing is fetched or sent")
    assert console.complaints == []
    assert console.asked == {cluster.api_url}


def test_a_stream_appears_while_the_page_is_open_and_plays(console: Console, cluster: Cluster, tmp_path: Path) -> None:
    page = console.open("streams")
    table = page.get_by_role("table", name="Streams")
    expect(table.get_by_role("link", name=STREAM)).to_be_visible()
    with publish(cluster.edges[0], NEW, tmp_path):
        table.get_by_role("link", name=NEW).click()
        expect(page.get_by_role("heading", level=1)).to_contain_text(NEW)
        check_it_plays(play(page, "http-flv"), page)
        expect(page.get_by_role("table", name="Sessions")).to_contain_text("http-flv")
        expect(page.get_by_label("Events").locator("li").filter(has_text="first viewer")).to_be_visible()
    expect(page.get_by_label("Events").locator("li").filter(has_text="pub stop")).to_be_visible()
    expect(page.locator("h1 .state")).to_have_text("grace")
    assert console.complaints == []


def test_hls_plays_with_low_latency_and_without(browser: Browser, cluster: Cluster) -> None:
    consoles = [Console(browser, cluster.api_url) for _ in range(2)]
    pages = [console.open(f"streams/{STREAM}") for console in consoles]
    frames = [play(page, protocol) for page, protocol in zip(pages, ("ll-hls", "hls"), strict=True)]
    for frame, page in zip(frames, pages, strict=True):
        check_it_plays(frame, page)
    for console in consoles:
        console.close()


def test_the_page_of_a_stream_has_its_figures_and_its_path(console: Console, cluster: Cluster, tmp_path: Path) -> None:
    with Player(cluster.edges[1].flv_url(STREAM), tmp_path / "rows", log=tmp_path / "player.log"):
        page = console.open(f"streams/{STREAM}")
        for title in ("Bit rate", "Frames a second", "GOP, seconds"):
            expect(page.locator(f'.chart svg[aria-label^="{title}"]')).to_have_attribute(
                "data-points", re.compile(r"^([5-9]|\d\d+)$")
            )
        expect(page.locator(".chart").filter(has_text="Frames a second").locator("b")).to_have_text(re.compile("^(29|30|31)$"))
        expect(page.locator(".chart").filter(has_text="GOP").locator("b")).to_have_text("2.00 s")
        path = page.locator(".path")
        expect(path.locator(".publishes")).to_contain_text("edge-1")
        for part, name in (("owns", "origin-"), ("plays", "edge-2")):
            expect(path.locator(f".{part}")).to_contain_text(name)
            expect(path.locator(f".{part} .delay")).to_have_text(re.compile(r"^\+?-?\d+(\.\d)? ms$"))
        expect(page.get_by_label("What it is")).to_contain_text("h264 640×360 + aac")
        check_it_plays(play(page, "http-flv"), page)
        console.keep("stream")
        page = console.open()
        expect(page.locator(".map .plays title")).to_have_text(re.compile("^origin-[12] → edge-2: 1 stream$"))
        console.keep("overview")
    assert console.complaints == []


def test_a_session_is_ended_by_who_may_and_after_a_question(console: Console, cluster: Cluster, tmp_path: Path) -> None:
    with Player(cluster.edges[0].flv_url(STREAM), tmp_path / "rows", log=tmp_path / "player.log") as player:
        page = console.open("sessions")
        page.get_by_label("Role").select_option("player")
        row = page.get_by_role("table", name="Sessions").get_by_role("row").filter(has_text="http-flv").first
        row.get_by_role("button", name="End the session").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text(f"player of {STREAM}")
        dialog.get_by_role("button", name="Cancel").click()
        expect(dialog).to_be_hidden()

        row.get_by_role("button", name="End the session").click()
        dialog.get_by_role("button", name="End it").click()
        expect(dialog.get_by_role("alert")).to_contain_text("a bearer token is needed")
        dialog.get_by_role("button", name="Cancel").click()
        assert player.running

        console.give_token("none of them")
        expect(page.get_by_role("button", name="This token is none")).to_be_visible()
        console.give_token(OPERATOR)
        expect(page.get_by_role("button", name="ops (operator)")).to_be_visible()
        row.get_by_role("button", name="End the session").click()
        console.keep("kick")
        dialog.get_by_role("button", name="End it").click()
        expect(page.get_by_role("status").filter(has_text="The session is ended")).to_be_visible()
        expect(row).to_be_hidden()
        player.wait(START_S)
    assert all(OPERATOR not in url for url in console.asked)


def test_a_stream_is_recorded_until_that_is_ended(console: Console, cluster: Cluster) -> None:
    page = console.open(f"streams/{STREAM}")
    console.give_token(OPERATOR)
    page.get_by_role("button", name="Record…").click()
    page.get_by_role("dialog").get_by_label("As").select_option("flv")
    page.get_by_role("dialog").get_by_role("button", name="Record").click()
    page.get_by_role("button", name="Record no longer…").wait_for()
    assert [rule["formats"] for rule in ask(cluster.api_url, "recordings")["items"]] == [["flv"]]
    page.get_by_role("button", name="Record no longer…").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Record…").wait_for()
    assert ask(cluster.api_url, "recordings")["items"] == []
    assert console.complaints == []


def test_a_stream_is_sent_elsewhere_until_that_is_ended(console: Console, cluster: Cluster, standalone: Standalone) -> None:
    page = console.open(f"streams/{STREAM}")
    console.give_token(OPERATOR)
    page.get_by_role("button", name="Send elsewhere…").click()
    page.get_by_role("dialog").get_by_label("To").fill(standalone.rtmp_url("live/copy"))
    page.get_by_role("dialog").get_by_role("button", name="Send").click()
    expect(page.get_by_role("table", name="Relays")).to_contain_text("running")
    wait_until("the copy", lambda: ask(standalone.api_url, "streams/live/copy").get("stream") == "live/copy", START_S)
    page = console.open("relays")
    console.keep("relays")
    page.get_by_role("button", name=f"End the relay of {STREAM}").click()
    page.get_by_role("dialog").get_by_role("button", name="End it").click()
    expect(page.get_by_role("table", name="Relays", exact=True)).to_contain_text("Nothing is fetched or sent")
    assert console.complaints == []


def test_a_keyboard_is_enough(console: Console) -> None:
    page = console.open()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    for name in ("lalmesh, overview", "Overview", "Nodes", "Streams"):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        expect(focused).to_have_accessible_name(name)
        assert focused.evaluate("element => getComputedStyle(element).outlineStyle") == "solid", f"focus on {name} is not seen"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Streams")

    page.locator('.row[tabindex="0"]').focus()
    page.keyboard.press("Home")
    expect(page.locator(":focus")).to_have_attribute("aria-rowindex", "2")
    page.keyboard.press("End")  # what others have published before stands further up
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text(STREAM)

    page.get_by_role("button", name="End all players…").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    for _ in range(8):  # it does not leave the dialog
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || document.activeElement.closest('dialog') !== null")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("button", name="End all players…")).to_be_focused()


@pytest.mark.parametrize(
    ("phone", "dark"), [(False, False), (True, False), (True, True)], ids=["desk-light", "phone-light", "phone-dark"]
)
def test_every_page_fits_its_screen_and_axe_finds_nothing_that_keeps_anybody_out(
    browser: Browser, cluster: Cluster, phone: bool, dark: bool
) -> None:
    console = Console(browser, cluster.api_url, phone=phone, dark=dark)
    for path, asked in PAGES.items():
        page = console.open_whole(path, asked)
        expect(page.locator("header .live")).to_have_text("live")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        assert page.evaluate("document.querySelector('nav').scrollWidth <= document.querySelector('nav').clientWidth")
        shades = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        assert (sum(shades[:3]) < 3 * 128) == dark
        assert console.barriers() == [], path
        if dark and path == f"streams/{STREAM}":
            console.keep("phone")
    console.open(f"streams/{STREAM}").get_by_role("button", name="Send elsewhere…").click()
    expect(console.page.get_by_role("dialog")).to_be_visible()
    assert console.barriers() == [], "a dialog"
    assert console.complaints == []
    console.close()


def test_a_node_is_drained(console: Console, cluster: Cluster) -> None:
    leaving = cluster.add("edge").wait_ready()
    page = console.open(f"nodes/{leaving.name}")
    console.give_token(OPERATOR)
    page.get_by_role("button", name="Drain…").click()
    expect(page.get_by_role("dialog")).to_contain_text(f"Drain {leaving.name}?")
    page.get_by_role("dialog").get_by_role("button", name="Drain").click()
    leaving.wait(START_S)
    page = console.open("nodes")
    expect(page.get_by_role("link", name="edge-1")).to_be_visible()
    expect(page.get_by_role("link", name=leaving.name)).to_be_hidden()


def test_a_standalone_server_lets_its_own_console_play(browser: Browser, standalone: Standalone) -> None:
    console = Console(browser, standalone.api_url)
    page = console.open(f"streams/{STREAM}")
    check_it_plays(play(page, "http-flv"), page)
    assert console.complaints == []
    console.close()


def test_an_edge_that_does_not_let_the_page_read_is_told_of(browser: Browser, standalone: Standalone) -> None:
    console = Console(browser, standalone.api_url.replace(LOOPBACK, "127.0.0.2"))
    page = console.open(f"streams/{STREAM}")
    play(page, "http-flv")
    expect(page.get_by_role("alert").filter(has_text="edge.http.cors_origins")).to_be_visible()
    console.close()


def test_where_looking_needs_a_token_nothing_is_seen_before_it_is_given(browser: Browser, tmp_path: Path) -> None:
    settings = {"scheduler.http.tokens": [f"eyes viewer {hash_token(OPERATOR)}"], "scheduler.http.read_without_token": False}
    with Standalone(tmp_path, settings) as server:
        console = Console(browser, server.api_url)
        page = console.open("nodes")
        expect(page.get_by_role("alert")).to_contain_text("a bearer token is needed")
        expect(page.get_by_role("row")).to_have_count(1)
        expect(page.locator("header .live")).to_have_text("not live")
        page.get_by_role("button", name="Give a token").click()
        page.get_by_role("dialog").get_by_label("Token").fill(OPERATOR)
        page.get_by_role("button", name="Use it").click()
        expect(page.get_by_role("row")).to_have_count(1 + 3)
        expect(page.locator("header .live")).to_have_text("live")
        page.reload()
        expect(page.get_by_role("button", name="eyes (viewer)")).to_be_visible()
        expect(page.get_by_role("row")).to_have_count(1 + 3)
        console.close()
