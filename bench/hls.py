"""What HLS costs: segmenting 10 and 50 streams, and answering players, beside nginx with the same files.

Segmenting is one standalone server that takes streams in: first without HLS, then with one format, at last with both; what HLS adds
is the difference within that server. Which format comes first changes from round to round. Answering is an hls node, an edge before
it and nginx, each asked by one client on many connections, while a cluster runs with one stream. The server that is measured has a
core to itself where there are two.

`--seconds` is as long as a segment, for each sample to have the end of one of every stream; an even number of rounds gives both
formats their turns.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TypeVar

from bench import _asking, _host, _load, _report, _rounds, _segmenting
from bench._rounds import Found
from bench.fanout import stream_kbps

STREAMS = (10, 50)  #: with the first small costs show (those of one stream would drown), with the second whether they grow
RESULTS = _load.BUILT / "hls.json"
RIG_S = 300.0  #: for a cluster to start, and for segments to leave memory
TITLE = "HLS: segmenting, and answering players"
LIMITS = (
    "What limits it: segmenting does the same for every unit of a stream, whether anybody watches, so it follows units a second, "
    "and bits only as bytes are copied into segments; the second format costs less than the first, as units come and are cut once "
    "for both. Memory is bits: the newest segments of every stream, and what the origin keeps for a worker that takes over. An "
    "answer is a request that Python reads and a head that it writes, which nginx does in C; of what is large the kernel's copying "
    "is most, for both, and a segment that has left memory is read from storage besides. What would move it: more hls "
    "nodes, which share the streams, and more edges, or workers of them, which share the answers; a cache before them (nginx, a "
    "CDN), as segments never change; and for memory shorter segments and `hls.keep_s`."
)

_Rig = TypeVar("_Rig")
_Taken = TypeVar("_Taken", bound=_rounds.Sample)


class Bench:
    """Subjects take turns, round by round; those of one server or cluster together."""

    def __init__(self, plan: argparse.Namespace) -> None:
        """Measure by `plan`."""
        self.cut: Found[_segmenting.Sample] = Found()
        self.asked: Found[_asking.Sample] = Found()
        self._segmenting = self.cut.begin(_rounds.choose(_segmenting.subjects(plan.streams), plan.only))
        self._asking = self.asked.begin(_rounds.choose(_asking.subjects(), plan.only))
        self._plan = plan
        self._cores = _load.Cores(apart=plan.pin)

    def run(self) -> None:
        """All rounds."""
        for number in range(1, self._plan.rounds + 1):
            for place, streams in enumerate(dict.fromkeys(subject.streams for subject in self._segmenting)):
                self._segment(streams, number, _segmenting.turns(self._segmenting, streams, number + place))
            if self._asking:
                self._ask(number)

    def _segment(self, streams: int, number: int, due: Sequence[_segmenting.Subject]) -> None:
        with tempfile.TemporaryDirectory(prefix="lalmesh-bench-") as name, ExitStack() as stack:
            start = partial(_segmenting.Rig, Path(name), stack, streams, self._plan, self._cores)
            rig = _started(f"{streams} streams", start, self.cut)
            for subject in self._segmenting:
                if subject.streams == streams:
                    measure = partial(rig.measure, subject) if rig is not None and subject in due else None
                    self._take(self.cut, subject.label, number, measure)

    def _ask(self, number: int) -> None:
        plan = self._plan
        once_s = plan.warm_up + plan.seconds + _load.ANSWER_S + _load.MARGIN_S + _host.PAUSE_S
        limit_s = RIG_S + len(self._asking) * _host.TRIES * once_s
        with tempfile.TemporaryDirectory(prefix="lalmesh-bench-") as name, ExitStack() as stack:
            rig = _started("cluster", partial(_asking.Rig, Path(name), stack, plan, self._cores, limit_s), self.asked)
            for subject in self._asking:
                measure = partial(rig.measure, subject) if rig is not None else None
                self._take(self.asked, subject.label, number, measure)

    def _take(self, found: Found[_Taken], label: str, number: int, measure: Callable[[], _Taken] | None) -> None:
        """One subject, once; None where there is nothing to `measure`."""
        if measure is None:
            found.samples[label].append(None)
        else:
            found.add(label, *_rounds.tried(measure, self._plan.rounds), f"round {number}/{self._plan.rounds}")

    def sections(self) -> list[str]:
        """The two tables, each under what it shows; one that has no row is left out."""
        cut = [_segmenting.row(each, self.cut) for each in self._segmenting if self.cut.of(each.label)]
        asked = [_asking.row(each, self.asked) for each in self._asking if self.asked.of(each.label)]
        made = []
        if cut:
            made += [_on_segmenting(self._plan), _report.table(_segmenting.HEAD, cut)]
        if asked:
            made += [_on_asking(self._plan), _report.table(_asking.HEAD, asked)]
        return made


def _started(what: str, start: Callable[[], _Rig], found: Found[_Taken]) -> _Rig | None:
    """What is measured, None where it does not come up."""
    try:
        return start()
    except _rounds.FAILURES as error:
        found.fail(what, str(error))
        return None


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


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = _rounds.parser("hls", __doc__, RESULTS, rounds=4, seconds=4, warm_up=1)
    parser.add_argument("--streams", type=_numbers, default=STREAMS, metavar="N,...", help="numbers of streams (10,50)")
    parser.add_argument("--segment-ms", type=int, default=3000, help="a segment ends at the first key frame after it (%(default)s)")
    parser.add_argument("--settle", type=float, default=30, help="seconds of segmenting before its measurement (%(default)s)")
    parser.add_argument("--connections", type=int, default=64, help="that ask as fast as answers come (%(default)s)")
    parser.add_argument("--waiting", type=int, default=500, help="players that wait for the next part (%(default)s)")
    return parser.parse_args()


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def main() -> None:
    """Measure, print, keep; exit with 1 if a sample was worthless."""
    plan = arguments()
    _load.raise_file_limit(max(plan.waiting, plan.connections))
    bench = Bench(plan)
    bench.run()
    found = _rounds.joined(bench.cut, bench.asked)
    sys.exit(_rounds.conclude("hls", TITLE, [*bench.sections(), LIMITS], plan, found))


if __name__ == "__main__":
    main()
