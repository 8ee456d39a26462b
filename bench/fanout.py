"""What it costs to send one stream to many players: lalmesh beside the floor, nginx-rtmp and node-media-server.

Each subject in turn gets the same publisher and the same players; then the next round begins, so that a ratio always compares
what ran minutes apart on one machine. The server has a core to itself where there are two; its processor time is the sum over
all its processes, so lalmesh standalone counts every role. `BARS` says how much more than others lalmesh may take; a bar that the
median misses is a failure.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from support.cluster import PROGRAM, Standalone
from support.ffmpeg import bounded
from support.media import media
from support.ports import free_ports
from support.process import Child, wait_until

from bench import _load, _report
from bench.peers import Nginx, NodeMediaServer, Server

STREAM = "live/bench"
STREAM_READY_S = 3.0  #: from the start of the publisher: its headers and a whole GOP have arrived
CONNECT_S = 60.0  #: for all players to be connected
LOOK_S = 0.2  #: between two counts of the connections
LEAST_SHARE = 0.9  #: of the stream's bit rate: a player that got less was not served
FLOORS_MS = (0, 100)  #: how long the floors gather
RESULTS = _load.BUILT / "fanout.json"


@dataclass(slots=True, frozen=True)
class Running:
    """A server that is up."""

    pid: int
    push_url: str | None  #: None: it needs no publisher
    players: tuple[str, ...]  #: how `players.c` is told what to play
    sent: Callable[[], float] | None = None  #: how often it has written to players so far; None: as the kernel counts for TCP


@dataclass(slots=True, frozen=True)
class Subject:
    """One row of the table."""

    name: str
    protocol: str
    gather_ms: int
    start: Callable[[Path, ExitStack], Running]
    missing: str = ""  #: why it can't be measured here, if so

    @property
    def label(self) -> str:
        """How it is chosen with --only."""
        return f"{self.name}-{self.protocol}-{self.gather_ms}"


@dataclass(slots=True, frozen=True)
class Sample:
    """One subject in one round."""

    usage: _load.Usage
    players: _load.Players
    writes: float  #: a second and player: of TCP, segments with data; on loopback one holds a whole write

    def problem(self, stream_kbps: float) -> str:
        """What makes the sample worthless, if anything."""
        got = self.players
        if got.closed:
            return f"{got.closed} players were closed"
        if got.lowest_kbps < LEAST_SHARE * stream_kbps:
            return f"one player got {got.lowest_kbps:.0f} kbit/s of {stream_kbps:.0f}, the mean is {got.mean_kbps:.0f}"
        return ""


Samples = dict[str, list[Sample | None]]  #: by label of the subject, one a round


@dataclass(slots=True, frozen=True)
class Bar:
    """The most that a subject may take."""

    beside: str  #: label of the subject that it is compared with
    most: float  #: times the processor time of that


NGINX = "nginx-rtmp-0"

BARS = {  #: by label
    "lalmesh-flv-0": Bar("floor-flv-0", 1.35),
    "lalmesh-flv-100": Bar("floor-flv-100", 1.8),
    "lalmesh-rtmp-0": Bar(NGINX, 1.4),
}


def _http(port: int, path: str) -> tuple[str, ...]:
    return ("http", str(port), path)


def _rtmp(port: int) -> tuple[str, ...]:
    return ("rtmp", str(port), *STREAM.split("/"))


def floor(gather_ms: int) -> Callable[[Path, ExitStack], Running]:
    """`floor.c`, which only sends."""

    def start(folder: Path, stack: ExitStack) -> Running:
        [port] = free_ports(1)
        command: list[str | Path] = [_load.build("floor"), media("bench"), str(port), str(gather_ms)]
        server = Server(command, ports={"http": port}, log=folder / "floor.log")
        return Running(stack.enter_context(server).pid, None, _http(port, "/"))

    return start


def lalmesh(protocol: str, gather_ms: int) -> Callable[[Path, ExitStack], Running]:
    """lalmesh standalone, its defaults but for the longest gathering time."""

    def start(folder: Path, stack: ExitStack) -> Running:
        node = stack.enter_context(Standalone(folder, {"edge.fanout.max_delay_ms": gather_ms}))
        play = _rtmp(node.ports["rtmp"]) if protocol == "rtmp" else _http(node.ports["http"], f"/{STREAM}.flv")
        return Running(node.pid, node.rtmp_url(STREAM), play)

    return start


def peer(protocol: str, make: Callable[[Path], Server]) -> Callable[[Path, ExitStack], Running]:
    """Another server."""

    def start(folder: Path, stack: ExitStack) -> Running:
        server = stack.enter_context(make(folder))
        play = _rtmp(server.ports["rtmp"]) if protocol == "rtmp" else _http(server.ports["http"], f"/{STREAM}.flv")
        return Running(server.pid, server.rtmp_url(STREAM), play)

    return start


def _installed_node_media_server(folder: Path) -> Server:
    NodeMediaServer.install()
    return NodeMediaServer(folder)


def subjects() -> list[Subject]:
    """All that can be measured, each right after the floor that it is compared with."""
    ours = "" if Path(PROGRAM).exists() else f"{PROGRAM} is missing"
    nginx = "" if Nginx.available() else "nginx or its RTMP module is not installed"
    node = "" if NodeMediaServer.available() else "node or npm is not installed"
    return [
        *(subject for ms in FLOORS_MS for subject in _floor_and_ours(ms, ours)),
        Subject("nginx", "rtmp", 0, peer("rtmp", Nginx), nginx),
        *(Subject("node-media-server", to, 0, peer(to, _installed_node_media_server), node) for to in ("rtmp", "flv")),
    ]


def _floor_and_ours(gather_ms: int, missing: str) -> list[Subject]:
    ours = (Subject("lalmesh", protocol, gather_ms, lalmesh(protocol, gather_ms), missing) for protocol in ("flv", "rtmp"))
    return [Subject("floor", "flv", gather_ms, floor(gather_ms)), *ours]


def measure(subject: Subject, plan: argparse.Namespace) -> Sample:
    """One subject, once."""
    server_cores, load_cores = _load.cores()
    with tempfile.TemporaryDirectory(prefix="lalmesh-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        server = subject.start(folder, stack)
        if plan.pin:
            _load.pin(server.pid, server_cores)
        whole_s = STREAM_READY_S + CONNECT_S + plan.warm_up + plan.seconds + _load.MARGIN_S
        if server.push_url is not None:
            command = [PROGRAM, "push", "--loop", "0", str(media("bench")), server.push_url]
            publisher = Child(bounded(whole_s, command), log=folder / "publisher.log")
            stack.enter_context(publisher)
            with _ended_is_a_failure(publisher, plan, load_cores):
                time.sleep(STREAM_READY_S)
        port = int(server.players[1])
        before = _load.connections(port)  # a publisher's may be among them
        counted_s = plan.seconds + 1
        players = _load.play(server.players, plan.players, plan.warm_up + counted_s, plan.warm_up, folder / "players.log")
        stack.enter_context(players)
        if plan.pin:
            _load.pin(players.pid, load_cores)
        wanted = before + plan.players
        wait_until("players", lambda: _load.connections(port) >= wanted, CONNECT_S, child=players, every_s=LOOK_S)
        time.sleep(plan.warm_up)
        count = server.sent or (lambda: _load.data_segments(port))
        sent, begun = count(), time.monotonic()
        used = _load.usage(server.pid, plan.seconds)
        writes = (count() - sent) / (time.monotonic() - begun) / plan.players
        return Sample(used, _load.played(players, plan.seconds + _load.MARGIN_S), writes)


@contextmanager
def _ended_is_a_failure(publisher: Child, plan: argparse.Namespace, load_cores: set[int]) -> Iterator[None]:
    if plan.pin:
        _load.pin(publisher.pid, load_cores)
    yield
    if not publisher.running:
        raise AssertionError(f"the publisher ended: {publisher.describe()}")


def stream_kbps() -> float:
    """What one player should get."""
    return media("bench").stat().st_size * 8 / 30 / 1000


def run(chosen: Sequence[Subject], plan: argparse.Namespace) -> tuple[Samples, dict[str, str]]:
    """All rounds: samples by label, None where one was worthless; and the last problem of each subject that had one."""
    samples: Samples = {subject.label: [] for subject in chosen}
    problems: dict[str, str] = {}
    for number in range(plan.rounds):
        for subject in chosen:
            sample, problem = attempt(subject, plan)
            samples[subject.label].append(sample)
            if problem:
                problems[subject.label] = problem
            shown = problem if sample is None else f"{sample.usage.cpu_percent:.1f}% of a core"
            print(f"round {number + 1}/{plan.rounds}  {subject.label:<28} {shown}", file=sys.stderr, flush=True)
    return samples, problems


def attempt(subject: Subject, plan: argparse.Namespace) -> tuple[Sample | None, str]:
    """One subject, once: the sample, or what went wrong."""
    try:
        sample = measure(subject, plan)
    except (AssertionError, OSError, subprocess.SubprocessError) as exc:
        return None, str(exc)
    problem = sample.problem(stream_kbps())
    return (None, problem) if problem else (sample, "")


def median_ratio(own: Sequence[Sample | None], other: Sequence[Sample | None]) -> float | None:
    """How much more processor `own` took: the median over the rounds of the ratio within a round; None without a pair."""
    pairs = [(a.usage.cpu_percent, b.usage.cpu_percent) for a, b in zip(own, other, strict=False) if a and b]
    ratios = [a / b for a, b in pairs if b]
    return statistics.median(ratios) if ratios else None


def ratio_to(label: str, beside: str, samples: Samples) -> float | None:
    """The ratio of one subject to another, by their labels; None where either has no sample."""
    return median_ratio(samples.get(label, []), samples.get(beside, []))


def verdict(label: str, samples: Samples) -> str:
    """What the bar of a subject says of its samples; empty where it has none."""
    bar = BARS.get(label)
    if bar is None or not any(samples.get(label, [])):
        return ""
    ratio = ratio_to(label, bar.beside, samples)
    if ratio is None:
        return f"bar {bar.most:.2f}: no {bar.beside}"
    return f"bar {bar.most:.2f}: {'missed' if ratio > bar.most else 'met'}"


def missed(samples: Samples) -> list[str]:
    """The bars that were missed, told with their ratios."""
    ratios = {label: ratio_to(label, bar.beside, samples) for label, bar in BARS.items()}
    return [
        f"{label}: {ratio:.2f} x {BARS[label].beside}, bar {BARS[label].most:.2f}"
        for label, ratio in ratios.items()
        if ratio is not None and ratio > BARS[label].most
    ]


def median_writes(samples: Sequence[Sample | None]) -> float:
    """Writes a second and player; 0 without a sample."""
    found = [sample.writes for sample in samples if sample is not None]
    return statistics.median(found) if found else 0.0


def rows(chosen: Sequence[Subject], samples: Samples) -> list[list[str]]:
    """The table: one row for each subject that has a sample."""
    return [row(subject, samples) for subject in chosen if any(samples[subject.label])]


def row(subject: Subject, samples: Samples) -> list[str]:
    """The line of one subject."""
    mine = samples[subject.label]
    used = [sample.usage for sample in mine if sample is not None]
    cpu = [usage.cpu_percent for usage in used]
    return [
        subject.name,
        {"flv": "HTTP-FLV", "rtmp": "RTMP"}[subject.protocol],
        f"{subject.gather_ms} ms",
        f"{statistics.median(cpu):.1f}",
        f"{min(cpu):.1f}-{max(cpu):.1f}",
        f"{median_writes(mine):.0f}",
        _shown(ratio_to(subject.label, f"floor-flv-{subject.gather_ms}", samples)),
        _shown(ratio_to(subject.label, NGINX, samples)),
        verdict(subject.label, samples),
        f"{statistics.median(usage.rss_mb for usage in used):.0f}",
    ]


def _shown(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


HEAD = ["server", "protocol", "gathered", "% of a core", "lowest-highest", "writes/s", "x floor", "x nginx-rtmp", "verdict", "MB"]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench.fanout", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--players", type=int, default=500, help="players of the one stream (%(default)s)")
    parser.add_argument("--seconds", type=float, default=10, help="measured, after the warm-up (%(default)s)")
    parser.add_argument("--warm-up", type=float, default=3, help="seconds before the measurement (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each subject is measured (%(default)s)")
    parser.add_argument("--only", default="", metavar="NAME,...", help="subjects whose label begins with one of these")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="where the samples go (%(default)s)")
    parser.add_argument("--report", action="store_true", help="write the table into docs/performance.md")
    parser.add_argument("--no-verdict", dest="verdict", action="store_false", help="do not fail where a bar is missed")
    parser.add_argument("--no-pin", dest="pin", action="store_false", help="let server and load share all cores")
    return parser.parse_args()


def introduction(plan: argparse.Namespace) -> str:
    """What the table shows."""
    return (
        f"One stream of {stream_kbps() / 1000:.1f} Mbit/s (H.264 at 30 pictures a second, AAC), {plan.players} players, "
        f"{plan.rounds} rounds of {plan.seconds:g} s each, median; processor time of all processes of the server. "
        "Ratios are taken within a round; `x floor` compares with the floor that gathers as long. Writes are a second and player. "
        "A bar is the highest ratio that is accepted: to the floor over HTTP-FLV, to nginx-rtmp over RTMP."
    )


def keep(
    plan: argparse.Namespace, about: Mapping[str, str], samples: Mapping[str, Sequence[Sample | None]], problems: Mapping[str, str]
) -> None:
    """Write everything that was found as JSON, by the names that `samples` has."""
    shape = {"players": plan.players, "seconds": plan.seconds, "rounds": plan.rounds}
    found = {label: [sample and asdict(sample) for sample in mine] for label, mine in samples.items()}
    plan.json.parent.mkdir(parents=True, exist_ok=True)
    plan.json.write_text(json.dumps({"about": about, "plan": shape, "samples": found, "problems": problems}, indent=1))


def main() -> None:
    """Measure, print, keep; exit with 1 if a sample was worthless or a bar is missed."""
    plan = arguments()
    _load.raise_file_limit(plan.players)
    wanted = tuple(name for name in plan.only.split(",") if name)
    chosen = [subject for subject in subjects() if not wanted or subject.label.startswith(wanted)]
    for subject in chosen:
        if subject.missing:
            print(f"left out: {subject.label}: {subject.missing}", file=sys.stderr)
    chosen = [subject for subject in chosen if not subject.missing]
    samples, problems = run(chosen, plan)
    about = _report.context()
    title = f"Fan-out: {plan.players} players of one stream"
    text = "\n\n".join((introduction(plan), _report.listed(about), _report.table(HEAD, rows(chosen, samples))))
    print(f"\n{title}\n\n{text}\n")
    keep(plan, about, samples, problems)
    if plan.report:
        _report.publish("fanout", title, text)
    for label, problem in problems.items():
        print(f"worthless: {label}: {problem}", file=sys.stderr)
    failed = missed(samples) if plan.verdict else []
    for miss in failed:
        print(f"missed: {miss}", file=sys.stderr)
    sys.exit(1 if problems or failed else 0)


if __name__ == "__main__":
    main()
