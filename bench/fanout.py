"""What it costs to send one stream to many players: lalmesh beside the floor, nginx-rtmp and node-media-server.

Each subject in turn gets the same publisher and the same players; then the next round begins, every second one backwards, so that
a ratio compares what ran minutes apart on one machine, now the one first and now the other. The server has a core to itself where
there are two; its processor time is the sum over all its processes, so lalmesh standalone counts every role. `bars` says how much
more than others lalmesh may take; a bar that the median misses is a failure. At last a crowd of players of a stream of few bits:
none of them may stall.
"""

from __future__ import annotations

import argparse
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

from bench import _load, _report, _rounds
from bench._report import Judged
from bench.peers import Nginx, NodeMediaServer, Server

STREAM = "live/bench"
STREAM_READY_S = 3.0  #: from the start of the publisher: its headers and a whole GOP have arrived
CONNECT_S = 60.0  #: for all players to be connected
LOOK_S = 0.2  #: between two counts of the connections
LEAST_SHARE = 0.9  #: of the stream's bit rate: a player that got less was not served
PLAYERS = (500, 1000)
GATHERED_MS = (0, 100)  #: the longest that frames are held back, by the floor as by us
PROTOCOLS = {"flv": "HTTP-FLV", "rtmp": "RTMP", "ts": "HTTP-TS", "ws": "WS-FLV"}
CROWD = 4000  #: players of `CROWD_MEDIA`
CROWD_GATHERED_MS = 100
STREAM_MEDIA, CROWD_MEDIA = "bench", "bench_600k"
NODE_MEDIA_SERVER_PLAYERS = 500  #: more of them fill its core
MANY = 1000  #: from so many players on the bar of what is gathered is lower
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
    players: int | None = None  #: None: as many as the command line says
    media: str = STREAM_MEDIA
    is_crowd: bool = False  #: what matters is whether any of its players stalls

    @property
    def label(self) -> str:
        """How it is chosen with --only."""
        whole = f"{'crowd-' if self.is_crowd else ''}{self.name}-{self.protocol}-{self.gather_ms}"
        return whole if self.players is None else f"{whole}-{self.players}"


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

    @property
    def unit(self) -> str:
        """What it counts in."""
        return "x floor" if self.beside.startswith("floor") else "x nginx-rtmp"


def bars(subject: Subject) -> list[Bar]:
    """What lalmesh may take, beside the floor that gathers as long, and beside nginx-rtmp; nothing for others."""
    players = subject.players
    if subject.name != "lalmesh" or players is None or subject.is_crowd or subject.gather_ms not in GATHERED_MS:
        return []
    most = 1.2 if subject.gather_ms == 0 else 1.25 if players >= MANY else 1.5
    beside_floor = Bar(floor_of(subject), most)
    return [beside_floor, Bar(nginx_of(subject), 1.25)] if (subject.protocol, subject.gather_ms) == ("rtmp", 0) else [beside_floor]


def floor_of(subject: Subject) -> str:
    """The label of the floor that gathers as long, for as many players."""
    return f"floor-flv-{subject.gather_ms}-{subject.players}"


def nginx_of(subject: Subject) -> str:
    """The label of nginx-rtmp with as many players."""
    return f"nginx-rtmp-0-{subject.players}"


def play(protocol: str, ports: Mapping[str, int]) -> tuple[str, ...]:
    """How `players.c` is told to play the stream by a protocol, of a server with these ports."""
    if protocol == "rtmp":
        return ("rtmp", str(ports["rtmp"]), *STREAM.split("/"))
    ending = "ts" if protocol == "ts" else "flv"
    return ("ws" if protocol == "ws" else "http", str(ports["http"]), f"/{STREAM}.{ending}")


def floor(gather_ms: int, file: str = STREAM_MEDIA) -> Callable[[Path, ExitStack], Running]:
    """`floor.c`, which only sends."""

    def start(folder: Path, stack: ExitStack) -> Running:
        [port] = free_ports(1)
        command: list[str | Path] = [_load.build("floor"), media(file), str(port), str(gather_ms)]
        server = Server(command, ports={"http": port}, log=folder / "floor.log")
        return Running(stack.enter_context(server).pid, None, ("http", str(port), "/"))

    return start


def lalmesh(protocol: str, gather_ms: int) -> Callable[[Path, ExitStack], Running]:
    """lalmesh standalone, its defaults but for the longest gathering time."""

    def start(folder: Path, stack: ExitStack) -> Running:
        node = stack.enter_context(Standalone(folder, {"edge.fanout.max_delay_ms": gather_ms}))
        return Running(node.pid, node.rtmp_url(STREAM), play(protocol, node.ports))

    return start


def peer(protocol: str, make: Callable[[Path], Server]) -> Callable[[Path, ExitStack], Running]:
    """Another server."""

    def start(folder: Path, stack: ExitStack) -> Running:
        server = stack.enter_context(make(folder))
        return Running(server.pid, server.rtmp_url(STREAM), play(protocol, server.ports))

    return start


def installed_node_media_server(folder: Path) -> Server:
    """node-media-server, which is brought in first where it is not there."""
    NodeMediaServer.install()
    return NodeMediaServer(folder)


def subjects(numbers: Sequence[int] = PLAYERS, crowd: int = CROWD) -> list[Subject]:
    """All that can be measured, each right after the floor that it is compared with; at last the crowd, if it is more than 0."""
    ours = "" if Path(PROGRAM).exists() else f"{PROGRAM} is missing"
    return [*(subject for players in numbers for subject in _beside(players, ours)), *(_crowd(crowd, ours) if crowd else [])]


def _beside(players: int, ours: str) -> Iterator[Subject]:
    nginx = "" if Nginx.available() else "nginx or its RTMP module is not installed"
    node = "" if NodeMediaServer.available() else "node or npm is not installed"
    for ms in GATHERED_MS:
        yield Subject("floor", "flv", ms, floor(ms), players=players)
        for protocol in PROTOCOLS:
            yield Subject("lalmesh", protocol, ms, lalmesh(protocol, ms), ours, players)
        if ms == 0:
            yield Subject("nginx", "rtmp", 0, peer("rtmp", Nginx), nginx, players)
    if players <= NODE_MEDIA_SERVER_PLAYERS:
        for protocol in ("rtmp", "flv"):
            yield Subject("node-media-server", protocol, 0, peer(protocol, installed_node_media_server), node, players)


def _crowd(players: int, missing: str) -> Iterator[Subject]:
    for protocol in PROTOCOLS:
        start = lalmesh(protocol, CROWD_GATHERED_MS)
        yield Subject("lalmesh", protocol, CROWD_GATHERED_MS, start, missing, players, CROWD_MEDIA, is_crowd=True)


def measure(subject: Subject, plan: argparse.Namespace) -> Sample:
    """One subject, once."""
    server_cores, load_cores = _load.cores()
    number = subject.players or plan.players
    with tempfile.TemporaryDirectory(prefix="lalmesh-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        server = subject.start(folder, stack)
        if plan.pin:
            _load.pin(server.pid, server_cores)
        whole_s = STREAM_READY_S + CONNECT_S + plan.warm_up + plan.seconds + _load.MARGIN_S
        if server.push_url is not None:
            command = [PROGRAM, "push", "--loop", "0", str(media(subject.media)), server.push_url]
            publisher = Child(bounded(whole_s, command), log=folder / "publisher.log")
            stack.enter_context(publisher)
            with _ended_is_a_failure(publisher, plan, load_cores):
                time.sleep(STREAM_READY_S)
        port = int(server.players[1])
        before = _load.connections(port)  # a publisher's may be among them
        counted_s = plan.seconds + 1
        players = _load.play(server.players, number, plan.warm_up + counted_s, plan.warm_up, folder / "players.log")
        stack.enter_context(players)
        if plan.pin:
            _load.pin(players.pid, load_cores)
        wanted = before + number
        wait_until("players", lambda: _load.connections(port) >= wanted, CONNECT_S, child=players, every_s=LOOK_S)
        time.sleep(plan.warm_up)
        count = server.sent or (lambda: _load.data_segments(port))
        sent, begun = count(), time.monotonic()
        used = _load.usage(server.pid, plan.seconds)
        writes = (count() - sent) / (time.monotonic() - begun) / number
        return Sample(used, _load.played(players, plan.seconds + _load.MARGIN_S), writes)


@contextmanager
def _ended_is_a_failure(publisher: Child, plan: argparse.Namespace, load_cores: set[int]) -> Iterator[None]:
    if plan.pin:
        _load.pin(publisher.pid, load_cores)
    yield
    if not publisher.running:
        raise AssertionError(f"the publisher ended: {publisher.describe()}")


def stream_kbps(name: str = STREAM_MEDIA) -> float:
    """What one player should get of a file that is repeated."""
    return media(name).stat().st_size * 8 / 30 / 1000


def run(chosen: Sequence[Subject], plan: argparse.Namespace) -> tuple[Samples, dict[str, str]]:
    """All rounds: samples by label, None where one was worthless; and the last problem of each subject that had one."""
    samples: Samples = {subject.label: [] for subject in chosen}
    problems: dict[str, str] = {}
    for number in range(plan.rounds):
        for subject in _rounds.turned(chosen, number):
            sample, problem = attempt(subject, plan)
            samples[subject.label].append(sample)
            if problem:
                problems[subject.label] = problem
            shown = problem if sample is None else f"{sample.usage.cpu_percent:.1f}% of a core"
            print(f"round {number + 1}/{plan.rounds}  {subject.label:<28} {shown}", file=sys.stderr, flush=True)
    return samples, problems


def attempt(subject: Subject, plan: argparse.Namespace) -> tuple[Sample | None, str]:
    """One subject, once: the sample, or what went wrong. A player of a crowd that was not served is what was to be found."""
    try:
        sample = measure(subject, plan)
    except (AssertionError, OSError, subprocess.SubprocessError) as exc:
        return None, str(exc)
    problem = "" if subject.is_crowd else sample.problem(stream_kbps(subject.media))
    return (None, problem) if problem else (sample, "")


def median_ratio(own: Sequence[Sample | None], other: Sequence[Sample | None]) -> float | None:
    """How much more processor `own` took: the median over the rounds of the ratio within a round; None without a pair."""
    pairs = [(a.usage.cpu_percent, b.usage.cpu_percent) for a, b in zip(own, other, strict=False) if a and b]
    ratios = [a / b for a, b in pairs if b]
    return statistics.median(ratios) if ratios else None


def ratio_to(label: str, beside: str, samples: Samples) -> float | None:
    """The ratio of one subject to another, by their labels; None where either has no sample."""
    return median_ratio(samples.get(label, []), samples.get(beside, []))


def judged(subject: Subject, samples: Samples) -> list[Judged]:
    """What the bars of a subject say of its samples."""
    mine = samples.get(subject.label, [])
    if subject.is_crowd:
        stalls = [max(sample.players.stalled, sample.players.closed) for sample in mine if sample is not None]
        what = f"fan-out, players that stalled of {subject.players:,} by {PROTOCOLS[subject.protocol]}, {_gathered(subject)}"
        return [Judged(what=what, found=max(stalls, default=None), bar=0, unit="players")]
    how = f"fan-out, {PROTOCOLS[subject.protocol]}, {subject.players:,} players, {_gathered(subject)}" if subject.players else ""
    found = [(bar, ratio_to(subject.label, bar.beside, samples)) for bar in bars(subject)]
    return [Judged(what=how, found=ratio, bar=bar.most, unit=bar.unit) for bar, ratio in found]


def _gathered(subject: Subject) -> str:
    return f"gathered {subject.gather_ms} ms" if subject.gather_ms else "each frame at once"


def verdict(subject: Subject, samples: Samples) -> str:
    """The same, short; empty where there is no bar or no sample."""
    if not any(samples.get(subject.label, [])):
        return ""
    return ", ".join(f"{each.bar:g} {each.unit}: {each.verdict}" for each in judged(subject, samples))


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
        PROTOCOLS[subject.protocol],
        str(subject.players),
        f"{subject.gather_ms} ms",
        f"{statistics.median(cpu):.1f}",
        f"{min(cpu):.1f}-{max(cpu):.1f}",
        f"{median_writes(mine):.0f}",
        _shown(ratio_to(subject.label, floor_of(subject), samples)),
        _shown(ratio_to(subject.label, nginx_of(subject), samples)),
        verdict(subject, samples),
        f"{statistics.median(usage.rss_mb for usage in used):.0f}",
        f"{statistics.median(sample.players.cpu_percent for sample in mine if sample is not None):.0f}",
    ]


def crowd_row(subject: Subject, samples: Samples) -> list[str]:
    """The line of a crowd."""
    mine = [sample for sample in samples[subject.label] if sample is not None]
    got = [sample.players for sample in mine]
    return [
        PROTOCOLS[subject.protocol],
        str(subject.players),
        f"{subject.gather_ms} ms",
        f"{statistics.median(sample.usage.cpu_percent for sample in mine):.1f}",
        str(max(players.stalled for players in got)),
        str(max(players.closed for players in got)),
        f"{max(players.longest_gap_ms for players in got):.0f}",
        f"{100 * min(players.lowest_kbps for players in got) / stream_kbps(subject.media):.0f}%",
        f"{statistics.median(players.cpu_percent for players in got):.0f}",
        verdict(subject, samples),
        f"{statistics.median(sample.usage.rss_mb for sample in mine):.0f}",
    ]


def _shown(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


HEAD = [
    *("server", "protocol", "players", "gathered", "% of a core", "lowest-highest", "writes/s"),
    *("x floor", "x nginx-rtmp", "verdict", "MB", "% of a core of the players"),
]
CROWD_HEAD = [
    *("protocol", "players", "gathered", "% of a core", "stalled", "closed", "longest gap ms"),
    *("least that one got", "% of a core of the players", "verdict", "MB"),
]
LIMITS = (
    "What limits it: one `send` a player and write, which copies its bytes into the player's socket and, on loopback, carries them "
    "all the way into the one that reads; that is the floor, and most of every row. What lalmesh adds is what its Python takes for "
    "a stream, whether one plays it or a thousand, as processor caches have forgotten it each time that something comes, and a "
    "system call a player from a loop that runs in C. What would move it: fewer and larger writes (gathering, which the second "
    "half of the table shows), or many players' writes in one call of the kernel (io_uring), which Python has no way to; and more "
    "cores, as workers or as edges."
)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench.fanout", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--players", type=_numbers, default=PLAYERS, metavar="N,...", help="of the one stream (500,1000)")
    parser.add_argument("--crowd", type=int, default=CROWD, help="players of a stream of few bits; 0: none (%(default)s)")
    parser.add_argument("--seconds", type=float, default=10, help="measured, after the warm-up (%(default)s)")
    parser.add_argument("--warm-up", type=float, default=3, help="seconds before the measurement (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each subject is measured (%(default)s)")
    parser.add_argument("--only", default="", metavar="NAME,...", help="subjects whose label begins with one of these")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="where the samples go (%(default)s)")
    parser.add_argument("--report", action="store_true", help="write the table into docs/performance.md")
    parser.add_argument("--no-verdict", dest="verdict", action="store_false", help="do not fail where a bar is missed")
    parser.add_argument("--no-pin", dest="pin", action="store_false", help="let server and load share all cores")
    return parser.parse_args()


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def introduction(plan: argparse.Namespace) -> str:
    """What the table shows."""
    return (
        f"One stream of {stream_kbps() / 1000:.1f} Mbit/s (H.264 at 30 pictures a second, AAC), {plan.rounds} rounds of "
        f"{plan.seconds:g} s each, median; processor time of all processes of the server. "
        "Ratios are taken within a round; `x floor` compares with the floor that gathers as long. Writes are a second and player. "
        "A bar is the highest ratio that is accepted."
    )


def crowd_introduction() -> str:
    """What the table of the crowd shows."""
    return (
        f"A stream of {stream_kbps(CROWD_MEDIA):.0f} kbit/s to as many players as one core carries. A player has stalled that got "
        "nothing for over a second, or lost its connection; the worst over the rounds is shown. Nobody may."
    )


def keep(
    plan: argparse.Namespace,
    about: Mapping[str, str],
    samples: Mapping[str, Sequence[Sample | None]],
    problems: Mapping[str, str],
    bars_told: Sequence[Judged] = (),
) -> None:
    """Write everything that was found as JSON, by the names that `samples` has."""
    shape = {"players": plan.players, "seconds": plan.seconds, "rounds": plan.rounds}
    found = {label: [sample and asdict(sample) for sample in mine] for label, mine in samples.items()}
    _report.keep(plan.json, about, shape, {"samples": found, "problems": problems}, judged=bars_told)


def main() -> None:
    """Measure, print, keep; exit with 1 if a sample was worthless or a bar is missed."""
    plan = arguments()
    _load.raise_file_limit(max(*plan.players, plan.crowd))
    wanted = tuple(name for name in plan.only.split(",") if name)
    chosen = [subject for subject in subjects(plan.players, plan.crowd) if not wanted or subject.label.startswith(wanted)]
    for subject in chosen:
        if subject.missing:
            print(f"left out: {subject.label}: {subject.missing}", file=sys.stderr)
    chosen = [subject for subject in chosen if not subject.missing]
    samples, problems = run(chosen, plan)
    bars_told = [each for subject in chosen for each in judged(subject, samples)]
    about = _report.context()
    title = "Fan-out: many players of one stream"
    paragraphs = [introduction(plan), _report.listed(about)]
    paragraphs.append(_report.table(HEAD, rows([subject for subject in chosen if not subject.is_crowd], samples)))
    crowd = [crowd_row(subject, samples) for subject in chosen if subject.is_crowd and any(samples[subject.label])]
    paragraphs += [crowd_introduction(), _report.table(CROWD_HEAD, crowd)] if crowd else []
    text = "\n\n".join((*paragraphs, LIMITS))
    print(f"\n{title}\n\n{text}\n")
    keep(plan, about, samples, problems, bars_told)
    if plan.report:
        _report.publish("fanout", title, text)
    sys.exit(_report.end(problems, bars_told if plan.verdict else ()))


if __name__ == "__main__":
    main()
