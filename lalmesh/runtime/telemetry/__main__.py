"""The table of spans in docs/telemetry.md: ``python -m lalmesh.runtime.telemetry``."""

from __future__ import annotations

from pathlib import Path

from lalmesh.runtime.marked import with_marked
from lalmesh.runtime.telemetry.names import SPANS

PAGE = Path(__file__).parents[3] / "docs" / "telemetry.md"
BEGIN, END = "<!-- spans: begin, written by python -m lalmesh.runtime.telemetry -->", "<!-- spans: end -->"


def table() -> str:
    """A row a kind of span."""
    lines = ["| span | made by | from when to when | parent | attributes | links to |", "|---|---|---|---|---|---|"]
    for name, kind in SPANS.items():
        attributes = ", ".join(f"`{attribute.value}`" for attribute in kind.attributes)
        lines.append(f"| `{name.value}` | {kind.role} | {kind.text} | {kind.parent} | {attributes} | {kind.links} |")
    return "\n".join(lines)


def page_as_it_has_to_be() -> str:
    """The page with the table of now."""
    return with_marked(PAGE.read_text(encoding="utf-8"), BEGIN, END, f"\n\n{table()}\n\n")


if __name__ == "__main__":
    PAGE.write_text(page_as_it_has_to_be(), encoding="utf-8")
