"""All benchmarks, one after the other, and at last what every bar says: ``make bench``.

Each is a process of its own, gets the arguments that the suite does not know, and keeps what it finds in `.tools/bench/NAME.json`.
The suite gathers that in `.tools/bench/suite.json`. With ``--report`` each benchmark writes its section of `docs/performance.md`
and, as `docs/performance/NAME.json`, what it found; from these files, of whatever date, the suite writes the table of bars at the
head of the page, with what each was measured by and when, so that the table is always that of the sections. What could not be
measured is a failure like what was missed: a bar without a figure, and whatever was left out, unless ``--only`` asked for a part.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from bench import _load, _report
from bench._report import Judged

BENCHES = (
    *("fanout", "publish", "scaling", "memory", "start", "pairs", "burst", "delay", "edges"),
    *("rtsp", "hls", "hls_load", "link", "cluster", "routing", "client", "sessions", "telemetry", "profile"),
)
RESULTS = _load.BUILT / "suite.json"
TITLE = "What has to be kept, and what was found"
VERDICTS = ("met", "missed", "not measured")  #: of bars
STATES = ("well", "in part", "failed", "not measured", "not asked for")  #: of benchmarks
HEAD = [*_report.BARS_HEAD, "measured by", "at commit"]


@dataclass(slots=True, frozen=True)
class Ran:
    """One benchmark."""

    name: str
    status: int | None  #: that it ended with; None: it was not run now
    seconds: float
    found: Mapping[str, Any] = field(default_factory=dict)  #: its JSON

    @property
    def judged(self) -> list[Judged]:
        """Its bars."""
        names = {each.name for each in fields(Judged)}
        return [Judged(**{name: value for name, value in bar.items() if name in names}) for bar in self.found.get("bars", ())]

    @property
    def is_partial(self) -> bool:
        """Whether only some of its subjects were asked for."""
        return bool(self.found.get("plan", {}).get("only"))

    @property
    def failure(self) -> str:
        """What is wrong with it, if anything is."""
        if not self.found:
            return "it has not been measured" if self.status is None else f"it ended with {self.status} and kept nothing"
        wrong = [f"worthless: {_report.short(each)}" for each in self._problems()]
        wrong += [f"missed: {told}" for told in _report.missed(self.judged)]
        if not wrong and self.status:
            wrong = [f"it ended with {self.status}"]
        return "; ".join(wrong if self.is_partial else (*wrong, *self._lacking()))

    @property
    def state(self) -> str:
        """In a word or two."""
        if not self.found and self.status is None:
            return "not measured"
        return "failed" if self.failure else "in part" if self.is_partial else "well"

    @property
    def told(self) -> str:
        """By what and when it was measured, and what is wrong with it, in a line."""
        about = self.found.get("about")
        where = f"{about['date']}, commit {about['commit']}, `{about['command']}`" if about else ""
        return f"{self.name}: {'; '.join(filter(None, (where, self.failure)))}"

    def _problems(self) -> list[str]:
        """What was worthless, each with its label; files of older date have one of a label, or no labels."""
        told = self.found.get("problems") or ()
        if not isinstance(told, Mapping):
            return list(told)
        return [f"{label}: {each}" for label, mine in told.items() for each in ([mine] if isinstance(mine, str) else mine)]

    def _lacking(self) -> list[str]:
        """What it could not measure."""
        samples, why = self.found.get("samples"), self.found.get("left_out", {})
        empty = [label for label, mine in samples.items() if not mine] if isinstance(samples, Mapping) else []
        left_out = [f"left out: {label}{f': {why[label]}' if label in why else ''}" for label in dict.fromkeys((*why, *empty))]
        if samples is not None and not samples:
            left_out.append("it measured nothing")
        return [*left_out, *(f"not measured: {each.what}" for each in self.judged if each.met is None)]


def run(name: str, arguments: Sequence[str]) -> Ran:
    """Measure."""
    print(f"\n=== {name}", flush=True)
    begun, clock = time.monotonic(), time.time()
    status = subprocess.run([sys.executable, "-m", f"bench.{name}", *arguments], stdin=subprocess.DEVNULL, check=False).returncode
    file = _load.BUILT / f"{name}.json"
    fresh = file.exists() and file.stat().st_mtime >= int(clock)
    seconds = time.monotonic() - begun
    print(f"=== {name}: done in {seconds:.0f} s, exit status {status}", flush=True)
    return Ran(name, status, seconds, json.loads(file.read_text(encoding="utf-8")) if fresh else {})


def kept(name: str, folder: Path) -> Ran:
    """What the last run has kept in the folder: `_load.BUILT`, or `_report.FIGURES`, of which the page is."""
    file = folder / f"{name}.json"
    return Ran(name, None, 0.0, json.loads(file.read_text(encoding="utf-8")) if file.exists() else {})


def rows(ran: Sequence[Ran]) -> list[list[str]]:
    """A line a bar."""
    return [[*each.cells, one.name, one.found.get("about", {}).get("commit", "")] for one in ran for each in one.judged]


def counted(ran: Sequence[Ran]) -> str:
    """How many bars are met, and how many benchmarks these are of."""
    verdicts = [each.verdict for one in ran for each in one.judged]
    others = set(BENCHES) - {one.name for one in ran}
    states = [*(one.state for one in ran), *("not asked for" for _ in others)]
    return f"{_numbers('bars', verdicts, VERDICTS)} {_numbers('benchmarks', states, STATES)}"


def _numbers(what: str, each: Sequence[str], kinds: Sequence[str]) -> str:
    told = ", ".join(f"{each.count(kind)} {kind}" for kind in kinds if kind in each)
    return f"{len(each)} {what}{told and f': {told}'}."


def arguments(given: Sequence[str]) -> tuple[list[str], argparse.Namespace, list[str]]:
    """The command line: names of benchmarks, what is for the suite, and what goes to each benchmark."""
    parser = argparse.ArgumentParser(
        prog="bench.suite [NAME ...]",
        description=f"{__doc__}\nNames: {', '.join(BENCHES)}; all of them where none is given.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--report", action="store_true", help="write docs/performance.md")
    parser.add_argument("--kept", action="store_true", help="measure nothing, tell what the last runs have kept")
    names = list(itertools.takewhile(lambda word: not word.startswith("-"), given))
    plan, others = parser.parse_known_args(given[len(names) :])
    return names, plan, [*others, *(["--report"] if plan.report else [])]


def told(ran: Sequence[Ran]) -> str:
    """All bars, and where they are from."""
    return "\n\n".join((counted(ran), _report.table(HEAD, rows(ran)), "\n".join(f"- {one.told}" for one in ran)))


def report() -> None:
    """Write the table at the head of the page."""
    _report.publish("suite", TITLE, told([kept(name, _report.FIGURES) for name in BENCHES]), first=True)


def keep(ran: Sequence[Ran]) -> None:
    """Write everything as JSON."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    benches = {one.name: {"status": one.status, "seconds": round(one.seconds), **one.found} for one in ran}
    RESULTS.write_text(json.dumps({"about": _report.context(), "benches": benches}, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Run, tell, keep; exit with 1 if a benchmark failed, or a bar is missed or could not be measured."""
    names, plan, others = arguments(sys.argv[1:])
    folder = _report.FIGURES if plan.report else _load.BUILT
    ran = [kept(name, folder) if plan.kept else run(name, others) for name in names or BENCHES]
    print(f"\n{TITLE}\n\n{told(ran)}\n")
    keep(ran)
    if plan.report:
        report()
    failures = [f"{one.name}: {one.failure}" for one in ran if one.failure]
    for failure in failures:
        print(failure, file=sys.stderr)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
