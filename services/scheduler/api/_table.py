"""The table of operations in ``docs/api.md``, made of the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lalmesh.runtime.marked import with_marked

BEGIN = "<!-- Written by `python -m services.scheduler.api` from the operations; do not edit. -->"
END = "<!-- End of what is written. -->"


def with_table(page: str, document: Mapping[str, Any]) -> str:
    """The page with its table as it has to be now.

    Raises:
        ValueError: it has no place for one.
    """
    return with_marked(page, BEGIN, END, f"\n\n{make_table(document)}\n")


def make_table(document: Mapping[str, Any]) -> str:
    """The table in Markdown: a part for each tag, a row for each operation."""
    lines: list[str] = []
    for tag in document["tags"]:
        lines += [f"### {tag['name']}", "", "| | path | role | what |", "|---|---|---|---|"]
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                if tag["name"] in operation["tags"]:
                    lines.append(f"| {method.upper()} | `{path}` | {operation['x-role']} | {_escaped(operation['summary'])} |")
        lines.append("")
    return "\n".join(lines)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")
