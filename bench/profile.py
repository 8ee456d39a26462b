"""Where the processor time of a server goes: own time of functions by py-spy, calls of the kernel by strace, path by path.

Each path in turn has its load, and its server has a core to itself where there are two. First nobody looks at it, and what it takes
and what comes in is measured. Then py-spy looks at its threads' stacks, and at last strace counts its calls of the kernel. Both
slow what they look at, strace much: there are no bars here, and no other benchmark has its figures from such a process.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from support import wire
from support.cluster import PROGRAM, Node, Standalone
from support.media import media
from support.process import Child, wait_until

from bench import _load, _many_streams, _report, _road, _rounds
from bench._many_streams import ask_for_all
from bench._rounds import Found
from bench._stacks import Stacks, added, calls_of, parse_frame, stacks_of
from bench.fanout import CONNECT_S, STREAM_MEDIA, STREAM_READY_S, stream_kbps
from bench.publish import BEGIN_EACH_S, BEGIN_S
from bench.rtsp import UDP_SOCKETS

STREAM = _many_streams.STREAM
APP, NAME = STREAM.split("/")
PLAYED = {  #: by the way in which players take it: what `players.c` is told, the listener, the path
    "flv": ("http", "http", f"/{STREAM}%d.flv"),
    "ts": ("http", "http", f"/{STREAM}%d.ts"),
    "rtsp-udp": ("rtsp-udp", "rtsp", f"/{STREAM}%d"),
}
UDP_PORTS = "20000-24999"  #: of the server
RATE_HZ = 35  #: of looks at the stacks: from 100 on a full process has time for nothing else
STAYS_S = 600.0  #: that players stay, unless they are asked to leave
UNWATCHED_S = 5.0  #: that nobody looks
COUNT_S = 4.0  #: that calls of the kernel are counted for
SPY_S = 60.0  #: beyond what it is to take, before py-spy counts as stuck
ATTACH_S, LEAVE_S = 20.0, 20.0  #: for strace to have all threads, and to let go of them
LEAST_CAME = 0.9  #: of the units that are published, that must come in: a server that falls behind does something else
SHOWN_FUNCTIONS, SHOWN_CALLS = 12, 6
KEPT_FUNCTIONS = 40  #: in the JSON
LEAST_SHOWN = 0.01  #: of the time, for a package to be named
LONGEST_NAME = 60  #: characters of a function
UNITS = re.compile(r"^origin_units_total (\S+)$", re.M)
RESULTS = _load.BUILT / "profile.json"
TITLE = "Profile: where the processor time goes"
T = TypeVar("T")


# measuring


@dataclass(slots=True, frozen=True)
class Stage:
    """The nodes of a path."""

    edge: Node  #: that is published at and played
    watched: Node
    origin: Node  #: that counts units; the server as one is all of these


@dataclass(slots=True, frozen=True, kw_only=True)
class Case:
    """One path, with its load."""

    label: str  #: how it is chosen with --only
    shown: str
    publishers: int
    changed: str  #: what was found on it and done, as commits tell
    players: int = 0  #: of all streams together
    traced_players: int = 0  #: so many instead of them while calls are counted, where those would be too slow for all; 0: they stay
    played: str = ""  #: a key of `PLAYED`
    playlists: tuple[str, ...] = ()  #: that are asked for once, so that they are made
    file: str = STREAM_MEDIA
    settings: Mapping[str, object] = field(default_factory=dict)  #: of the server as one
    link: str = ""  #: ``edge`` or ``origin``: which end is looked at, of processes with a link between them

    @property
    def receivers(self) -> int:
        """Players of a stream while calls are counted; 1 where nobody plays."""
        return max(1, (self.traced_players or self.players) // self.publishers)

    @property
    def per(self) -> str:
        """What calls are shared out to."""
        return "a unit and player" if self.players else "a unit"

    @property
    def streams(self) -> str:
        """In words."""
        number = "One stream" if self.publishers == 1 else f"{self.publishers} streams"
        return f"{number} of {stream_kbps(self.file) / 1000:.1f} Mbit/s"


@dataclass(slots=True, frozen=True)
class Sample:
    """One path in one round."""

    usage: _load.Usage  #: while nobody looked
    due_per_s: float  #: units that are published
    units_per_s: float  #: that came in while nobody looked
    spied_per_s: float  #: the same under py-spy
    traced_per_s: float  #: the same under strace
    stacks: Stacks
    unread: int  #: looks that could not read a stack
    is_late: bool  #: py-spy says that it fell behind
    calls: Mapping[str, int]
    units: float  #: that came in while calls were counted
    closed: int  #: players

    @property
    def problem(self) -> str:
        """What makes it worthless, if anything."""
        if self.closed:
            return f"{self.closed} players were closed"
        for came, when in ((self.units_per_s, ""), (self.spied_per_s, " under py-spy")):
            if came < LEAST_CAME * self.due_per_s:
                return f"{came:.0f} units a second came in{when}, of {self.due_per_s:.0f}"
        if not self.stacks.busy:
            return "py-spy saw nobody at work"
        return "" if self.calls and self.units else "strace counted nothing"

    @property
    def shown(self) -> str:
        """In a few words."""
        return f"{self.usage.cpu_percent:.1f}% of a core, {self.stacks.busy} looks, {sum(self.calls.values())} calls"


def measure(plan: argparse.Namespace, case: Case, folder: Path, stack: ExitStack) -> Sample:
    """Start everything; look not at all, then with py-spy, then with strace."""
    cores = _load.Cores(apart=plan.pin)
    stage = _stage(case, folder, stack, cores)
    _publish(case, stage, folder, stack, cores)
    players = _play(case, case.players, stage, folder, stack, cores)
    time.sleep(plan.warm_up)
    pid, window = stage.watched.pid, partial(_window, stage.origin)
    usage, units, seconds = window(partial(_load.usage, pid, UNWATCHED_S))
    spied, spied_units, spied_s = window(partial(_spy, plan, pid, folder, cores))
    closed = 0
    if case.traced_players:
        closed += _closed(players)
        players = _play(case, case.traced_players, stage, folder, stack, cores)
    calls, traced_units, traced_s = _trace(pid, folder, stack, cores, window)
    closed += _closed(players)
    return Sample(
        usage=usage,
        due_per_s=case.publishers * units_per_s(case.file),
        units_per_s=units / seconds,
        spied_per_s=spied_units / spied_s,
        traced_per_s=traced_units / traced_s,
        stacks=spied.stacks,
        unread=spied.unread,
        is_late=spied.is_late,
        calls=calls,
        units=traced_units,
        closed=closed,
    )


def _stage(case: Case, folder: Path, stack: ExitStack, cores: _load.Cores) -> Stage:
    if case.link:
        road = _road.Road(folder, stack, cores, publishers=case.publishers, playing=0)
        stage = Stage(road.publishing, {"edge": road.publishing, "origin": road.origin}[case.link], road.origin)
    else:
        server = stack.enter_context(Standalone(folder, case.settings))
        stage = Stage(server, server, server)
    cores.give_server(stage.watched.pid)
    if case.playlists:
        stack.callback(stage.watched.kill)  # one that is asked to leave would make its segments whole, which nobody needs
    return stage


def _publish(case: Case, stage: Stage, folder: Path, stack: ExitStack, cores: _load.Cores) -> None:
    """Have it published at and segmented."""
    edge, streams = stage.edge, case.publishers
    log = folder / "publishers.log"
    publishers = _load.publish(edge.ports["rtmp"], streams, 0, 0, media(case.file), log, app=APP, name=NAME)
    stack.enter_context(publishers)
    cores.give_load(publishers.pid)
    _load.wait_published(publishers, BEGIN_S + BEGIN_EACH_S * streams)
    time.sleep(STREAM_READY_S)
    ask_for_all(stage.watched, streams, case.playlists)


def _play(case: Case, number: int, stage: Stage, folder: Path, stack: ExitStack, cores: _load.Cores) -> Child | None:
    """Have it played by so many; None where nobody plays."""
    if not number:
        return None
    how, listener, path = PLAYED[case.played]
    url = (how, str(stage.edge.ports[listener]), path)
    players = _load.play(url, number, STAYS_S, 0, folder / f"players-{number}.log", streams=case.publishers)
    stack.enter_context(players)
    cores.give_load(players.pid)
    _load.wait_playing(players, CONNECT_S)
    return players


def _closed(players: Child | None) -> int:
    """Have them leave; how many had been closed before."""
    if players is None:
        return 0
    players.terminate()
    return _load.played(players, _load.MARGIN_S).closed


def _window(origin: Node, wait: Callable[[], T]) -> tuple[T, float, float]:
    """What `wait` gives, the units that came in meanwhile, and the seconds that it took."""
    before, begun = _units(origin), time.monotonic()
    found = wait()
    seconds = time.monotonic() - begun
    return found, _units(origin) - before, seconds


def _units(origin: Node) -> float:
    found = UNITS.search(origin.metrics())
    assert found is not None, "the origin does not say how many units came in"
    return float(found[1])


@cache
def units_per_s(file: str) -> float:
    """Access units a second of a file: pictures and frames of sound."""
    times = [tag.timestamp_ms for tag in wire.tags_of_file(media(file)) if tag.type_id in (8, 9)]
    return len(times) * 1000 / max(times)


class Spied(NamedTuple):
    """What py-spy has found."""

    stacks: Stacks
    unread: int  #: looks that could not read a stack
    is_late: bool  #: it says that it fell behind


def _spy(plan: argparse.Namespace, pid: int, folder: Path, cores: _load.Cores) -> Spied:
    program, written = spy(), folder / "stacks.txt"
    assert program is not None, "py-spy is not installed"
    shape = ["--rate", str(plan.rate), "--duration", str(max(1, round(plan.seconds))), *(["--native"] if plan.native else [])]
    where = ["--format", "raw", "--full-filenames", "--output", str(written)]
    with Child([program, "record", "--pid", str(pid), *shape, *where], log=folder / "py-spy.log") as child:
        cores.give_load(child.pid)
        if child.wait(plan.seconds + SPY_S):
            raise AssertionError(f"py-spy failed: {child.describe()}")
    whole, said = stacks_of(written.read_text(encoding="utf-8", errors="replace")), child.output()
    unread = re.search(r"Errors: (\d+)", said)
    most = dict(list(whole.functions.items())[:KEPT_FUNCTIONS])
    return Spied(Stacks(most, whole.packages, whole.waiting), int(unread[1]) if unread else 0, "behind in sampling" in said)


def _trace(
    pid: int,
    folder: Path,
    stack: ExitStack,
    cores: _load.Cores,
    window: Callable[[Callable[[], None]], tuple[None, float, float]],
) -> tuple[dict[str, int], float, float]:
    """Calls of the kernel, the units that came in meanwhile, and for how long it was counted."""
    written = folder / "calls.txt"
    child = stack.enter_context(Child(["strace", "-c", "-f", "-o", written, "-p", str(pid)], log=folder / "strace.log"))
    cores.give_load(child.pid)
    wait_until("strace at the server", lambda: "attached" in child.output(), ATTACH_S, child=child)
    _, units, seconds = window(partial(time.sleep, COUNT_S))
    child.terminate()  # it lets go of the server first, and then writes down what it has counted
    child.wait(LEAVE_S)
    return calls_of(written.read_text(encoding="utf-8")), units, seconds


@cache
def spy() -> str | None:
    """The program py-spy, of this environment or of the system; None where there is none."""
    return shutil.which("py-spy", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))))


@cache
def knows_c() -> bool:
    """Whether py-spy can see frames of C here; where it cannot, it does not have the option."""
    program = spy()
    if program is None:
        return False
    done = subprocess.run(
        [program, "record", "--help"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False
    )
    return "--native" in done.stdout


# what was found

# What the messages of commits say of each path.
CHANGED_PUBLISH = (
    "a read by itself finds the caches of the processor cold, so the connections of many publishers are read together, in turns: "
    "200 of them took 90% of a core, and then 45% (726736f0); turns are up to 70 ms long, and are read past the loop (c639ce13). "
    "A message that is here with all of its chunks is read at once, and rings give up what is wanted no more 20 times a second: "
    "a unit cost 26-42 µs before and 16-23 after (4bf0e87d)"
)
CHANGED_FANOUT = (
    "small blocks are written, only large ones sent as a file: 1.46 times the floor before, 1.38 after (e8005150); all sends of "
    "a block are one call of the interpreter (550956ce); there are fewer steps a unit up to the block (2813db58); entering the "
    "kernel for each player, and the way from one write to the next in Python, were a tenth of it, so one call (`io_submit`) "
    "writes to 512 players (0b9129d9)"
)
CHANGED_TS = (
    "what every format gathers is packaged when it goes out, at one go: for each unit that cost as much as a wake of its own "
    "(2a705832)"
)
CHANGED_RTP = (
    "a run of packets goes to all players by UDP in one call of the interpreter: 200 players took 23.1% of a core, and then 19.1 "
    "and 21.4 (b2dd7e3c); a NALU that goes out is looked at once (e7114639)"
)
CHANGED_HLS = (
    "a unit that is muxed among others of its stream costs about half, so renditions are given units part by part, not picture "
    "by picture (b962ecd8, b208621b)"
)
CHANGED_LL = f"{CHANGED_HLS}; a fragment of one unit costs 3.9 µs, where it cost 4.4 (51a1f22d)"
CHANGED_LINK = (
    "the loop takes all wakeups of gRPC at once, where it took one each time that it went round (fb95ddca); a ring takes one "
    "unit with less work: 31.5 µs a unit from ingest to fan-out before, 29.2 after (bd4cba6b); what a full batch leaves behind "
    "follows at once: one of 512 KiB every 20 ms was a limit of 26 MB/s (7ab546a3)"
)


def cases(share: float) -> list[Case]:
    """All paths, with this share of their publishers and players."""

    def some(number: int) -> int:
        return max(1, round(number * share))

    many, at_once = some(100), {"edge.fanout.max_delay_ms": 0}
    segmented = partial(Case, publishers=many, file=_many_streams.FILE, settings={"hls.idle_s": _many_streams.IDLE_S})
    linked = partial(Case, publishers=many, changed=CHANGED_LINK)
    return [
        Case(label="publish", shown="Publish by RTMP", publishers=some(200), changed=CHANGED_PUBLISH),
        Case(
            label="fanout",
            shown="Fan-out by HTTP-FLV, each frame at once",
            publishers=1,
            players=some(500),
            played="flv",
            settings=at_once,
            changed=CHANGED_FANOUT,
        ),
        Case(label="ts", shown="HTTP-TS", publishers=many, players=many, played="ts", changed=CHANGED_TS),
        Case(
            label="rtp",
            shown="RTSP by UDP, each frame at once",
            publishers=1,
            players=some(200),
            traced_players=some(20),
            played="rtsp-udp",
            settings={**at_once, "edge.rtsp.udp_ports": UDP_PORTS},
            changed=CHANGED_RTP,
        ),
        segmented(label="hls-ts", shown="HLS of TS", playlists=_many_streams.PLAYLISTS["ts"], changed=CHANGED_HLS),
        segmented(label="hls-ll", shown="Low-latency HLS", playlists=_many_streams.PLAYLISTS["ll"], changed=CHANGED_LL),
        linked(label="link-edge", shown="Link: the edge, which sends", link="edge"),
        linked(label="link-origin", shown="Link: the origin, which receives", link="origin"),
    ]


def needs(case: Case) -> str:
    """What is missing for a path; empty where nothing is."""
    if spy() is None:
        return "py-spy is not installed"
    if shutil.which("strace") is None:
        return "strace is not installed"
    if case.link:
        return _rounds.needs_of_a_cluster()
    return "" if Path(PROGRAM).exists() else f"{PROGRAM} is missing"


def subjects(plan: argparse.Namespace, every: Sequence[Case]) -> list[_rounds.Subject[Sample]]:
    """All paths."""
    return [_rounds.Subject(case.label, partial(measure, plan, case), needs(case)) for case in every]


HEAD = ["path", "% of a core", "units/s", "µs a unit", "looks", "waiting", "units/s under py-spy", "under strace"]
FUNCTIONS_HEAD = ["function", "file", "% of the time"]
CALLS_HEAD = ["call", "a second"]


def row(case: Case, mine: Sequence[Sample]) -> list[str]:
    """The line of a path among all: medians over the rounds, and all looks."""
    median = _rounds.medians(mine, ".0f")
    seen = added([each.stacks for each in mine])
    return [
        case.shown,
        median(lambda each: each.usage.cpu_percent, ".1f"),
        median(lambda each: each.units_per_s),
        median(lambda each: each.usage.cpu_percent * 10_000 / each.units_per_s),
        str(seen.busy),
        str(seen.waiting),
        median(lambda each: each.spied_per_s),
        median(lambda each: each.traced_per_s),
    ]


def function_rows(seen: Stacks) -> list[list[str]]:
    """Those with the most own time."""
    rows = []
    for function, looks in list(seen.functions.items())[:SHOWN_FUNCTIONS]:
        name, file = parse_frame(function)
        rows.append([f"`{shortened(name)}`", file, f"{100 * looks / seen.busy:.1f}"])
    return rows


def shortened(name: str) -> str:
    """A name that fits a table: those of C++ may be long, and have a sign in them that ends a cell."""
    whole = name.replace("|", "/")
    return whole if len(whole) <= LONGEST_NAME else f"{whole[: LONGEST_NAME - 3]}..."


def by_package(seen: Stacks) -> str:
    """The shares of packages, in a sentence; those that have little together."""
    shares = {name: looks / seen.busy for name, looks in seen.packages.items()}
    named = [f"{name} {share:.0%}" for name, share in shares.items() if share >= LEAST_SHOWN]
    rest = sum(share for share in shares.values() if share < LEAST_SHOWN)
    return f"By package: {', '.join([*named, *([f'others {rest:.0%}'] if rest >= LEAST_SHOWN / 2 else [])])}."


def call_rows(mine: Sequence[Sample], receivers: int) -> list[list[str]]:
    """The most frequent calls, and all of them: a second at the pace that units came at before, and for a unit and player."""
    calls: Counter[str] = Counter()
    for each in mine:
        calls.update(each.calls)
    units = sum(each.units for each in mine)
    units_per_s = sum(each.units_per_s for each in mine) / len(mine)
    named = [*((f"`{name}`", made) for name, made in calls.most_common(SHOWN_CALLS)), ("all", calls.total())]
    return [[name, f"{made / units * units_per_s:.0f}", f"{made / units / receivers:.3g}"] for name, made in named]


def told(case: Case, mine: Sequence[Sample]) -> list[str]:
    """What was found of one path."""
    seen = added([each.stacks for each in mine])
    players = f", {case.players} players" if case.players else ""
    players += f", {case.traced_players} while calls are counted" if case.traced_players else ""
    unread = sum(each.unread for each in mine)
    notes = [
        f"{unread} looks could not read a stack." if unread else "",
        "py-spy says that it fell behind, so the shares are less exact." if any(each.is_late for each in mine) else "",
    ]
    return [
        f"### {case.shown}",
        " ".join((f"{case.streams}{players}. {by_package(seen)}", *filter(None, notes))),
        _report.table(FUNCTIONS_HEAD, function_rows(seen)),
        _report.table([*CALLS_HEAD, case.per], call_rows(mine, case.receivers)),
        f"What was found on this path before, and done: {case.changed}.",
    ]


def introduction(plan: argparse.Namespace) -> str:
    """What the tables show."""
    native = (
        "py-spy sees frames of C too, so time in the kernel is told by the function of the C library that called it, and a "
        "library whose functions have no names is one line (`C code`)"
    )
    plain = "py-spy sees no frames of C here, so what a function has C libraries and the kernel do is its own time"
    return (
        "Each path has its load. Its server is one process with all roles, or one end of a link, and has a core to itself. For "
        f"{UNWATCHED_S:g} s nobody looks at it: `% of a core`, `units/s`, the access units that come in, and `µs a unit` are of "
        f"that time. Then py-spy looks at the stacks of all threads {plan.rate} times a second, for {plan.seconds:g} s in each "
        f"of {plan.rounds} rounds, and holds the process still for each look. The tables show own time: how many of the looks "
        "that found a thread at work found it in that function itself, not in what that calls; "
        f"{native if plan.native else plain}. `waiting` are looks at a thread on its way into a call that waits, or out of it; "
        "they are in no share. Threads that run no Python, of which gRPC has some, py-spy does not see. At last strace counts "
        f"the calls of the kernel of all threads for {COUNT_S:g} s. That slows the server much, so no times are told, but how "
        "many calls there are for a unit that came in meanwhile, or for a unit and player; `a second` is that many at the "
        "`units/s` of before. There are no bars here: a process that is looked at is slower, and no other figure of this page is "
        "of one. The line under the tables is from the messages of the commits that it names, and its figures are of their time "
        "and machine."
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = _rounds.parser("profile", __doc__, RESULTS, rounds=1, seconds=15, warm_up=5)
    parser.add_argument("--rate", type=int, default=RATE_HZ, help="looks a second at the stacks (%(default)s)")
    parser.add_argument("--no-native", dest="native", action="store_false", help="look at Python's frames only")
    parser.add_argument("--share", type=float, default=1.0, help="of all publishers and players, to try it (%(default)s)")
    plan = parser.parse_args()
    plan.native = plan.native and knows_c()
    return plan


def main() -> None:
    """Measure, print, keep; exit with 1 if a sample was worthless."""
    plan = arguments()
    every = cases(plan.share)
    _load.raise_file_limit(max(case.publishers + case.players * (1 + UDP_SOCKETS) for case in every))
    found: Found[Sample] = _rounds.run(_rounds.choose(subjects(plan, every), plan.only), plan.rounds)
    here = [(case, mine) for case in every if (mine := found.of(case.label))]
    table = [_report.table(HEAD, [row(*each) for each in here])] if here else []
    paths = [paragraph for each in here for paragraph in told(*each)]
    sys.exit(_rounds.conclude("profile", TITLE, [introduction(plan), *table, *paths], plan, found))


if __name__ == "__main__":
    main()
