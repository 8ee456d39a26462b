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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from support.cluster import PROGRAM, Node, Standalone
from support.otlp_collector import Collector

from bench import _load, _report, _rounds
from bench._report import Judged
from bench._rounds import Found
from bench.fanout import AT_ONCE, STREAM, Running, Sample, Subject, gathered, measured, percent, stream_kbps

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


def subjects(plan: argparse.Namespace) -> list[_rounds.Subject[Sample]]:
    """The two of a pair, in the order of the first one."""
    missing = "" if Path(PROGRAM).exists() else f"{PROGRAM} is missing"
    starts = {UNWATCHED: _unwatched(plan.gather_ms), WATCHED: _watched(plan.gather_ms)}
    both = {name: Subject("lalmesh", "flv", plan.gather_ms, start, players=plan.players) for name, start in starts.items()}
    return [_rounds.Subject(name, partial(measured, subject, plan), missing) for name, subject in both.items()]


def judged(found: Found[Sample], gather_ms: int) -> list[Judged]:
    """What the bar says."""
    what = f"metrics and traces, {gathered(gather_ms)}: processor time"
    return [Judged(what=what, found=found.ratio(WATCHED, UNWATCHED, percent), bar=MOST, unit="x off")]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = _rounds.parser("telemetry", __doc__, RESULTS, rounds=10, seconds=10, warm_up=3)
    parser.add_argument("--players", type=int, default=500, help="players of the one stream (%(default)s)")
    parser.add_argument("--gather-ms", type=int, default=0, help="the longest that frames are gathered (%(default)s)")
    parser.add_argument("--together", action="store_true", help="let the two of a pair run at the same time")
    return parser.parse_args()


def introduction(plan: argparse.Namespace) -> str:
    """What the table shows."""
    how = f"Gathered for {plan.gather_ms} ms at most" if plan.gather_ms else AT_ONCE
    turns = "both at the same time" if plan.together else "in turn: off, on, on, off, and so on"
    return (
        f"One stream of {stream_kbps() / 1000:.1f} Mbit/s to {plan.players} players over HTTP-FLV, {plan.rounds} pairs of "
        f"{plan.seconds:g} s a server, {turns}. {how}. `on`: every trace goes to a collector, metrics have series of single "
        f"streams and are read every {SCRAPE_S:g} s; `off`: none of it. The ratio is the median over the pairs."
    )


def row(name: str, found: Found[Sample], plan: argparse.Namespace) -> list[str]:
    """The line of one of the two, which has a sample."""
    mine, [bar] = found.of(name), judged(found, plan.gather_ms)
    cpu = [percent(sample) for sample in mine]
    is_judged = name == WATCHED and bar.found is not None
    return [
        name,
        f"{statistics.median(cpu):.2f}",
        f"{min(cpu):.2f}-{max(cpu):.2f}",
        f"{statistics.median(cpu) / 100 / plan.players * US_PER_S:.0f}",
        f"{bar.found:.3f}" if is_judged else "",
        f"bar {MOST:.2f}: {bar.verdict}" if is_judged else "",
        f"{statistics.median(sample.usage.rss_mb for sample in mine):.0f}",
    ]


HEAD = ["metrics and traces", "% of a core", "lowest-highest", "µs a second and player", "x off", "verdict", "MB"]
LIMITS = (
    "What limits it: media is counted by block and not by player or unit, and series are made when they are read; a player makes "
    "a span or two when it has its first media, and none after that. So what it costs follows how many streams and sessions there "
    "are to be read, how often, and how often players come, and the media hardly. What would move it: reading less often, no "
    "series of single streams (`telemetry.per_stream_metrics`), fewer traces (`telemetry.traces.sample_percent`)."
)


def main() -> None:
    """Measure, print, keep; exit with 1 if a sample was worthless or the bar is missed."""
    plan = arguments()
    _load.raise_file_limit(plan.players)
    found = _rounds.run(_rounds.choose(subjects(plan), plan.only), plan.rounds, together=plan.together)
    table = _report.table(HEAD, [row(name, found, plan) for name in (WATCHED, UNWATCHED) if found.of(name)])
    title = "What metrics and traces cost" + (", both servers at the same time" if plan.together else "")
    paragraphs = [introduction(plan), table, LIMITS]
    sys.exit(_rounds.conclude("telemetry", title, paragraphs, plan, found, judged=judged(found, plan.gather_ms)))


if __name__ == "__main__":
    main()
