"""What HLS costs: segmenting 10 and 50 streams, and answering players, beside nginx with the same files.

Segmenting is one standalone server that takes streams in: first without HLS, then with one format, at last with both; what HLS adds
is the difference within that server. Which format comes first changes from round to round. Answering is an hls node, an edge before
it and nginx, each asked by one client on many connections, while a cluster runs with one stream. The server that is measured has a
core to itself where there are two.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from bench import _asking, _load, _report, _segmenting
from bench.fanout import stream_kbps

STREAMS = (10, 50)  #: with the first small costs show (those of one stream would drown), with the second whether they grow
RESULTS = _load.BUILT / "hls.json"
RIG_S = 300.0  #: for a cluster to start, and for segments to leave memory
TITLE = "HLS: segmenting, and answering players"
FAILURES = (AssertionError, OSError, subprocess.SubprocessError)  #: that make a sample worthless


class _Sample(Protocol):
    @property
    def problem(self) -> str: ...

    @property
    def shown(self) -> str: ...


_Taken = TypeVar("_Taken", bound=_Sample)
_Rig = TypeVar("_Rig")


@dataclass(slots=True)
class Found:
    """What was measured: samples by label, one a round, None where one was worthless or had no turn."""

    segmenting: dict[str, list[_segmenting.Sample | None]] = field(default_factory=dict)
    asking: dict[str, list[_asking.Sample | None]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)  #: the last one of each label that had one


@dataclass(slots=True, frozen=True)
class Chosen:
    """What is to be measured."""

    segmenting: Sequence[_segmenting.Subject]
    asking: Sequence[_asking.Subject]


def choose(plan: argparse.Namespace) -> Chosen:
    """The subjects that are wanted and can be measured here; says which cannot."""
    wanted = tuple(name for name in plan.only.split(",") if name)

    def can(label: str, missing: str) -> bool:
        if wanted and not label.startswith(wanted):
            return False
        if missing:
            print(f"left out: {label}: {missing}", file=sys.stderr)
        return not missing

    return Chosen(
        [subject for subject in _segmenting.subjects(plan.streams) if can(subject.label, subject.missing)],
        [subject for subject in _asking.subjects() if can(subject.label, subject.missing)],
    )


class Bench:
    """Subjects take turns, round by round."""

    def __init__(self, plan: argparse.Namespace, chosen: Chosen) -> None:
        """Measure `chosen` by `plan`."""
        self.found = Found()
        self._plan = plan
        self._chosen = chosen
        self._cores = _load.Cores(apart=plan.pin)

    def run(self) -> Found:
        """All rounds."""
        for number in range(1, self._plan.rounds + 1):
            for place, streams in enumerate(dict.fromkeys(subject.streams for subject in self._chosen.segmenting)):
                self._segment(streams, number, _segmenting.turns(self._chosen.segmenting, streams, number + place))
            if self._chosen.asking:
                self._ask(number)
        return self.found

    def _segment(self, streams: int, number: int, due: Sequence[_segmenting.Subject]) -> None:
        with tempfile.TemporaryDirectory(prefix="lalmesh-bench-") as name, ExitStack() as stack:
            start = partial(_segmenting.Rig, Path(name), stack, streams, self._plan, self._cores)
            rig = self._started(f"{streams} streams", start)
            for subject in self._chosen.segmenting:
                if subject.streams == streams:
                    measure = partial(rig.measure, subject) if rig is not None and subject in due else None
                    self.found.segmenting.setdefault(subject.label, []).append(self._attempt(subject.label, number, measure))

    def _ask(self, number: int) -> None:
        plan = self._plan
        limit_s = RIG_S + len(self._chosen.asking) * (plan.warm_up + plan.seconds + _load.ANSWER_S + _load.MARGIN_S)
        with tempfile.TemporaryDirectory(prefix="lalmesh-bench-") as name, ExitStack() as stack:
            rig = self._started("cluster", partial(_asking.Rig, Path(name), stack, plan, self._cores, limit_s))
            for subject in self._chosen.asking:
                measure = partial(rig.measure, subject) if rig is not None else None
                self.found.asking.setdefault(subject.label, []).append(self._attempt(subject.label, number, measure))

    def _started(self, what: str, start: Callable[[], _Rig]) -> _Rig | None:
        """What is measured, None where it does not come up."""
        try:
            return start()
        except FAILURES as error:
            self.found.problems[what] = str(error)
            return None

    def _attempt(self, label: str, number: int, measure: Callable[[], _Taken] | None) -> _Taken | None:
        """One subject, once; None where the sample is worthless, and where there is nothing to `measure`."""
        if measure is None:
            return None
        sample: _Taken | None
        try:
            sample = measure()
        except FAILURES as error:
            sample, problem = None, str(error)
        else:
            problem = sample.problem
        if problem:
            self.found.problems[label] = problem
        shown = sample.shown if sample is not None and not problem else problem
        print(f"round {number}/{self._plan.rounds}  {label:<20} {shown}", file=sys.stderr, flush=True)
        return None if problem else sample


def sections(plan: argparse.Namespace, chosen: Chosen, found: Found) -> list[str]:
    """The two tables, each under what it shows; one that has no row is left out."""
    cut = [_segmenting.row(each, found.segmenting) for each in chosen.segmenting if any(found.segmenting[each.label])]
    asked = [_asking.row(each, found.asking) for each in chosen.asking if any(found.asking[each.label])]
    made = []
    if cut:
        made += [_on_segmenting(plan), _report.table(_segmenting.HEAD, cut)]
    if asked:
        made += [_on_asking(plan), _report.table(_asking.HEAD, asked)]
    return made


def _on_segmenting(plan: argparse.Namespace) -> str:
    return (
        f"Segmenting streams of {stream_kbps() / 1000:.1f} Mbit/s (H.264 at 30 pictures a second, AAC) in a standalone server. "
        f"Segments end at the first key frame after {plan.segment_ms / 1000:g} s and are stored in a folder. {plan.rounds} rounds "
        f"of {plan.seconds:g} s each, begun {plan.settle:g} s after the first playlists (half of that for the second format), "
        "median; processor time and memory of the whole server. `+` is what it takes beyond the minute before, without HLS."
    )


def _on_asking(plan: argparse.Namespace) -> str:
    return (
        f"One stream, asked for on {plan.connections} connections as fast as answers come; where the playlist blocks, by "
        f"{plan.waiting} players that each wait for the next part; {plan.rounds} rounds of {plan.seconds:g} s each, median. "
        "Processor time is that of the process that was asked; `x nginx` compares an answer's with that of nginx, within a round, "
        "for a file from the same folder."
    )


def keep(plan: argparse.Namespace, about: dict[str, str], found: Found) -> None:
    """Write everything that was found as JSON."""
    names = ("segment_ms", "seconds", "rounds", "warm_up", "settle", "connections", "waiting")
    shape = {name: getattr(plan, name) for name in names}
    plan.json.parent.mkdir(parents=True, exist_ok=True)
    plan.json.write_text(json.dumps({"about": about, "plan": shape, **asdict(found)}, indent=1))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench.hls", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=_numbers, default=STREAMS, metavar="N,...", help="numbers of streams (10,50)")
    parser.add_argument("--segment-ms", type=int, default=3000, help="a segment ends at the first key frame after it (%(default)s)")
    parser.add_argument("--seconds", type=float, default=4, help="measured each time; as long as a segment (%(default)s)")
    parser.add_argument("--settle", type=float, default=30, help="seconds of segmenting before its measurement (%(default)s)")
    parser.add_argument("--warm-up", type=float, default=1, help="seconds of asking before its measurement (%(default)s)")
    parser.add_argument("--connections", type=int, default=64, help="that ask as fast as answers come (%(default)s)")
    parser.add_argument("--waiting", type=int, default=500, help="players that wait for the next part (%(default)s)")
    parser.add_argument("--rounds", type=int, default=4, help="of 5 minutes; even: both formats have their turns (%(default)s)")
    parser.add_argument("--only", default="", metavar="NAME,...", help="subjects whose label begins with one of these")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="where the samples go (%(default)s)")
    parser.add_argument("--report", action="store_true", help="write the tables into docs/performance.md")
    parser.add_argument("--no-pin", dest="pin", action="store_false", help="let server and load share all cores")
    return parser.parse_args()


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def main() -> None:
    """Measure, print, keep; exit with 1 if a sample was worthless."""
    plan = arguments()
    _load.raise_file_limit(max(plan.waiting, plan.connections))
    chosen = choose(plan)
    found = Bench(plan, chosen).run()
    about = _report.context()
    text = "\n\n".join((_report.listed(about), *sections(plan, chosen, found)))
    print(f"\n{TITLE}\n\n{text}\n")
    keep(plan, about, found)
    if plan.report:
        _report.publish("hls", TITLE, text)
    for label, problem in found.problems.items():
        print(f"worthless: {label}: {problem}", file=sys.stderr)
    sys.exit(1 if found.problems else 0)


if __name__ == "__main__":
    main()
