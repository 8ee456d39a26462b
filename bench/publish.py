"""What it costs to take streams in that nobody plays: lalmesh beside the floor, nginx-rtmp and node-media-server, and to its end.

Each server in turn gets as many publishers, which send ready-made chunks (`publishers.c`), and makes neither HLS nor recordings.
Processor time is that of all its processes; memory is what it has more than before they came. Once both are known, `lalmesh delay`
publishes one stream more and plays it: what reading in turns saves is paid for in delay. Then publishers are added, step by step,
until the server has more than it reads in time, or its core is full: the last step that it kept up with is the knee.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from support.cluster import PROGRAM, Standalone
from support.media import media
from support.ports import free_ports
from support.process import Child

from bench import _load, _report, _rounds
from bench._plots import Curve, Plot
from bench._report import Judged
from bench.fanout import stream_kbps
from bench.peers import Nginx, NodeMediaServer, Server
from services.edge.read_turns import ReadTurnSettings

PUBLISHERS = 200
FLOOR, AT_ONCE = "floor", "lalmesh-at-once"
SHOWN = {AT_ONCE: "lalmesh, max_delay_ms 0"}
STEPS = {FLOOR: 400, "lalmesh": 50, "nginx-rtmp": 200, "node-media-server": 100}  #: publishers that come at a time
MOST_PUBLISHERS = 2000
MOST_TIMES_NGINX = 3.3  #: which is what lal takes
#: The same without turns. A read by itself finds the caches of the processor cold: before there were turns 200 publishers took 5.6
#: times nginx-rtmp. lal and nginx-rtmp have no turns either, and no other bar was set for this, so it is what lal takes here too.
MOST_TIMES_NGINX_AT_ONCE = 3.3
MOST_MB = 2.0  #: of memory for a publisher
FULL_PERCENT = 95.0  #: of its core, from which on a process has nothing left
BEGIN_S, BEGIN_EACH_S = 20.0, 0.1  #: for publishers to begin
LONGEST_REASON = 200  #: characters
SPARE_S = 3.0  #: that they go on after the measurement
DELAY_STREAM = "live/delay"  #: one more, whose delay is told
DELAY_SPARE_S = 30.0  #: for `lalmesh delay` beside what it measures: to start, to be let in, to match units
RESULTS = _load.BUILT / "publish.json"
TITLE = "Publish: streams that nobody plays"
LIMITS = (
    "What limits it: each message is a read, or part of one, of its connection, is taken apart in Python into an access unit, and "
    "goes into two rings, the publication's and the group's; so the cost follows messages and reads, hardly bytes. Reading in "
    "turns is paid for in delay: a unit waits for half a turn on average, and not in the line without turns; `delay` says how much "
    "that is. What would move it: longer turns, chunk headers taken apart in C, and more cores (workers, edges). Memory is the "
    "last seconds of the stream: what a publication can send again (`edge.publish.replay_s`, further back to a key frame) and the "
    "group's pictures since its key frame, which are the same bytes in one process."
)


@dataclass(slots=True, frozen=True)
class Running:
    """A server that is up."""

    pid: int
    port: int  #: of RTMP
    play_url: str = ""  #: of `DELAY_STREAM`; empty: nothing can be played


Start = Callable[[Path, ExitStack], Running]


@dataclass(slots=True, frozen=True)
class Delay:
    """From the publisher of one stream more to its player."""

    p50_ms: float
    p99_ms: float


@dataclass(slots=True, frozen=True)
class Step:
    """A server with so many publishers."""

    publishers: int
    usage: _load.Usage
    rest_mb: float  #: what it had before they came
    unread_ms: float  #: of all streams, that lay unread in the server's sockets
    sent: _load.Published
    delay: Delay | None = None  #: while all published; None: it was not looked for

    @property
    def percent_each(self) -> float:
        """Processor time of a publisher, in percent of a core."""
        return self.usage.cpu_percent / self.publishers

    @property
    def mb_each(self) -> float:
        """Memory of a publisher."""
        return (self.usage.rss_mb - self.rest_mb) / self.publishers

    @property
    def problem(self) -> str:
        """What makes it worthless, if anything: the server, or the load, did not keep up."""
        return self.sent.behind(self.unread_ms, stream_kbps())

    @property
    def shown(self) -> str:
        """In a few words."""
        delay = "" if self.delay is None else f", delay p99 {self.delay.p99_ms:.1f} ms"
        return f"{self.usage.cpu_percent:.1f}% of a core, {self.mb_each:.2f} MB each{delay}"

    @property
    def is_limited_by_load(self) -> bool:
        """The publishers' core is full, and the server's is not."""
        return self.sent.cpu_percent >= FULL_PERCENT and self.usage.cpu_percent < FULL_PERCENT


@dataclass(slots=True, frozen=True)
class Climb:
    """A server with more and more publishers."""

    steps: Sequence[Step]
    stopped: str  #: why there is no further step

    @property
    def problem(self) -> str:
        """Without a step nothing was found."""
        return "" if self.steps else self.stopped

    @property
    def shown(self) -> str:
        """In a few words."""
        return knee(self).told


@dataclass(slots=True, frozen=True)
class Knee:
    """Where a server has no more to give."""

    publishers: int  #: the most that it kept up with
    told: str


def knee(climb: Climb) -> Knee:
    """The most publishers that a server kept up with, and why there were no more.

    Whether it was the server that had no more to give is told by the last step that there are figures of: the one that it did not
    keep up with, where there are.
    """
    kept = [step for step in climb.steps if not step.problem]
    if not kept:
        return Knee(0, f"none: {climb.stopped}")
    last = kept[-1]
    if climb.steps[-1].is_limited_by_load:
        return Knee(last.publishers, f"{last.publishers} or more: the publishers have no more to give ({climb.stopped})")
    return Knee(last.publishers, f"{last.publishers}, at {last.usage.cpu_percent:.0f}% of a core: {climb.stopped}")


# measuring


def floor(folder: Path, stack: ExitStack) -> Running:
    """`sink.c`, which only reads."""
    [port] = free_ports(1)
    server = Server([_load.build("sink"), str(port)], ports={"rtmp": port}, log=folder / "sink.log")
    return Running(stack.enter_context(server).pid, port)


def lalmesh(folder: Path, stack: ExitStack, settings: Mapping[str, object] | None = None) -> Running:
    """lalmesh standalone with its defaults but for `settings`: no HLS until somebody asks for it, no recording."""
    node = stack.enter_context(Standalone(folder, settings))
    return Running(node.pid, node.ports["rtmp"], node.flv_url(DELAY_STREAM))


def nginx(folder: Path, stack: ExitStack) -> Running:
    """One worker of nginx with its RTMP module."""
    server = stack.enter_context(Nginx(folder))
    return Running(server.pid, server.ports["rtmp"], server.rtmp_url(DELAY_STREAM))


def node_media_server(folder: Path, stack: ExitStack) -> Running:
    """node-media-server."""
    NodeMediaServer.install()
    server = stack.enter_context(NodeMediaServer(folder))
    return Running(server.pid, server.ports["rtmp"], server.flv_url(DELAY_STREAM))


def servers() -> dict[str, tuple[Start, str]]:
    """How each is started, and why it can't be."""
    return {
        FLOOR: (floor, ""),
        "lalmesh": (lalmesh, "" if Path(PROGRAM).exists() else f"{PROGRAM} is missing"),
        "nginx-rtmp": (nginx, "" if Nginx.available() else "nginx or its RTMP module is not installed"),
        "node-media-server": (node_media_server, "" if NodeMediaServer.available() else "node or npm is not installed"),
    }


class Bench:
    """A server that is measured, with its cores."""

    def __init__(self, plan: argparse.Namespace, start: Start, folder: Path, stack: ExitStack) -> None:
        """Start it; the stack ends it."""
        self._plan, self._folder = plan, folder
        self._cores = _load.Cores(apart=plan.pin)
        self._server = start(folder, stack)
        self._cores.give_server(self._server.pid)

    def step(self, publishers: int, *, with_delay: bool = False) -> Step:
        """With so many publishers, which are gone afterwards; `with_delay` also how long units take, where they can be played."""
        plan, server = self._plan, self._server
        rest_mb = _load.rss_mb(server.pid)
        delay: Delay | None = None
        delay_limit_s = plan.seconds + DELAY_SPARE_S if with_delay and server.play_url else 0.0
        whole_s = plan.warm_up + plan.seconds + delay_limit_s + SPARE_S
        log = self._folder / f"publishers-{publishers}.log"
        with _load.publish(server.port, publishers, whole_s, plan.warm_up, media("bench"), log) as load:
            self._cores.give_load(load.pid)
            _load.wait_published(load, BEGIN_S + BEGIN_EACH_S * publishers)
            time.sleep(plan.warm_up)
            used = _load.usage(server.pid, plan.seconds)
            unread_ms = _load.unread_ms(server.port, publishers * stream_kbps())
            if delay_limit_s:  # now that processor time and memory are known, and it weighs on neither
                delay = self._delay(delay_limit_s)
                load.terminate()  # it was to go on for as long as that might have taken
            sent = _load.published(load, SPARE_S + _load.MARGIN_S)
        return Step(publishers, used, rest_mb, unread_ms, sent, delay)

    def _delay(self, limit_s: float) -> Delay:
        """What `lalmesh delay` says of one stream more, beside the publishers that are there."""
        server, told = self._server, self._folder / "delay.json"
        urls = [f"rtmp://127.0.0.1:{server.port}/{DELAY_STREAM}", server.play_url]
        shape = ["--file", str(media("bench")), "--duration", str(self._plan.seconds), "--json", str(told)]
        with Child([PROGRAM, "delay", *urls, *shape], log=self._folder / "delay.log") as child:
            self._cores.give_load(child.pid)
            child.wait(limit_s)
        text = told.read_text(encoding="utf-8") if told.exists() else ""
        if not text:
            raise AssertionError(f"no delay was told: {child.describe()}")
        return delay_of(json.loads(text))

    def climb(self, each: int) -> Climb:
        """With more and more publishers, until it no longer keeps up."""
        steps: list[Step] = []
        for publishers in range(each, MOST_PUBLISHERS + 1, each):
            try:
                step = self.step(publishers)
            except _rounds.FAILURES as error:
                return Climb(steps, f"with {publishers} {short(error)}")
            told = f"{step.shown}, {step.problem}" if step.problem else step.shown
            print(f"    {publishers:>5} publishers: {told}", file=sys.stderr, flush=True)
            steps.append(step)
            if step.problem:
                return Climb(steps, f"with {publishers} {step.problem}")
            if step.usage.cpu_percent >= FULL_PERCENT:
                return Climb(steps, "its core is full")
        return Climb(steps, "no more were tried")


def delay_of(report: dict[str, Any]) -> Delay:
    """What is in a report of `lalmesh delay` about one player.

    Raises:
        AssertionError: not all of it went well.
    """
    [row] = report["rows"]
    if report["faults"] or row["delay_ms"] is None:
        raise AssertionError(f"the delay could not be told: {'; '.join(report['faults']) or 'nothing came'}")
    return Delay(row["delay_ms"]["p50"], row["delay_ms"]["p99"])


def short(error: Exception) -> str:
    """What has failed, without the command that has, and the last that it said."""
    first, *said = str(error).strip().splitlines() or [type(error).__name__]
    last = said[-1] if said and not said[-1].endswith("its output ends:") else ""
    return " ".join(filter(None, (first.partition(":")[0] + ":" * bool(last), last[:LONGEST_REASON])))


def subjects(plan: argparse.Namespace) -> list[_rounds.Subject[Step]]:
    """All servers, with as many publishers; lalmesh also as it reads each as soon as something has come."""

    def measure(start: Start, folder: Path, stack: ExitStack) -> Step:
        return Bench(plan, start, folder, stack).step(plan.publishers, with_delay=True)

    at_once = partial(lalmesh, settings={"edge.publish.max_delay_ms": 0})
    starts: dict[str, tuple[Start, str]] = {**servers(), AT_ONCE: (at_once, servers()["lalmesh"][1])}
    return [_rounds.Subject(name, partial(measure, start), missing) for name, (start, missing) in starts.items()]


def climbs(plan: argparse.Namespace) -> list[_rounds.Subject[Climb]]:
    """All servers, with more and more publishers."""

    def measure(start: Start, each: int, folder: Path, stack: ExitStack) -> Climb:
        return Bench(plan, start, folder, stack).climb(each)

    return [
        _rounds.Subject(f"climb-{name}", partial(measure, start, STEPS[name]), missing)
        for name, (start, missing) in servers().items()
    ]


# what was found

HEAD = [
    "server",
    "% of a core",
    "lowest-highest",
    "x floor",
    "x nginx-rtmp",
    "µs a second and publisher",
    "MB each",
    "unread ms",
    "publishers late p99 ms",
    "delay p50 ms",
    "p99 ms",
]
CLIMB_HEAD = ["server", "publishers", "% of a core", "unread ms", "late p99 ms", "% of a core of the publishers"]
KNEE_HEAD = ["server", "knee"]


def row(name: str, found: _rounds.Found[Step]) -> list[str]:
    """The line of one server."""
    mine = found.of(name)
    cpu = [step.usage.cpu_percent for step in mine]
    ratios = [found.ratio(name, beside, lambda step: step.percent_each) for beside in (FLOOR, "nginx-rtmp")]
    delays = [step.delay for step in mine if step.delay is not None]
    return [
        SHOWN.get(name, name),
        f"{statistics.median(cpu):.1f}",
        f"{min(cpu):.1f}-{max(cpu):.1f}",
        *("" if ratio is None else f"{ratio:.2f}" for ratio in ratios),
        f"{statistics.median(step.percent_each for step in mine) * 10_000:.0f}",
        f"{max(0.0, statistics.median(step.mb_each for step in mine)):.2f}",
        f"{statistics.median(step.unread_ms for step in mine):.0f}",
        f"{max(step.sent.late_p99_ms for step in mine):.0f}",
        f"{statistics.median(delay.p50_ms for delay in delays):.1f}" if delays else "",
        f"{statistics.median(delay.p99_ms for delay in delays):.1f}" if delays else "",
    ]


def climb_rows(name: str, climb: Climb) -> list[list[str]]:
    """The lines of one server."""
    return [
        [
            name,
            str(step.publishers),
            f"{step.usage.cpu_percent:.1f}",
            f"{step.unread_ms:.0f}",
            f"{step.sent.late_p99_ms:.0f}",
            f"{step.sent.cpu_percent:.0f}",
        ]
        for step in climb.steps
    ]


def judge(found: _rounds.Found[Step], publishers: int) -> list[Judged]:
    """The bars of lalmesh."""
    what = f"publish, processor time, {publishers} publishers"
    mb = found.median("lalmesh", lambda step: step.mb_each)
    at_once = [judged_time(AT_ONCE, f"{what}, each read at once", MOST_TIMES_NGINX_AT_ONCE, found)]
    return [
        judged_time("lalmesh", what, MOST_TIMES_NGINX, found),
        *(at_once if AT_ONCE in found.samples else []),
        Judged(what=f"publish, memory of a publisher, {publishers} publishers", found=mb, bar=MOST_MB, unit="MB"),
    ]


def judged_time(name: str, what: str, bar: float, found: _rounds.Found[Step]) -> Judged:
    """What a bar says of processor time."""
    return Judged(what=what, found=found.ratio(name, "nginx-rtmp", lambda step: step.percent_each), bar=bar, unit="x nginx-rtmp")


def plots(climbed: Mapping[str, Climb]) -> list[Plot]:
    """Processor time against publishers."""
    curves = [
        Curve(
            label=name,
            points=[(float(step.publishers), step.usage.cpu_percent) for step in climb.steps],
            dashed=name != "lalmesh",
        )
        for name, climb in climbed.items()
    ]
    title, x = "Streams that are published and not played", f"publishers of {stream_kbps() / 1000:.1f} Mbit/s"
    return [Plot(name="publish", title=title, x=x, y="% of a core", curves=curves, limit=100)]


def introduction(plan: argparse.Namespace) -> str:
    """What the tables show."""
    return (
        f"{plan.publishers} publishers by RTMP, each of a stream of its own of {stream_kbps() / 1000:.1f} Mbit/s (H.264 at 30 "
        f"pictures a second, AAC), in chunks of 4,096 bytes, spread over time; no player, no HLS, no recording. {plan.rounds} "
        f"rounds of {plan.seconds:g} s each after {plan.warm_up:g} s, median; processor time of the whole server, which has a core "
        "to itself; memory is what it has more than before they came. Ratios are taken within a round; the floor only reads "
        "(`sink.c`). Where many publish, lalmesh reads their connections together, in turns that are "
        f"{ReadTurnSettings().max_delay_ms} ms long at most (`edge.publish.max_delay_ms`); the last line has that off, and each is "
        "read as soon as something has come, as by the other servers. `unread` is how much of the streams lay in the server's "
        "sockets when it was looked at once. `delay` is of every unit of one stream more, published and played by `lalmesh delay` "
        f"for {plan.seconds:g} s while the others publish, and begun when processor time and memory had been read: by HTTP-FLV, or "
        "by RTMP where a server has no other; the floor plays nothing."
    )


def climb_introduction() -> str:
    """What the second table shows."""
    return (
        f"Then publishers are added until the server does not keep up: more than {_load.MOST_UNREAD_MS:g} ms of the streams lie "
        "unread in its sockets, messages leave late, publishers are closed, or its core is full. The last step that it kept up "
        "with is the knee; where the publishers' core was full at the step after it and the server's was not, the knee is there or "
        "beyond. Each server climbs once."
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = _rounds.parser("publish", __doc__, RESULTS, rounds=3, seconds=10, warm_up=8)
    parser.add_argument("--publishers", type=int, default=PUBLISHERS, help="of a stream each (%(default)s)")
    parser.add_argument("--no-climb", dest="climb", action="store_false", help="only with that many, not up to the knee")
    return parser.parse_args()


def main() -> None:
    """Measure, print, keep; exit with 1 if a sample was worthless or a bar is missed."""
    plan = arguments()
    _load.raise_file_limit(MOST_PUBLISHERS if plan.climb else plan.publishers)
    found = _rounds.run(_rounds.choose(subjects(plan), plan.only), plan.rounds)
    climbed_found = _rounds.run(_rounds.choose(climbs(plan), plan.only), 1) if plan.climb else _rounds.Found[Climb]()
    climbed = {label.removeprefix("climb-"): mine[0] for label in climbed_found.samples if (mine := climbed_found.of(label))}
    paragraphs = [introduction(plan), _report.table(HEAD, [row(name, found) for name in found.samples if found.of(name)])]
    if climbed:
        paragraphs += [
            climb_introduction(),
            _report.table(KNEE_HEAD, [[name, knee(climb).told] for name, climb in climbed.items()]),
            _report.table(CLIMB_HEAD, [line for name, climb in climbed.items() for line in climb_rows(name, climb)]),
        ]
    bars, whole = judge(found, plan.publishers), _rounds.joined(found, climbed_found)
    sys.exit(_rounds.conclude("publish", TITLE, [*paragraphs, LIMITS], plan, whole, judged=bars, plots=plots(climbed)))


if __name__ == "__main__":
    main()
