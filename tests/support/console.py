"""The console in a real browser: pages that note what they complain of, and whom they ask."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, Request, sync_playwright

from support.browser import CHROMIUM, FLAGS

FOLDER = Path(__file__).resolve().parents[2]
BUILT = FOLDER / "console" / "dist" / "index.html"
#: Where screenshots go, where they are asked for: ``CONSOLE_SCREENSHOTS=1 make browser ARGS='-k console'``.
SCREENSHOTS = FOLDER / "docs" / "console" if os.environ.get("CONSOLE_SCREENSHOTS") else None
WAIT_MS = 15_000  #: for anything to appear, on a busy machine
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
        """Close the tab."""
        self._context.close()
