"""The site of docs/: it builds without a warning, has every page and every link of them, and fetches nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from support.doc_blocks import DOCS, ROOT, pages

BUILD_S = 100.0  #: of some 4 s of processor


class Page(HTMLParser):
    """What a page links to, what it loads, and what in it can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given["id"]} if "id" in given else set()
        if tag == "a" and "href" in given:
            self.links.add(given["href"])
        elif tag == "link" and given.get("rel") not in ("canonical", "prev", "next"):
            self.loads.add(given.get("href", ""))
        elif "src" in given:
            self.loads.add(given["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command: list[str | Path] = [Path(sys.executable).with_name("mkdocs"), "build", "--strict", "--site-dir", folder]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=BUILD_S, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "WARNING" not in said
    return folder


def test_every_page_is_there_and_every_link_within_the_site_leads_somewhere(site: Path) -> None:
    made = {file: Page(file.read_text(encoding="utf-8")) for file in site.rglob("*.html") if file.name != "404.html"}
    assert {site / page.relative_to(DOCS).with_suffix(".html") for page in pages()} <= made.keys()
    wrong = []
    for file, page in made.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            anchor = unquote(parts.fragment)
            if not target.is_file() or (anchor and target in made and anchor not in made[target].anchors):
                wrong.append(f"{file.relative_to(site)}: {link}")
    assert wrong == []


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    loads = {load for file in site.rglob("*.html") for load in Page(file.read_text(encoding="utf-8")).loads}
    assert any(load.endswith(".css") for load in loads)
    assert [load for load in loads if urlsplit(load).netloc] == []
    styles = "".join(file.read_text(encoding="utf-8") for file in site.rglob("*.css"))
    assert re.findall(r"(?:url\(|@import )['\"]?(?:https?:)?//[^)'\"]+", styles) == []
