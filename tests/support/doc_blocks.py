"""The fenced blocks of the pages in docs/, and what stands above each: whether its commands are run, or why not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SHELL = ("", "bash", "sh", "shell", "console")  #: languages of what is typed; a block without one is taken for it

_BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>run|not run): (?P<said>[^\n]*?) -->\n)?^(?P<fence>```+)(?P<language>[^\n]*)\n(?P<text>.*?)^(?P=fence)$",
    re.M | re.S,
)


@dataclass(slots=True, frozen=True)
class Block:
    """A fenced block."""

    page: str  #: below docs/
    line: int
    language: str
    text: str
    scene: str  #: what it is run beside, `<!-- run: SCENE -->`; empty where it is not run
    reason: str  #: why it is not run, `<!-- not run: REASON -->`

    @property
    def is_typed(self) -> bool:
        """Whether people type it."""
        return self.language in SHELL

    def __str__(self) -> str:
        """Where it is."""
        return f"docs/{self.page}:{self.line}"


def pages() -> list[Path]:
    """All pages, by path."""
    return sorted(DOCS.rglob("*.md"))


def blocks() -> Iterator[Block]:
    """All blocks of all pages, in order."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        for found in _BLOCK.finditer(text):
            line = text.count("\n", 0, found.start("fence")) + 1
            said, is_run = found["said"] or "", found["mark"] == "run"
            name = page.relative_to(DOCS).as_posix()
            yield Block(name, line, found["language"].strip(), found["text"], said if is_run else "", "" if is_run else said)
