"""What metrics and traces cost where it counts: in the fan-out of one stream to many players.

Two servers take turns, pair by pair, and which of them comes first changes from pair to pair. One sends its spans to a collector,
has series of single streams, and is scraped; of the other nobody wants to know anything. What is compared is the processor time of
the server over as many seconds. With `--together` the two of a pair run at the same time, on one core: what else the machine does
then slows both alike, which a busy machine needs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from support.cluster import PROGRAM, Node, Standalone
from support.otlp_collector import Collector

from bench import _load, _report, _rounds
from bench.fanout import STREAM, Running, Sample, Samples, Subject, attempt, keep, median_ratio, stream_kbps

SCRAPE_S = 5.0  #: Prometheus' own default is a minute, most have 15 s
ANSWER_S = 10.0
US_PER_S = 1_000_000
MOST = 1.03  #: times the processor time of a server that nobody watches
RESULTS = _load.BUILT / "telemetry.json"
WATCHED, UNWATCHED = "on", "off"


@contextmanager
def _scraped(node: Node) -> Iterator[None]:
    """Read the metrics of `node` every `SCRAPE_S`."""
    over = threading.Event()

    def scrape() -> None:
        while not over.wait(SCRAPE_S):
            with urllib.request.urlopen(f"{node.health_url}/metrics", timeout=ANSWER_S) as answer:
                answer.read()

    thread = threading.Thread(target=scrape, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(ANSWER_S)


def _running(node: Node) -> Running:
    return Running(node.pid, node.rtmp_url(STREAM), ("http", str(node.ports["http"]), f"/{STREAM}.flv"))


def _watched(gather_ms: int) -> Callable[[Path, ExitStack], Running]:
    def start(folder: Path, stack: ExitStack) -> Running:
        collector = stack.enter_context(Collector())
        settings = {
            "edge.fanout.max_delay_ms": gather_ms,
            "telemetry.traces.endpoint": collector.url,
            "telemetry.per_stream_metrics": True,
        }
        node = stack.enter_context(Standalone(folder, settings))
        stack.callback(_complain_unless_seen, collector)
        stack.enter_context(_scraped(node))
        return _running(node)

    return start


def _complain_unless_seen(collector: Collector) -> None:
    """A run in which nothing was traced says nothing of what traces cost."""
    if not collector.named("edge.first_frame"):
        raise AssertionError("no span of a player has come to the collector")


def _unwatched(gather_ms: int) -> Callable[[Path, ExitStack], Running]:
    def start(folder: Path, stack: ExitStack) -> Running:
        return _running(stack.enter_context(Standalone(folder, {"edge.fanout.max_delay_ms": gather_ms})))

    return start


def measured(plan: argparse.Namespace) -> tuple[Samples, dict[str, str]]:
    """All pairs: samples by label, None where one was worthless; and the last problem of each."""
    on = Subject(WATCHED, "flv", plan.gather_ms, _watched(plan.gather_ms))
    off = Subject(UNWATCHED, "flv", plan.gather_ms, _unwatched(plan.gather_ms))
    samples: Samples = {subject.name: [] for subject in (on, off)}
    problems: dict[str, str] = {}
    for number in range(plan.rounds):
        pair = _rounds.turned((off, on), number)
        with ThreadPoolExecutor(len(pair) if plan.together else 1) as runners:
            found = list(runners.map(lambda subject: attempt(subject, plan), pair))
        for subject, (sample, problem) in zip(pair, found, strict=True):
            samples[subject.name].append(sample)
            if problem:
                problems[subject.name] = problem
            shown = problem if sample is None else f"{sample.usage.cpu_percent:.2f}% of a core"
            print(f"pair {number + 1}/{plan.rounds}  {subject.name:<4} {shown}", file=sys.stderr, flush=True)
    return samples, problems


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="bench.telemetry", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--players", type=int, default=500, help="players of the one stream (%(default)s)")
    parser.add_argument("--gather-ms", type=int, default=0, help="the longest that frames are gathered (%(default)s)")
    parser.add_argument("--seconds", type=float, default=10, help="measured, after the warm-up (%(default)s)")
    parser.add_argument("--warm-up", type=float, default=3, help="seconds before the measurement (%(default)s)")
    parser.add_argument("--rounds", type=int, default=10, help="pairs (%(default)s)")
    parser.add_argument("--together", action="store_true", help="let the two of a pair run at the same time")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="where the samples go (%(default)s)")
    parser.add_argument("--report", action="store_true", help="write the table into docs/performance.md")
    parser.add_argument("--no-verdict", dest="verdict", action="store_false", help="do not fail where the bar is missed")
    parser.add_argument("--no-pin", dest="pin", action="store_false", help="let server and load share all cores")
    return parser.parse_args()


def introduction(plan: argparse.Namespace) -> str:
    """What the table shows."""
    gathered = f"gathered for {plan.gather_ms} ms at most" if plan.gather_ms else "each frame at once"
    turns = "both at the same time" if plan.together else "in turn: off, on, on, off, and so on"
    return (
        f"One stream of {stream_kbps() / 1000:.1f} Mbit/s to {plan.players} players over HTTP-FLV, {gathered}, {plan.rounds} pairs "
        f"of {plan.seconds:g} s a server, {turns}. `on`: every trace goes to a collector, metrics have series of single streams "
        f"and are read every {SCRAPE_S:g} s; `off`: none of it. The ratio is the median over the pairs; at most {MOST:.2f} is "
        "accepted."
    )


def row(name: str, mine: Sequence[Sample | None], ratio: float | None, players: int) -> list[str]:
    """The line of one of the two, of a stream to so many `players`."""
    cpu = [sample.usage.cpu_percent for sample in mine if sample is not None]
    rss_mb = [sample.usage.rss_mb for sample in mine if sample is not None]
    is_on = name == WATCHED
    verdict = "" if ratio is None or not is_on else "missed" if ratio > MOST else "met"
    shown = f"{ratio:.3f}" if ratio is not None and is_on else ""
    return [
        name,
        f"{statistics.median(cpu):.2f}",
        f"{min(cpu):.2f}-{max(cpu):.2f}",
        f"{statistics.median(cpu) / 100 / players * US_PER_S:.0f}",
        shown,
        f"bar {MOST:.2f}: {verdict}" if verdict else "",
        f"{statistics.median(rss_mb):.0f}",
    ]


HEAD = ["metrics and traces", "% of a core", "lowest-highest", "µs a second and player", "x off", "verdict", "MB"]


def main() -> None:
    """Measure, print, keep; exit with 1 if a sample was worthless or the bar is missed."""
    plan = arguments()
    if not Path(PROGRAM).exists():
        sys.exit(f"{PROGRAM} is missing")
    _load.raise_file_limit(plan.players)
    samples, problems = measured(plan)
    ratio = median_ratio(samples[WATCHED], samples[UNWATCHED])
    rows = [row(name, mine, ratio, plan.players) for name, mine in samples.items() if any(mine)]
    about = _report.context()
    title = "What metrics and traces cost" + (", both servers at the same time" if plan.together else "")
    text = "\n\n".join((introduction(plan), _report.listed(about), _report.table(HEAD, rows)))
    print(f"\n{title}\n\n{text}\n")
    keep(plan, about, samples, problems)
    if plan.report:
        _report.publish("telemetry", title, text)
    for name, problem in problems.items():
        print(f"worthless: {name}: {problem}", file=sys.stderr)
    is_missed = plan.verdict and ratio is not None and ratio > MOST
    sys.exit(1 if problems or is_missed else 0)


if __name__ == "__main__":
    main()
