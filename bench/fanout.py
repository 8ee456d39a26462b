"""What it costs to send one stream to many players: lalmesh beside the floor, nginx-rtmp and node-media-server.

Each subject in turn gets the same publisher and the same players; then the next round begins, every second one backwards, so that
a ratio compares what ran minutes apart on one machine, now the one first and now the other. The server has a core to itself where
there are two; its processor time is the sum over all its processes, so lalmesh standalone counts every role. `bars` says how much
more than others lalmesh may take, in all and for each write, `LEAST_WRITES` how much less often it may write; a bar that the median
misses is a failure. At last a crowd of players of a stream of few bits: none of them may stall, and each has to get its stream.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from support.cluster import PROGRAM, Standalone
from support.ffmpeg import bounded
from support.media import media
from support.ports import free_ports
from support.process import Child

from bench import _load, _report, _rounds
from bench._report import Judged
from bench._rounds import Found
from bench.peers import Nginx, NodeMediaServer, Server
from lalmesh.container.flv import BodyDemuxer, TagReader
from lalmesh.media import AccessUnit
from lalmesh.remux import Parts, TsPackager
from services.edge.fanout import GATHERED_PER_SENDING, MAX_SENDING_MS, FanOutSettings

STREAM = "live/bench"
STREAM_READY_S = 3.0  #: from the start of the publisher: its headers and a whole GOP have arrived
CONNECT_S = 60.0  #: for all players to play
LOOK_S = 0.2  #: between two counts of the connections
LEAST_SHARE = 0.95  #: of the stream's bit rate: a player that got less was not served
MOST_AT_ONCE = 1.2  #: times the floor's processor time, with each frame at once: in all, and for each write
#: Of the floor's writes a second, with each frame at once. A server of one thread sends what comes while it is sending a block with
#: the next one, so it may write less often than the floor, whose blocks take less; a server that wrote less often still would have
#: bought its processor time with delay.
LEAST_WRITES = 0.85
PLAYERS = (500, 1000)
GATHERED_MS = (0, 100)  #: the longest that frames are held back, by the floor as by us
PLAYERS_PER_MS = FanOutSettings().players_per_delay_ms  #: so many are gathered for one millisecond more
PROTOCOLS = {"flv": "HTTP-FLV", "rtmp": "RTMP", "ts": "HTTP-TS", "ws": "WS-FLV"}
CROWD = 4000  #: players of `CROWD_MEDIA`
CROWD_GATHERED_MS = 100
COMING_MS = 1000  #: that a player of the crowd may get nothing for, while the rest of it comes
STREAM_MEDIA, CROWD_MEDIA = "bench", "bench_600k"
MANY = 1000  #: from so many players on the bar of what is gathered is lower
RESULTS = _load.BUILT / "fanout.json"
TITLE = "Fan-out: many players of one stream"


@dataclass(slots=True, frozen=True)
class Running:
    """A server that is up."""

    pid: int
    push_url: str | None  #: None: it needs no publisher
    players: tuple[str, ...]  #: how `players.c` is told what to play
    sent: Callable[[], float] | None = None  #: how often it has written to players so far; None: as the kernel counts for TCP


@dataclass(slots=True, frozen=True)
class Subject:
    """One server that is played by one protocol: a row of the table."""

    name: str
    protocol: str
    gather_ms: int
    start: Callable[[Path, ExitStack], Running]
    missing: str = ""  #: why it can't be measured here, if so
    players: int | None = None  #: None: whoever starts the server says how many come
    media: str = STREAM_MEDIA
    is_crowd: bool = False  #: what matters is what its players get
    may_fall_short: bool = False  #: that not all of its players are served is what its row says, and makes no sample worthless

    @property
    def gathered_ms(self) -> int:
        """How long frames are gathered for as many players."""
        return self.gather_ms if self.players is None else gathered_ms(self.players, self.gather_ms)

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
    due_kbps: float = 0.0  #: that a player should have got
    may_fall_short: bool = False  #: see `Subject`

    @property
    def lowest_share(self) -> float:
        """Of its stream, that the slowest player got."""
        return self.players.lowest_kbps / self.due_kbps

    @property
    def lack(self) -> str:
        """What the players lacked, if anything."""
        got = self.players
        if got.closed:
            return f"{got.closed} players were closed"
        if got.lowest_kbps < LEAST_SHARE * self.due_kbps:
            return f"one player got {got.lowest_kbps:.0f} kbit/s of {self.due_kbps:.0f}, the mean is {got.mean_kbps:.0f}"
        return ""

    @property
    def problem(self) -> str:
        """What makes the sample worthless, if anything."""
        return "" if self.may_fall_short else self.lack

    @property
    def shown(self) -> str:
        """In a few words."""
        return ", ".join(filter(None, (f"{self.usage.cpu_percent:.1f}% of a core", self.lack)))


@dataclass(slots=True, frozen=True)
class Bar:
    """The most that a subject may take."""

    beside: str  #: label of the subject that it is compared with
    most: float  #: times the processor time of that
    is_a_write: bool = False  #: of processor time, that for each write

    @property
    def unit(self) -> str:
        """What it counts in."""
        return f"x {'floor' if self.beside.startswith('floor') else 'nginx-rtmp'}{' a write' if self.is_a_write else ''}"

    @property
    def of(self) -> Callable[[Sample], float]:
        """What is compared."""
        return us_a_write if self.is_a_write else percent


def bars(subject: Subject) -> list[Bar]:
    """What lalmesh may take, beside the floor that gathers as long, and beside nginx-rtmp; nothing for others."""
    players = subject.players
    if subject.name != "lalmesh" or players is None or subject.is_crowd or subject.gather_ms not in GATHERED_MS:
        return []
    beside = floor_of(subject)
    if subject.gather_ms:
        return [Bar(beside, 1.25 if players >= MANY else 1.5)]
    beside_floor = [Bar(beside, MOST_AT_ONCE), Bar(beside, MOST_AT_ONCE, is_a_write=True)]
    return [*beside_floor, Bar(nginx_of(subject), 1.25)] if subject.protocol == "rtmp" else beside_floor


def gathered_ms(players: int, gather_ms: int) -> int:
    """How long lalmesh gathers on account of players, where that may be `gather_ms`."""
    return min(gather_ms, players // PLAYERS_PER_MS)


def floor_of(subject: Subject) -> str:
    """The label of the floor that gathers as long, for as many players of the same stream."""
    return f"{'crowd-' if subject.is_crowd else ''}floor-flv-{subject.gather_ms}-{subject.players}"


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
        yield Subject("floor", "flv", ms, floor(gathered_ms(players, ms)), players=players)
        for protocol in PROTOCOLS:
            yield Subject("lalmesh", protocol, ms, lalmesh(protocol, ms), ours, players)
        if ms == 0:
            yield Subject("nginx", "rtmp", 0, peer("rtmp", Nginx), nginx, players)
    for protocol in ("rtmp", "flv"):
        start = peer(protocol, installed_node_media_server)
        yield Subject("node-media-server", protocol, 0, start, node, players, may_fall_short=True)


def _crowd(players: int, missing: str) -> Iterator[Subject]:
    start = floor(gathered_ms(players, CROWD_GATHERED_MS), CROWD_MEDIA)
    yield Subject("floor", "flv", CROWD_GATHERED_MS, start, players=players, media=CROWD_MEDIA, is_crowd=True)
    for protocol in PROTOCOLS:
        start = lalmesh(protocol, CROWD_GATHERED_MS)
        yield Subject(
            *("lalmesh", protocol, CROWD_GATHERED_MS, start, missing, players, CROWD_MEDIA), is_crowd=True, may_fall_short=True
        )


def measured(subject: Subject, plan: argparse.Namespace, folder: Path, stack: ExitStack) -> Sample:
    """One subject, once, with its files in `folder`; the stack ends what it starts."""
    assert subject.players is not None, "it is not said how many players come"
    server_cores, load_cores = _load.cores()
    number = subject.players
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
    counted_s = plan.seconds + 1
    players = _load.play(server.players, number, plan.warm_up + counted_s, plan.warm_up, folder / "players.log")
    stack.enter_context(players)
    if plan.pin:
        _load.pin(players.pid, load_cores)
    _load.wait_playing(players, CONNECT_S)
    time.sleep(plan.warm_up)
    count = server.sent or (lambda: _load.data_segments(port))
    sent, begun = count(), time.monotonic()
    used = _load.usage(server.pid, plan.seconds)
    often = (count() - sent) / (time.monotonic() - begun) / number
    got = _load.played(players, plan.seconds + _load.MARGIN_S)
    return Sample(used, got, often, due_kbps(subject.protocol, subject.media), subject.may_fall_short)


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


@cache
def due_kbps(protocol: str, name: str = STREAM_MEDIA) -> float:
    """The same by a protocol; of TS it is more, as lalmesh packages it."""
    if protocol != "ts":
        return stream_kbps(name)
    packager, demuxer, size_bytes = TsPackager(), BodyDemuxer(), 0
    parts: Parts = []
    for tag in TagReader().feed(media(name).read_bytes()):
        for event in demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body):
            if isinstance(event, AccessUnit):
                size_bytes += packager.package(event, demuxer.tracks, parts)
        parts.clear()
    return stream_kbps(name) * size_bytes / media(name).stat().st_size


def percent(sample: Sample) -> float:
    """Processor time, of a core."""
    return sample.usage.cpu_percent


def writes(sample: Sample) -> float:
    """To a player, a second."""
    return sample.writes


def us_a_write(sample: Sample) -> float:
    """Processor time for one write to one player."""
    return sample.usage.cpu_percent * 1e4 / (sample.writes * sample.players.players) if sample.writes else math.inf


def judged(subject: Subject, found: Found[Sample]) -> list[Judged]:
    """What the bars of a subject say of its samples."""
    if subject.players is None:
        return []
    if subject.is_crowd:
        return _judged_crowd(subject, found.of(subject.label)) if subject.name == "lalmesh" else []
    what = f"fan-out, {PROTOCOLS[subject.protocol]}, {subject.players:,} players, {gathered(subject.gathered_ms)}"
    ratios = [(bar, found.ratio(subject.label, bar.beside, bar.of)) for bar in bars(subject)]
    told = [
        Judged(what=f"{what}: each write" if bar.is_a_write else what, found=ratio, bar=bar.most, unit=bar.unit)
        for bar, ratio in ratios
    ]
    if told and subject.gather_ms == 0:
        often = found.ratio(subject.label, floor_of(subject), writes)
        told.append(Judged(what=f"{what}: writes", found=often, bar=LEAST_WRITES, unit="x the floor's writes", at_least=True))
    return told


def _judged_crowd(subject: Subject, mine: Sequence[Sample]) -> list[Judged]:
    whose = f"{subject.players:,} by {PROTOCOLS[subject.protocol]}, {gathered(subject.gathered_ms)}"
    stalled = max((max(sample.players.stalled, sample.players.closed) for sample in mine), default=None)
    lowest = min((sample.lowest_share for sample in mine), default=None)
    coming_ms = max((sample.players.coming_gap_ms for sample in mine), default=None)
    return [
        Judged(what=f"fan-out, players that stalled of {whose}", found=stalled, bar=0, unit="players"),
        Judged(what=f"fan-out, longest gap of a player while others came, {whose}", found=coming_ms, bar=COMING_MS, unit="ms"),
        Judged(
            what=f"fan-out, least that a player got of {whose}", found=lowest, bar=LEAST_SHARE, unit="of its stream", at_least=True
        ),
    ]


def gathered(ms: int) -> str:
    """How long frames are held back, in words."""
    return f"gathered {ms} ms" if ms else "each frame at once"


def verdict(subject: Subject, found: Found[Sample]) -> str:
    """What the bars say, short; of another server, what its players lacked. Empty where there is neither, or no sample."""
    mine = found.of(subject.label)
    if not mine:
        return ""
    if not subject.is_crowd and any(sample.lack for sample in mine):
        return f"cannot serve all, one got {100 * min(sample.lowest_share for sample in mine):.0f}%"
    return ", ".join(f"{each.bar:g} {each.unit}: {each.verdict}" for each in judged(subject, found))


def row(subject: Subject, found: Found[Sample]) -> list[str]:
    """The line of one subject that has a sample; without ratios where not all were served: they would compare unequal work."""
    mine, beside, nginx = found.of(subject.label), floor_of(subject), nginx_of(subject)
    ratios = partial(_equal_ratios, subject, found)
    beside_floor = ratios(beside, percent)
    are_messages = (subject.protocol, subject.gather_ms) == ("rtmp", 0)  # of RTMP, as nginx-rtmp writes them
    return [
        subject.name,
        PROTOCOLS[subject.protocol],
        str(subject.players),
        f"{subject.gathered_ms} ms",
        f"{statistics.median(map(percent, mine)):.1f}",
        _ratio(beside_floor),
        f"{min(beside_floor):.2f}-{max(beside_floor):.2f}" if beside_floor else "",
        _ratio(ratios(nginx, percent)),
        f"{statistics.median(map(writes, mine)):.0f}",
        _ratio(ratios(beside, writes)),
        _ratio(ratios(beside, us_a_write)),
        _ratio(ratios(nginx, us_a_write) if are_messages else []),
        verdict(subject, found),
        f"{statistics.median(sample.usage.rss_mb for sample in mine):.0f}",
        f"{statistics.median(sample.players.cpu_percent for sample in mine):.0f}",
    ]


def crowd_row(subject: Subject, found: Found[Sample]) -> list[str]:
    """The line of a crowd that has a sample."""
    mine = found.of(subject.label)
    got = [sample.players for sample in mine]
    return [
        subject.name,
        PROTOCOLS[subject.protocol],
        str(subject.players),
        f"{subject.gathered_ms} ms",
        f"{statistics.median(map(percent, mine)):.1f}",
        _ratio(_equal_ratios(subject, found, floor_of(subject), percent)),
        str(max(players.stalled for players in got)),
        str(max(players.closed for players in got)),
        f"{max(players.longest_gap_ms for players in got):.0f}",
        f"{max(players.coming_gap_ms for players in got):.0f}",
        f"{100 * min(sample.lowest_share for sample in mine):.0f}%",
        f"{statistics.median(players.cpu_percent for players in got):.0f}",
        verdict(subject, found),
        f"{statistics.median(sample.usage.rss_mb for sample in mine):.0f}",
    ]


def _equal_ratios(subject: Subject, found: Found[Sample], beside: str, of: Callable[[Sample], float]) -> list[float]:
    """The ratios to another subject, none where not all were served."""
    if any(sample.lack for sample in found.of(subject.label)):
        return []
    return found.ratios(subject.label, beside, of)


def _ratio(ratios: Sequence[float]) -> str:
    return f"{statistics.median(ratios):.2f}" if ratios else ""


HEAD = [
    *("server", "protocol", "players", "gathered", "% of a core", "x floor", "lowest-highest", "x nginx-rtmp"),
    *("writes/s", "x floor's", "x floor a write", "x nginx-rtmp a write", "verdict", "MB", "% of a core of the players"),
]
CROWD_HEAD = [
    *("server", "protocol", "players", "gathered", "% of a core", "x floor", "stalled", "closed", "longest gap ms"),
    *("while they came", "least that one got", "% of a core of the players", "verdict", "MB"),
]
AT_ONCE = (  #: of lalmesh, wherever that is said of it
    "Each frame at once: no setting of lalmesh holds it back (`max_delay_ms` 0). Media is then gathered for as long as sending a "
    f"block takes and up to {GATHERED_PER_SENDING - 1:.0%} longer, {MAX_SENDING_MS} ms at most: what comes while a block is being "
    "sent goes with the next one"
)
LIMITS = (
    "What limits it: one write a player and block, which copies its bytes into the player's socket and, on loopback, carries them "
    "all the way into the one that reads; that is the floor, and most of every row. What lalmesh adds is what its Python takes for "
    "a stream, whether one plays it or a thousand, as processor caches have forgotten it each time that something comes; what it "
    "saves is that one call of the kernel has the writes of many players (`io_submit`), where the floor has a call for each. What "
    f"would move it: fewer and larger writes (gathering, which the lines of {GATHERED_MS[-1]} ms show), and more cores, as workers "
    "or as edges."
)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = _rounds.parser("fanout", __doc__, RESULTS, rounds=3, seconds=10, warm_up=3)
    parser.add_argument("--players", type=_numbers, default=PLAYERS, metavar="N,...", help="of the one stream (500,1000)")
    parser.add_argument("--crowd", type=int, default=CROWD, help="players of a stream of few bits; 0: none (%(default)s)")
    return parser.parse_args()


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def introduction(plan: argparse.Namespace) -> str:
    """What the table shows."""
    return (
        f"One stream of {stream_kbps() / 1000:.1f} Mbit/s (H.264 at 30 pictures a second, AAC), {plan.rounds} rounds of "
        f"{plan.seconds:g} s each, median; processor time of all processes of the server. "
        "Ratios are taken within a round; `x floor` compares with the floor that gathers as long, and `lowest-highest` is that "
        f"ratio over the rounds. {AT_ONCE}, and it may write less often than the floor, which sends as each frame comes. Writes "
        "are a second and player, and `x floor's` compares them with the floor's. What was not written did not cost: `x floor a "
        "write` compares the processor time for one write. `x nginx-rtmp a write` does so for RTMP, each frame at once, and has no "
        "bar: nginx-rtmp writes more often, as it sends message by message, and so less at a time. A bar is the highest ratio of "
        "processor time that is accepted; with each frame at once there is one of the processor time for a write too, and one "
        "that is the lowest ratio of writes. A server that did not give every player its stream has no ratios."
    )


def crowd_introduction() -> str:
    """What the table of the crowd shows."""
    return (
        f"A stream of {stream_kbps(CROWD_MEDIA):.0f} kbit/s to as many players as one core carries. A player has stalled that got "
        "nothing for over a second, or lost its connection; the worst over the rounds is shown. Nobody may, and nobody may get "
        f"less than {LEAST_SHARE:.0%} of the stream. While they came, 50 in 20 ms: the longest that one that had begun got "
        "nothing. `x floor` compares with the floor that sends the same stream to as many and gathers as long, and has no bar."
    )


def tables(plan: argparse.Namespace, chosen: Sequence[Subject], found: Found[Sample]) -> list[str]:
    """The two tables, each under what it shows; one that has no row is left out."""
    there = [subject for subject in chosen if found.of(subject.label)]
    lines = [row(subject, found) for subject in there if not subject.is_crowd]
    crowds = [crowd_row(subject, found) for subject in there if subject.is_crowd]
    made = [introduction(plan), _report.table(HEAD, lines)] if lines else []
    return [*made, *((crowd_introduction(), _report.table(CROWD_HEAD, crowds)) if crowds else ())]


def main() -> None:
    """Measure, print, keep; exit with 1 if a sample was worthless or a bar is missed."""
    plan = arguments()
    _load.raise_file_limit(max(*plan.players, plan.crowd))
    chosen = _rounds.choose(subjects(plan.players, plan.crowd), plan.only)
    turns = [_rounds.Subject(subject.label, partial(measured, subject, plan), subject.missing) for subject in chosen]
    found = _rounds.run(turns, plan.rounds)
    bars_told = [each for subject in chosen for each in judged(subject, found)]
    paragraphs = [*tables(plan, chosen, found), LIMITS]
    sys.exit(_rounds.conclude("fanout", TITLE, paragraphs, plan, found, judged=bars_told))


if __name__ == "__main__":
    main()
