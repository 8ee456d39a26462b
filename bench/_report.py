"""What a benchmark says of itself: the machine, a table, what its bars say, and its section in `docs/performance.md`."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypedDict

from bench import _plots
from bench._plots import Plot

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "performance.md"
FIGURES = _plots.FOLDER  #: what its sections are of, a JSON file a benchmark, beside their plots
TITLE = "# Performance\n\nEvery figure here was printed by the command that stands above it.\n"
#: by benchmarks themselves, while others of one run are still to come, and by the endurance run, whose plots are there first
WRITTEN = ("docs/performance.md", "docs/performance", "docs/soak.md", "docs/soak")
DIRTY = "-dirty"
LONGEST_REASON = 160  #: of what made a sample worthless, where it is told in a line


@dataclass(slots=True, frozen=True, kw_only=True)
class Judged:
    """One bar, and what was found."""

    what: str  #: that is judged, in words that need no table beside them
    found: float | None  #: None: there was nothing to judge
    bar: float
    unit: str = ""  #: of both: ``x floor``, ``ms``
    at_least: bool = False  #: the bar is the least that is accepted, not the most

    @property
    def met(self) -> bool | None:
        """Whether the bar is kept; None where nothing was found."""
        if self.found is None:
            return None
        return self.found >= self.bar if self.at_least else self.found <= self.bar

    @property
    def verdict(self) -> str:
        """In a word."""
        return {True: "met", False: "missed", None: "not measured"}[self.met]

    @property
    def cells(self) -> list[str]:
        """As a line of the table under `BARS_HEAD`."""
        found = "" if self.found is None else f"{shown(self.found)} {self.unit}".rstrip()
        return [self.what, found, f"{'at least' if self.at_least else 'at most'} {self.bar:g}", self.verdict]

    @property
    def told(self) -> str:
        """As one line."""
        what, found, bar, verdict = self.cells
        return f"{what}: {found or 'nothing'}, {bar}: {verdict}"


BARS_HEAD = ("what", "found", "bar", "verdict")  #: of `Judged.cells`


def shown(value: float | None) -> str:
    """A figure with as many digits as say something; empty where there is none."""
    return "" if value is None else f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def missed(judged: Sequence[Judged]) -> list[str]:
    """The bars that were not kept."""
    return [each.told for each in judged if each.met is False]


def keep(
    path: Path,
    about: Mapping[str, str],
    plan: Mapping[str, object],
    found: Mapping[str, Any],
    *,
    text: str = "",
    judged: Sequence[Judged] = (),
    plots: Sequence[Plot] = (),
) -> None:
    """Write everything that a benchmark has found as JSON; `found` goes to the top level, ``samples`` and ``problems`` with it.

    The tables in `text` are kept as they are printed.
    """
    bars = [{**asdict(each), "met": each.met} for each in judged]
    kept = {"about": about, "plan": plan, "bars": bars, "tables": tables(text), **found}
    kept["plots"] = [asdict(plot) for plot in plots if not plot.is_empty]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def end(problems: Mapping[str, Sequence[str]], judged: Sequence[Judged]) -> int:
    """Say what was worthless and which bars were missed; the exit status."""
    failed = missed(judged)
    for label, mine in problems.items():
        for problem in mine:
            print(f"worthless: {label}: {problem}", file=sys.stderr)
    for miss in failed:
        print(f"missed: {miss}", file=sys.stderr)
    return 1 if problems or failed else 0


def short(problem: str) -> str:
    """The first line of it, if need be cut."""
    return textwrap.shorten(problem.strip().partition("\n")[0], LONGEST_REASON, placeholder=" ...")


def machine() -> str:
    """Processor, cores, kernel and Python, on one line."""
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.+)$", info, re.M)
    name = model.group(1).strip() if model else platform.machine()
    return f"{name}, {os.cpu_count()} cores; {platform.system()} {platform.release()}; Python {platform.python_version()}"


def revision() -> str:
    """The commit that was measured, marked where the tree differs from it; ``unknown`` without git or outside a clone.

    What benchmarks write makes no difference: the first one of a run with ``--report`` would mark all others.
    """
    others = [f":(exclude){path}" for path in WRITTEN]
    try:
        commit = _git("rev-parse", "--short", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", *others)
    except FileNotFoundError:
        return "unknown"
    return f"{commit}{DIRTY if changed else ''}" if commit else "unknown"


def _git(*arguments: str) -> str:
    """What git says; nothing where it fails."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=10)
    return done.stdout.strip() if done.returncode == 0 else ""


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


class Table(TypedDict):
    """One, cells as they are printed."""

    head: list[str]
    rows: list[list[str]]


def tables(text: str) -> list[Table]:
    """Those that `table` made of a text."""
    found: list[Table] = []
    for block in re.findall(r"(?:^\|.*(?:\n|\Z))+", text, re.M):
        head, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in block.splitlines()]
        found.append({"head": head, "rows": rows})
    return found


def listed(about: dict[str, str]) -> str:
    """What `context` gave as a Markdown list."""
    return "\n".join(f"- {what}: `{text}`" if what == "command" else f"- {what}: {text}" for what, text in about.items())


def publish(name: str, title: str, body: str, plots: Sequence[Plot] = (), *, first: bool = False) -> None:
    """Replace the section `name` of `docs/performance.md`, or add it: at the end, or before all others; and draw its plots."""
    if revision().endswith(DIRTY):
        print("warning: the tree has changes that are not committed", file=sys.stderr)
    drawn = [plot for plot in plots if not plot.is_empty]
    for plot in drawn:
        _plots.draw(plot)
    body = "\n\n".join((body.strip(), *map(_plots.shown, drawn)))
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else TITLE
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(with_section(text, name, f"## {title}\n\n{body}", first=first), encoding="utf-8")


def with_section(text: str, name: str, section: str, *, first: bool = False) -> str:
    """The page with that section in the place of the one that had the name; else at its end, or before all others."""
    begin, end = f"<!-- {name}: written by `make bench-{name} ARGS=--report` -->", f"<!-- /{name} -->"
    section = f"{begin}\n{section.strip()}\n{end}\n"
    if begin in text:
        head, _, rest = text.partition(begin)
        return head + section + rest.partition(f"{end}\n")[2]
    head, mark, rest = text.partition("\n<!-- ") if first else (text, "", "")
    return f"{head.rstrip()}\n\n{section}{mark}{rest}"
