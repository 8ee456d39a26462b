"""What a benchmark says of itself: the machine, a table, and its section in `docs/performance.md`."""

from __future__ import annotations

import datetime
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "performance.md"
TITLE = "# Performance\n\nEvery figure here was printed by the command that stands above it.\n"


def machine() -> str:
    """Processor, cores, kernel and Python, on one line."""
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.+)$", info, re.M)
    name = model.group(1).strip() if model else platform.machine()
    return f"{name}, {os.cpu_count()} cores; {platform.system()} {platform.release()}; Python {platform.python_version()}"


def revision() -> str:
    """The commit that was measured, with a mark where the tree differs from it; ``unknown`` without git or outside a clone."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=10)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def context() -> dict[str, str]:
    """Command, machine, date and commit."""
    given = f" ARGS={shlex.quote(shlex.join(sys.argv[1:]))}" if sys.argv[1:] else ""
    return {
        "command": f"make bench-{Path(sys.argv[0]).stem}{given}",
        "machine": machine(),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": revision(),
    }


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns line up."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *others = cells
        padded = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        return f"| {' | '.join([first.ljust(widths[0]), *padded])} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(head), line(rule), *(line(row) for row in rows)])


def listed(about: dict[str, str]) -> str:
    """What `context` gave as a Markdown list."""
    return "\n".join(f"- {what}: `{text}`" if what == "command" else f"- {what}: {text}" for what, text in about.items())


def publish(name: str, title: str, body: str) -> None:
    """Replace the section `name` of `docs/performance.md`, or add it."""
    begin, end = f"<!-- {name}: written by `make bench-{name} ARGS=--report` -->", f"<!-- /{name} -->"
    section = f"{begin}\n## {title}\n\n{body.strip()}\n{end}\n"
    text = PAGE.read_text() if PAGE.exists() else TITLE
    if begin in text:
        head, _, rest = text.partition(begin)
        text = head + section + rest.partition(f"{end}\n")[2]
    else:
        text = f"{text.rstrip()}\n\n{section}"
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(text)
