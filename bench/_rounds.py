"""What benchmarks have in common that measure subjects in turn, round by round: the command line, the turns, how it ends."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from support.cluster import PROGRAM
from support.etcd import CAN_RUN_ETCD

from bench import _report
from bench._host import HOST
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


class Choosable(Protocol):
    """What may be measured."""

    @property
    def label(self) -> str:
        """How it is chosen with --only."""

    @property
    def missing(self) -> str:
        """Why it can't be measured here, if so."""


S = TypeVar("S", bound=Sample)
C = TypeVar("C", bound=Choosable)
T = TypeVar("T")


@dataclass(slots=True, frozen=True)
class Subject(Generic[S]):
    """One row of a table."""

    label: str  #: how it is chosen with --only
    measure: Callable[[Path, ExitStack], S]  #: in a folder of its own; what it starts, the stack ends
    missing: str = ""  #: why it can't be measured here, if so


@dataclass(slots=True)
class Found(Generic[S]):
    """Samples by label, one a round, None where one was worthless; and the problems of each label that had some."""

    samples: dict[str, list[S | None]] = field(default_factory=dict)  #: no round at all of what was left out
    problems: dict[str, list[str]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)  #: why, by label

    def begin(self, subjects: Iterable[C]) -> list[C]:
        """Give each a place; those that can be measured here. Says which cannot."""
        here = []
        for subject in subjects:
            self.samples[subject.label] = []
            if subject.missing:
                self.left_out[subject.label] = subject.missing
                print(f"left out: {subject.label}: {subject.missing}", file=sys.stderr)
            else:
                here.append(subject)
        return here

    def add(self, label: str, sample: S | None, problem: str, when: str) -> None:
        """One more sample, or what made it worthless; says so."""
        self.samples[label].append(sample)
        if problem:
            self.fail(label, problem)
        print(f"{when}  {label:<28} {problem if sample is None else sample.shown}", file=sys.stderr, flush=True)

    def fail(self, label: str, problem: str) -> None:
        """One more problem: of a sample, or of what several samples were to be taken of."""
        self.problems.setdefault(label, []).append(problem)

    def lacking(self, rounds: int) -> list[str]:
        """What was worthless in how many of so many rounds, and what was left out, a line each."""
        told = []
        for label, mine in self.problems.items():
            why = "; ".join(dict.fromkeys(map(_report.short, mine)))
            told.append(f"`{label}`: worthless in {len(mine)} of {len(self.samples.get(label, ())) or rounds} rounds: {why}")
        return [*told, *(f"`{label}`: left out: {why}" for label, why in self.left_out.items())]

    def of(self, label: str) -> list[S]:
        """The samples of a subject that are worth something."""
        return [sample for sample in self.samples.get(label, []) if sample is not None]

    def median(self, label: str, of: Callable[[S], float]) -> float | None:
        """Over the rounds; None without a sample."""
        values = [of(sample) for sample in self.of(label)]
        return statistics.median(values) if values else None

    def pairs(self, label: str, beside: str) -> list[tuple[S, S]]:
        """The samples of two subjects in the rounds that have both."""
        both = zip(self.samples.get(label, []), self.samples.get(beside, []), strict=False)
        return [(own, other) for own, other in both if own is not None and other is not None]

    def ratios(self, label: str, beside: str, of: Callable[[S], float]) -> list[float]:
        """How much more one subject has than another, in each round that has both."""
        return [of(own) / of(other) for own, other in self.pairs(label, beside) if of(other)]

    def ratio(self, label: str, beside: str, of: Callable[[S], float]) -> float | None:
        """The median of these; None without one."""
        ratios = self.ratios(label, beside, of)
        return statistics.median(ratios) if ratios else None


def medians(samples: Sequence[S], form: str = ".1f") -> Callable[..., str]:
    """What gives a figure of `samples` as a row of a table shows it: the median, in that form where no other is asked for."""

    def median(of: Callable[[S], float], form: str = form) -> str:
        return format(statistics.median(map(of, samples)), form)

    return median


def joined(*parts: Found[Any]) -> Found[Any]:
    """What several have found of different subjects, as one."""
    whole: Found[Any] = Found()
    for part in parts:
        whole.samples |= part.samples
        whole.problems |= part.problems
        whole.left_out |= part.left_out
    return whole


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


def choose(subjects: Iterable[C], only: str) -> list[C]:
    """Those that are wanted."""
    wanted = tuple(name for name in only.split(",") if name)
    return [subject for subject in subjects if not wanted or subject.label.startswith(wanted)]


def run(chosen: Sequence[Subject[S]], rounds: int, *, together: bool = False) -> Found[S]:
    """All rounds; with `together` all subjects of a round are measured at the same time."""
    found: Found[S] = Found()
    here = found.begin(chosen)
    for number in range(rounds):
        due = turned(here, number)
        samples = _watched(partial(_at_once, due), rounds) if together else (attempt(subject, rounds) for subject in due)
        for subject, (sample, problem) in zip(due, samples, strict=True):
            found.add(subject.label, sample, problem, f"round {number + 1}/{rounds}")
    return found


def _at_once(due: Sequence[Subject[S]]) -> list[tuple[S | None, str]]:
    with ThreadPoolExecutor(max(1, len(due))) as runners:
        return list(runners.map(_once, map(_alone, due)))


def turned(subjects: Sequence[T], number: int) -> Sequence[T]:
    """The order of a round: every second one backwards, so that what the machine does meanwhile favours nobody."""
    return subjects[::-1] if number % 2 else subjects


def attempt(subject: Subject[S], rounds: int) -> tuple[S | None, str]:
    """One subject in one of so many rounds, with a folder and a stack of its own: the sample, or what went wrong."""
    return tried(_alone(subject), rounds)


def _alone(subject: Subject[S]) -> Callable[[], S]:
    def measure() -> S:
        with tempfile.TemporaryDirectory(prefix="lalmesh-bench-") as name, ExitStack() as stack:
            return subject.measure(Path(name), stack)

    return measure


def tried(measure: Callable[[], S], rounds: int) -> tuple[S | None, str]:
    """A sample, or what makes it worthless; the one that the host of the machine took least from, unless one round is all."""
    return _watched(partial(_once, measure), rounds)


def _watched(measure: Callable[[], T], rounds: int) -> T:
    return HOST.watch(measure) if rounds > 1 else measure()


def _once(measure: Callable[[], S]) -> tuple[S | None, str]:
    try:
        sample = measure()
    except FAILURES as error:
        return None, str(error) or type(error).__name__
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
    about = _report.context() | ({"host": HOST.told} if HOST.shares else {})
    bars = [_report.table(_report.BARS_HEAD, [each.cells for each in judged])] if judged else []
    lacking = found.lacking(plan.rounds)
    told = ["Not all of it could be measured:", "\n".join(f"- {line}" for line in lacking)] if lacking else []
    text = "\n\n".join((_report.listed(about), *paragraphs, *told, *bars))
    print(f"\n{title}\n\n{text}\n")
    drawn = [replace(plot, curves=[curve for curve in plot.curves if curve.points]) for plot in plots]
    shape = {key: value for key, value in vars(plan).items() if isinstance(value, int | float | str | tuple | list)}
    for path in (plan.json, *([_report.FIGURES / f"{name}.json"] if plan.report else ())):
        _report.keep(path, about, shape, _plain(found), text="\n\n".join(paragraphs), judged=judged, plots=drawn)
    if plan.report:
        _report.publish(name, title, text, drawn)
    return _report.end(found.problems, judged if plan.verdict else ())


def _plain(found: Found[Any]) -> Mapping[str, Any]:
    samples = {label: [one and asdict(one) for one in mine] for label, mine in found.samples.items()}
    return {"samples": samples, "problems": found.problems, "left_out": found.left_out, "measured_again": HOST.again}
