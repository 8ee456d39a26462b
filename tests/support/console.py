"""The console in a real browser: pages that note what they complain of, and whom they ask."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, Request, Response, sync_playwright

from support.browser import CHROMIUM, FLAGS, INSTALLED

FOLDER = Path(__file__).resolve().parents[2]
BUILT = FOLDER / "console" / "dist" / "index.html"
#: Where screenshots go, where they are asked for: ``CONSOLE_SCREENSHOTS=1 make e2e browser ARGS='-k test_console'``.
SCREENSHOTS = FOLDER / "docs" / "console" if os.environ.get("CONSOLE_SCREENSHOTS") else None
AXE = INSTALLED / "node_modules" / "axe-core" / "axe.min.js"
RENDERER, TASK = "CrRendererMain", "ThreadControllerImpl::RunTask"  #: as Chromium's traces call a page's thread and what it does
WAIT_MS = 30_000  #: for anything to appear, on a busy machine
DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}


@contextmanager
def browsing() -> Iterator[Browser]:
    """The system's Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class Console:
    """One tab with the console of a scheduler."""

    def __init__(self, browser: Browser, url: str, *, phone: bool = False, dark: bool = False) -> None:
        """Open a tab, with no page yet; `url` is the API's."""
        self._context = browser.new_context(
            viewport=PHONE if phone else DESK,  # type: ignore[arg-type]  # a dictionary of two sizes
            color_scheme="dark" if dark else "light",
            has_touch=phone,
        )
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.url = f"{url}/console/"
        self.complaints: list[str] = []  #: errors of scripts, and what a policy has refused
        self.asked: set[str] = set()  #: origins of all that was asked for
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.page.on("request", self._note)

    def _note(self, request: Request) -> None:
        scheme, _, rest = request.url.partition("://")
        if scheme in ("http", "https", "ws", "wss"):
            self.asked.add(f"{scheme}://{rest.partition('/')[0]}")

    def open(self, path: str = "") -> Page:
        """Go to a page; the first time it is loaded, later only its fragment changes."""
        self.page.goto(f"{self.url}#/{path}")
        self.page.get_by_role("heading", level=1).wait_for()
        return self.page

    def open_whole(self, path: str, asked: Sequence[str]) -> Page:
        """Go to a page and wait until it shows what it has `asked` for, paths below ``/v1/``."""
        with self._answers(*asked):
            self.open(path)
        self._shown()
        return self.page

    def wait_for_answers(self, *asked: str) -> None:
        """Wait until these have been asked for again, paths below ``/v1/``, and are shown."""
        with self._answers(*asked):
            pass
        self._shown()

    @contextmanager
    def _answers(self, *asked: str) -> Iterator[None]:
        def answers(name: str) -> Callable[[Response], bool]:
            return lambda answer: answer.url.partition("/v1/")[2].partition("?")[0] == name

        with ExitStack() as all_of_them:
            for name in asked:
                all_of_them.enter_context(self.page.expect_response(answers(name)))
            yield

    def _shown(self) -> None:
        self.page.evaluate("new Promise(shown => requestAnimationFrame(() => requestAnimationFrame(shown)))")

    @contextmanager
    def traced(self) -> Iterator[list[float]]:
        """How much processor time each task of the page's own thread takes in the block, in milliseconds, once that is left."""
        browser = self._context.browser
        assert browser is not None
        tasks_ms: list[float] = []
        browser.start_tracing(page=self.page, categories=["toplevel"])
        try:
            yield tasks_ms
        finally:
            events = json.loads(browser.stop_tracing())["traceEvents"]
        pages = {
            (each["pid"], each["tid"]) for each in events if each["name"] == "thread_name" and each["args"]["name"] == RENDERER
        }
        tasks_ms += [
            each["tdur"] / 1000
            for each in events
            if each["name"] == TASK and (each["pid"], each["tid"]) in pages and "tdur" in each
        ]

    def barriers(self) -> list[str]:
        """What axe finds on the page as it is that keeps somebody from using it: the rule and the first element."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found["violations"]]

    def give_token(self, token: str) -> None:
        """As its user does."""
        self.page.locator("header .tools button").first.click()
        self.page.get_by_label("Token", exact=False).last.fill(token)
        self.page.get_by_role("button", name="Use it").click()

    def keep(self, name: str) -> None:
        """A screenshot for the documentation, where those are asked for."""
        if SCREENSHOTS is not None:
            SCREENSHOTS.mkdir(exist_ok=True)
            self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    def close(self) -> None:
        """Close the tab, whatever it still asks for."""
        self.page.unroute_all(behavior="ignoreErrors")
        self._context.close()
