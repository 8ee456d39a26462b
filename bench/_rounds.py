"""What benchmarks have in common that measure subjects in turn, round by round: the command line, the turns, how it ends."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from support.cluster import PROGRAM
from support.etcd import CAN_RUN_ETCD

from bench import _report
from bench._plots import Plot
from bench._report import Judged

FAILURES = (AssertionError, OSError, subprocess.SubprocessError)  #: that make a sample worthless


class Sample(Protocol):
    """One subject in one round: a dataclass."""

    @property
    def problem(self) -> str:
        """What makes it worthless, if anything."""

    @property
    def shown(self) -> str:
        """In a few words."""


S = TypeVar("S", bound=Sample)
T = TypeVar("T")


@dataclass(slots=True, frozen=True)
class Subject(Generic[S]):
    """One row of a table."""

    label: str  #: how it is chosen with --only
    measure: Callable[[Path, ExitStack], S]  #: in a folder of its own; what it starts, the stack ends
    missing: str = ""  #: why it can't be measured here, if so


@dataclass(slots=True)
class Found(Generic[S]):
    """Samples by label, one a round, None where one was worthless; and the last problem of each label that had one."""

    samples: dict[str, list[S | None]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def of(self, label: str) -> list[S]:
        """The samples of a subject that are worth something."""
        return [sample for sample in self.samples.get(label, []) if sample is not None]

    def median(self, label: str, of: Callable[[S], float]) -> float | None:
        """Over the rounds; None without a sample."""
        values = [of(sample) for sample in self.of(label)]
        return statistics.median(values) if values else None

    def ratio(self, label: str, beside: str, of: Callable[[S], float]) -> float | None:
        """How much more one subject has than another: the median of the ratios within a round; None without a pair."""
        both = zip(self.samples.get(label, []), self.samples.get(beside, []), strict=False)
        pairs = [(of(own), of(other)) for own, other in both if own is not None and other is not None]
        ratios = [own / other for own, other in pairs if other]
        return statistics.median(ratios) if ratios else None


def parser(name: str, doc: str | None, results: Path, *, rounds: int, seconds: float, warm_up: float) -> argparse.ArgumentParser:
    """The command line of the benchmark `name`; what is given last are its defaults."""
    made = argparse.ArgumentParser(prog=f"bench.{name}", description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--seconds", type=float, default=seconds, help="measured, after the warm-up (%(default)s)")
    made.add_argument("--warm-up", type=float, default=warm_up, help="seconds before the measurement (%(default)s)")
    made.add_argument("--rounds", type=int, default=rounds, help="how often each subject is measured (%(default)s)")
    made.add_argument("--only", default="", metavar="NAME,...", help="subjects whose label begins with one of these")
    made.add_argument("--json", type=Path, default=results, metavar="FILE", help="where the samples go (%(default)s)")
    made.add_argument("--report", action="store_true", help="write the section of docs/performance.md")
    made.add_argument("--no-verdict", dest="verdict", action="store_false", help="do not fail where a bar is missed")
    made.add_argument("--no-pin", dest="pin", action="store_false", help="let server and load share all cores")
    return made


def needs_of_a_cluster() -> str:
    """What is missing for a cluster of processes; empty where nothing is."""
    return ("" if Path(PROGRAM).exists() else f"{PROGRAM} is missing") or ("" if CAN_RUN_ETCD else "etcd is not installed")


def choose(subjects: Iterable[Subject[S]], only: str) -> list[Subject[S]]:
    """Those that are wanted and can be measured here; says which cannot."""
    wanted = tuple(name for name in only.split(",") if name)
    chosen = [subject for subject in subjects if not wanted or subject.label.startswith(wanted)]
    for subject in chosen:
        if subject.missing:
            print(f"left out: {subject.label}: {subject.missing}", file=sys.stderr)
    return [subject for subject in chosen if not subject.missing]


def run(chosen: Sequence[Subject[S]], rounds: int) -> Found[S]:
    """All rounds."""
    found: Found[S] = Found({subject.label: [] for subject in chosen})
    for number in range(rounds):
        for subject in turned(chosen, number):
            sample, problem = attempt(subject)
            found.samples[subject.label].append(sample)
            if problem:
                found.problems[subject.label] = problem
            shown = problem if sample is None else sample.shown
            print(f"round {number + 1}/{rounds}  {subject.label:<24} {shown}", file=sys.stderr, flush=True)
    return found


def turned(subjects: Sequence[T], number: int) -> Sequence[T]:
    """The order of a round: every second one backwards, so that what the machine does meanwhile favours nobody."""
    return subjects[::-1] if number % 2 else subjects


def attempt(subject: Subject[S]) -> tuple[S | None, str]:
    """One subject, once: the sample, or what went wrong."""
    try:
        with tempfile.TemporaryDirectory(prefix="lalmesh-bench-") as name, ExitStack() as stack:
            sample = subject.measure(Path(name), stack)
    except FAILURES as error:
        return None, str(error)
    return (None, sample.problem) if sample.problem else (sample, "")


def conclude(
    name: str,
    title: str,
    paragraphs: Sequence[str],
    plan: argparse.Namespace,
    found: Found[Any],
    *,
    judged: Sequence[Judged] = (),
    plots: Sequence[Plot] = (),
) -> int:
    """Print, keep, report; the exit status.

    Args:
        name: of the benchmark.
        title: of its section.
        paragraphs: what the section says, tables among them; command and machine come before them.
        plan: the command line.
        found: all of it.
        judged: the bars.
        plots: what to draw.
    """
    about = _report.context()
    bars = [_bars(judged)] if judged else []
    text = "\n\n".join((_report.listed(about), *paragraphs, *bars))
    print(f"\n{title}\n\n{text}\n")
    shape = {key: value for key, value in vars(plan).items() if isinstance(value, int | float | str)}
    _report.keep(plan.json, about, shape, _plain(found), judged=judged, plots=plots)
    if plan.report:
        _report.publish(name, title, text, plots)
    return _report.end(found.problems, judged if plan.verdict else ())


def _bars(judged: Sequence[Judged]) -> str:
    rows = [[each.what, _number(each.found), f"{each.bar:g}", each.unit, each.verdict] for each in judged]
    return _report.table(["bar", "found", "at least" if judged[0].at_least else "at most", "unit", "verdict"], rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _plain(found: Found[Any]) -> Mapping[str, Any]:
    samples = {label: [one and asdict(one) for one in mine] for label, mine in found.samples.items()}
    return {"samples": samples, "problems": found.problems}
