"""The tables of docs/webhooks.md, written from the kinds of events: ``python -m lalmesh.runtime.event_docs``."""

from __future__ import annotations

from pathlib import Path

from lalmesh.runtime.event_kinds import KINDS
from lalmesh.runtime.marked import with_marked

PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"
BEGIN, END = "<!-- events: begin, written by python -m lalmesh.runtime.event_docs -->", "<!-- events: end -->"


def tables() -> str:
    """A section a kind."""
    lines: list[str] = []
    for kind, spec in KINDS.items():
        also = f" lal: `on_{kind.value}`." if spec.is_lal else ""
        lines += [f"### {kind.value}", "", spec.text + also, "", "| field of `data` | what |", "|---|---|"]
        lines += [f"| `{name}` | {fact.text} |" for name, fact in spec.facts.items()]
        lines.append("")
    return "\n".join(lines)


def page_as_it_has_to_be() -> str:
    """The page with the tables of now."""
    return with_marked(PAGE.read_text(encoding="utf-8"), BEGIN, END, f"\n\n{tables()}\n")


if __name__ == "__main__":
    PAGE.write_text(page_as_it_has_to_be(), encoding="utf-8")
