"""A real browser as player: the system's Chromium without a window, driven by Playwright, on pages from a server of their own.

The pages have another origin than the streams, so all that they read passes the server's cross-origin rules. Each player has a
page to itself and reports what the browser says of it: the position, the decoded pictures, the errors.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Self, TypedDict

from aiohttp import web
from playwright.async_api import Browser, Page, async_playwright

from support import npm
from support.ports import LOOPBACK

CHROMIUM = shutil.which("chromium")  #: Debian's; Playwright is never asked to fetch one
FOLDER = Path(__file__).resolve().parents[1] / "e2e" / "browser"
INSTALLED = npm.TOOLS / "browser"
START_S = 15.0  #: to play, on a machine that is busy with other tests
SPARE_S = 10.0  #: what a page gets beyond the time that it watches before it counts as stuck
SHOWN_NOTES, SHOWN_SAMPLES = 30, 10  #: in a failure message: the first and the last; some players say hundreds of things

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root, where Chromium's sandbox does not
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    "--autoplay-policy=no-user-gesture-required",
)
_FILES = {
    "/": FOLDER / "pages" / "player.html",
    "/player.js": FOLDER / "pages" / "player.js",
    "/hls.js": INSTALLED / "node_modules" / "hls.js" / "dist" / "hls.min.js",
    "/mpegts.js": INSTALLED / "node_modules" / "mpegts.js" / "dist" / "mpegts.js",
}


def available() -> bool:
    """Whether Chromium, node and npm are installed."""
    return bool(CHROMIUM) and npm.available()


def install() -> None:
    """Bring the locked players into `.tools/browser`; see `npm.install`."""
    npm.install(FOLDER, INSTALLED)


class Sample(TypedDict):
    """How a player stood at one moment."""

    at_s: float  #: since the watching began
    position_s: float  #: currentTime
    frames: int  #: totalVideoFrames: decoded and shown or dropped
    dropped: int  #: droppedVideoFrames
    behind_live_s: float | None  #: from the program date-time of what is shown to now, where the player knows it
    ahead_s: float  #: how much more is in the buffer
    width: int  #: of the pictures
    height: int


class _Answer(TypedDict):
    fatal: str | None
    notes: list[str]
    samples: list[Sample]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How one player did."""

    fatal: str | None  #: the error that ended it
    notes: tuple[str, ...]  #: what player and browser said on the way, with the seconds since the page was opened
    samples: tuple[Sample, ...]  #: several a second, while it was watched
    start_s: float  #: from being asked to play to the second picture

    @property
    def watched_s(self) -> float:
        """How long it was watched."""
        return self.samples[-1]["at_s"] - self.samples[0]["at_s"]

    @property
    def played_s(self) -> float:
        """How far the position went on."""
        return self.samples[-1]["position_s"] - self.samples[0]["position_s"]

    @property
    def frames_per_s(self) -> float:
        """Decoded pictures."""
        return (self.samples[-1]["frames"] - self.samples[0]["frames"]) / self.watched_s

    @property
    def longest_halt_s(self) -> float:
        """The longest time in which the position stayed where it was."""
        moved = [new["at_s"] for old, new in pairwise(self.samples) if new["position_s"] != old["position_s"]]
        return max(new - old for old, new in pairwise([self.samples[0]["at_s"], *moved, self.samples[-1]["at_s"]]))

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """The sizes of the pictures, in the order in which they came."""
        return list(dict.fromkeys((sample["width"], sample["height"]) for sample in self.samples))

    @property
    def behind_live_s(self) -> list[float]:
        """All that it said of that, in order."""
        return [behind for sample in self.samples if (behind := sample["behind_live_s"]) is not None]

    def __str__(self) -> str:
        """All that a failure message needs."""
        head = f"fatal: {self.fatal}; playing after {self.start_s:.2f} s; sizes {self.sizes}"
        return "\n".join([head, *self.notes[:SHOWN_NOTES], *(str(sample) for sample in self.samples[-SHOWN_SAMPLES:])])


@dataclass(frozen=True, slots=True)
class Watch:
    """What a page is to play."""

    player: str  #: one of PLAYERS in player.js
    url: str


class Pages:
    """The pages and the players' scripts on a port of their own. The port is open at once; `watch` serves it."""

    def __init__(self) -> None:
        """Bind a free port."""
        self._socket = socket.create_server((LOOPBACK, 0))
        self.port = int(self._socket.getsockname()[1])

    @property
    def origin(self) -> str:
        """As the browser says it in requests."""
        return f"http://{LOOPBACK}:{self.port}"

    def __enter__(self) -> Self:
        """The same; leaving the block closes the port."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the port."""
        self._socket.close()

    def watch(
        self,
        watches: Mapping[str, Watch],
        seconds: float,
        *,
        host: str = LOOPBACK,
        once_playing: Callable[[], None] | None = None,
    ) -> dict[str, Report]:
        """Play all of `watches` side by side, each in a page of its own.

        Args:
            watches: by names that the answer has too.
            seconds: how long all are watched, once each of them plays or has failed.
            host: that the pages are asked from; ``localhost`` is another origin to a browser.
            once_playing: called when the watching begins.
        Raises:
            ExceptionGroup: the browser does not start (playwright's Error), or a page is stuck (TimeoutError).
        """
        return asyncio.run(self._watch(watches, seconds, f"http://{host}:{self.port}/", once_playing))

    async def _watch(
        self, watches: Mapping[str, Watch], seconds: float, page_url: str, once_playing: Callable[[], None] | None
    ) -> dict[str, Report]:
        async with self._served(), _browser() as browser:
            players = {name: _Player(await browser.new_page(), watch) for name, watch in watches.items()}
            await _together(player.start(page_url) for player in players.values())
            tasks = [player.observe(seconds) for player in players.values()]
            if once_playing is not None:
                tasks.append(asyncio.to_thread(once_playing))
            await _together(tasks)
            return {name: player.report for name, player in players.items()}

    @asynccontextmanager
    async def _served(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_routes([web.get(path, _serving(file)) for path, file in _FILES.items()])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.SockSite(runner, self._socket.dup()).start()
            yield
        finally:
            await runner.cleanup()


def _serving(file: Path) -> Callable[[web.Request], Awaitable[web.FileResponse]]:
    async def answer(_: web.Request) -> web.FileResponse:
        return web.FileResponse(file)

    return answer


@asynccontextmanager
async def _browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


async def _together(tasks: Iterable[Coroutine[None, None, object]]) -> None:
    async with asyncio.TaskGroup() as group:
        for task in tasks:
            group.create_task(task)


class _Player:
    """One page that plays."""

    def __init__(self, page: Page, watch: Watch) -> None:
        self.report: Report
        self._page = page
        self._watch = watch
        self._start_s = 0.0
        self._said: list[str] = []
        page.on("pageerror", lambda error: self._said.append(f"page error: {error}"))
        page.on("console", lambda message: self._said.append(f"console {message.type}: {message.text}"))

    async def start(self, page_url: str) -> None:
        async with asyncio.timeout(START_S + SPARE_S):
            await self._page.goto(page_url)
            call = "([player, url, limitSeconds]) => start(player, url, limitSeconds)"
            self._start_s = await self._page.evaluate(call, [self._watch.player, self._watch.url, START_S])

    async def observe(self, seconds: float) -> None:
        async with asyncio.timeout(seconds + SPARE_S):
            answer: _Answer = await self._page.evaluate("observe", seconds)
        self.report = Report(
            fatal=answer["fatal"],
            notes=(*answer["notes"], *self._said),
            samples=tuple(answer["samples"]),
            start_s=self._start_s,
        )
