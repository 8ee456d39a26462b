"""Many streams that one player each watches: what a pair of a publisher and a player costs.

One standalone server, all roles counted, by RTMP and by HTTP-FLV, and nginx-rtmp and node-media-server beside it. It sends each
frame at once, and reads its publishers in turns. One more pair writes down when each of its frames was sent and when it came.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from support.cluster import PROGRAM, Standalone
from support.media import media
from support.process import wait_until

from bench import _load, _meter, _report, _rounds, _stamps
from bench._plots import Curve, Plot
from bench._report import Judged
from bench.fanout import CONNECT_S, LEAST_SHARE, installed_node_media_server, stream_kbps
from bench.peers import Nginx, NodeMediaServer, Server
from lalmesh.runtime.config import PublishConfig

LOOKED_AT = "live/looked-at"
STREAMS = "bench-%d"  #: as `publishers.c` names them
PAIRS = (100, 200, 300)
START_S = 60.0  #: for the server to let all publish
READY_S = 3.0  #: until every stream has begun, whose publishers begin within two seconds
FIRST_FRAME_S = 15.0
RESULTS = _load.BUILT / "pairs.json"
TITLE = "Pairs: streams that one player each watches"
SHOWN = {
    "lalmesh-rtmp": "RTMP",
    "lalmesh-flv": "HTTP-FLV",
    "nginx-rtmp": "RTMP",
    "node-media-server-rtmp": "RTMP",
    "node-media-server-flv": "HTTP-FLV",
}
MOST_PAIRS = {"node-media-server": 100}  #: whose core more of them would fill
LIMITS = (
    "What limits it: nothing is shared here, so every frame is read, taken apart, numbered, kept and muxed for one write alone; "
    "of that the core can do so many a second, whatever their size. Where many publish, their connections are read together, in "
    f"turns of up to {PublishConfig().max_delay_ms} ms, which costs less and is most of the delay here. Where the core is full, "
    "publishers wait in the kernel and the delay grows. Edges, or workers on more cores, move it in proportion."
)


@dataclass(slots=True, frozen=True)
class Sample:
    """One server with one number of pairs, in one round."""

    pairs: int
    usage: _load.Usage
    players: _load.Players
    published: _load.Published
    unread_ms: float  #: of all streams, that lay unread in the server's sockets
    delay: _stamps.Delays | None  #: of the pair that is looked at; None: there was none

    @property
    def problem(self) -> str:
        """What makes it worthless, if anything."""
        if self.published.closed or self.players.closed:
            return f"{self.published.closed} publishers and {self.players.closed} players were closed"
        if self.published.late_p99_ms > _load.MOST_LATE_MS and not self.published.full:
            return f"publishers were late: p99 {self.published.late_p99_ms:.0f} ms"
        return ""

    @property
    def keeps_up(self) -> bool:
        """Whether every player got its stream, and none waits to be read."""
        return self.players.lowest_kbps >= LEAST_SHARE * stream_kbps() and not self.published.behind(self.unread_ms, stream_kbps())

    @property
    def shown(self) -> str:
        """In a few words."""
        delay = "" if self.delay is None else f", delay p99 {self.delay.p99_ms:.1f} ms"
        lowest = f"the slowest player got {self.players.lowest_kbps:.0f} kbit/s"
        unread = f"{self.unread_ms:.0f} ms of the streams unread"
        return f"{self.usage.cpu_percent:.1f}% of a core, {self.usage.rss_mb:.0f} MB, {lowest}, {unread}{delay}"


def label(server: str, pairs: int) -> str:
    """How a subject is chosen with --only."""
    return f"{server}-{pairs}"


def server(name: str) -> str:
    """Whose line it is."""
    return name.rpartition("-")[0]


def _started(name: str, folder: Path, stack: ExitStack) -> Standalone | Server:
    if name.startswith("lalmesh"):
        return stack.enter_context(Standalone(folder, {"edge.fanout.max_delay_ms": 0}))
    return stack.enter_context(Nginx(folder) if name.startswith("nginx") else installed_node_media_server(folder))


def _measure(plan: argparse.Namespace, name: str, pairs: int, folder: Path, stack: ExitStack) -> Sample:
    cores = _load.Cores(apart=plan.pin)
    started = _started(name, folder, stack)
    cores.give_server(started.pid)
    publishers = _load.publish(started.ports["rtmp"], pairs, 0, READY_S, media("bench"), folder / "publishers.log")
    stack.enter_context(publishers)
    cores.give_load(publishers.pid)
    _load.wait_published(publishers, START_S)
    time.sleep(READY_S)
    sent, got = folder / "sent", folder / "got"
    if name != "nginx-rtmp":  # which gives every player times of its own
        pushing = stack.enter_context(_stamps.pushing(media("bench"), started.rtmp_url(LOOKED_AT), sent))
        url = started.rtmp_url(LOOKED_AT) if SHOWN[name] == "RTMP" else started.flv_url(LOOKED_AT)
        looking = stack.enter_context(_stamps.playing(url, got))
        for child in (pushing, looking):
            cores.give_load(child.pid)
        wait_until("a frame at the player that looks", lambda: bool(_stamps.read(got)), FIRST_FRAME_S, child=looking)
    port = started.ports["rtmp" if SHOWN[name] == "RTMP" else "http"]
    play = ("rtmp", str(port), "live", STREAMS) if SHOWN[name] == "RTMP" else ("http", str(port), f"/live/{STREAMS}.flv")
    players = _load.play(play, pairs, plan.warm_up + plan.seconds + 1, plan.warm_up, folder / "players.log")
    stack.enter_context(players)
    cores.give_load(players.pid)
    _load.wait_playing(players, CONNECT_S)
    time.sleep(plan.warm_up)
    meter, since_ns = _meter.Meter({name: started.pid}), time.monotonic_ns()
    time.sleep(plan.seconds)
    usage, until_ns = meter.read()[name], time.monotonic_ns()
    unread_ms = _load.unread_ms(started.ports["rtmp"], pairs * stream_kbps())
    played = _load.played(players, plan.seconds + _load.MARGIN_S)
    publishers.terminate()
    published = _load.published(publishers, _load.MARGIN_S)
    delay = _stamps.matched(_stamps.read(sent), _stamps.read(got), since_ns, until_ns) if got.exists() else None
    return Sample(pairs, usage, played, published, unread_ms, delay)


def subjects(plan: argparse.Namespace) -> list[_rounds.Subject[Sample]]:
    """Each number of pairs with each server, one after the other."""
    ours = "" if Path(PROGRAM).exists() else f"{PROGRAM} is missing"
    nginx = "" if Nginx.available() else "nginx or its RTMP module is not installed"
    node = "" if NodeMediaServer.available() else "node or npm is not installed"
    missing = {"lalmesh": ours, "nginx": nginx, "node-media-server": node}
    return [
        _rounds.Subject(label(name, pairs), partial(_measure, plan, name, pairs), missing[server(name)])
        for pairs in plan.pairs
        for name in SHOWN
        if pairs <= MOST_PAIRS.get(server(name), pairs)
    ]


HEAD = [
    "server",
    "protocol",
    "pairs",
    "% of a core",
    "ms a second and pair",
    "x nginx-rtmp",
    "MB",
    "slowest player, kbit/s",
    "longest gap, ms",
    "unread ms",
    "delay p50 ms",
    "p99 ms",
    "worst ms",
    "frames lost",
]


def row(name: str, pairs: int, found: _rounds.Found[Sample]) -> list[str]:
    """The line of one subject: medians over the rounds, and the worst of all."""
    mine = found.of(label(name, pairs))
    median = _rounds.medians(mine, ".0f")
    ratio = ratio_to_nginx(name, pairs, found)
    delays = [each.delay for each in mine if each.delay is not None]
    return [
        server(name),
        SHOWN[name],
        str(pairs),
        median(lambda each: each.usage.cpu_percent, ".1f"),
        median(lambda each: each.usage.cpu_percent * 10 / pairs, ".2f"),
        "" if ratio is None else f"{ratio:.2f}",
        median(lambda each: each.usage.rss_mb),
        median(lambda each: each.players.lowest_kbps),
        f"{max(each.players.longest_gap_ms for each in mine):.0f}",
        f"{max(each.unread_ms for each in mine):.0f}",
        *(_shown(delays, field) for field in ("p50_ms", "p99_ms")),
        f"{max(each.worst_ms for each in delays):.1f}" if delays else "",
        str(max(each.missing + each.doubled for each in delays)) if delays else "",
    ]


def _shown(delays: Sequence[_stamps.Delays], field: str) -> str:
    return f"{statistics.median(getattr(each, field) for each in delays):.1f}" if delays else ""


def ratio_to_nginx(name: str, pairs: int, found: _rounds.Found[Sample]) -> float | None:
    """How much more processor time than nginx-rtmp; None without a pair of samples."""
    return found.ratio(label(name, pairs), label("nginx-rtmp", pairs), lambda each: each.usage.cpu_percent)


def judge(found: _rounds.Found[Sample], pairs: Sequence[int]) -> list[Judged]:
    """With the largest number of pairs every player has its stream in time, and no frame is lost."""
    most, judged = max(pairs), []
    for name, shown in SHOWN.items():
        mine = label(name, most)
        if not name.startswith("lalmesh") or mine not in found.samples:
            continue
        behind = sum(not one.keeps_up for one in found.of(mine)) if found.of(mine) else None
        lost = max((one.delay.missing + one.delay.doubled for one in found.of(mine) if one.delay is not None), default=None)
        stalled = max((one.players.stalled for one in found.of(mine)), default=None)
        judged.append(Judged(what=f"{most} pairs, {shown}: rounds in which a stream had to wait", found=behind, bar=0))
        judged.append(Judged(what=f"{most} pairs, {shown}: players that stood still for over a second", found=stalled, bar=0))
        judged.append(Judged(what=f"{most} pairs, {shown}: frames lost by the pair that is looked at", found=lost, bar=0))
    return judged


def plots(found: _rounds.Found[Sample], pairs: Sequence[int]) -> list[Plot]:
    """Processor time and memory against the number of pairs."""

    def curves(of: Callable[[Sample], float]) -> list[Curve]:
        made = []
        for name, shown in SHOWN.items():
            values = [(float(number), found.median(label(name, number), of)) for number in pairs]
            points = [(number, value) for number, value in values if value is not None]
            made.append(Curve(label=f"{server(name)}, {shown}", points=points, dashed=server(name) != "lalmesh"))
        return made

    x = "pairs of a publisher and a player"
    cpu, memory = curves(lambda each: each.usage.cpu_percent), curves(lambda each: each.usage.rss_mb)
    return [
        Plot(name="pairs", title="Pairs: processor time", x=x, y="% of a core", curves=cpu, limit=100, limit_label="one core"),
        Plot(name="pairs-memory", title="Pairs: memory", x=x, y="MB", curves=memory),
    ]


def introduction(plan: argparse.Namespace) -> str:
    """What the table shows."""
    read = PublishConfig()
    return (
        f"Streams of {stream_kbps() / 1000:.1f} Mbit/s (H.264 at 30 pictures a second, AAC), each with a publisher by RTMP and "
        "one player. lalmesh sends each frame at once (`edge.fanout.max_delay_ms` 0), and reads its publishers together, in turns "
        f"of at most {read.max_delay_ms} ms (`edge.publish.max_delay_ms`): a millisecond for each {read.publishers_per_delay_ms} "
        f"of them. {plan.rounds} rounds of {plan.seconds:g} s each, median, and the worst of all; processor time and memory of the "
        "whole server, standalone with all roles counted, on a core of its own. The delay is "
        "that of each frame of one pair more, from the publisher's call of the kernel to the player's. A stream has to wait where "
        f"over {_load.MOST_UNREAD_MS:g} ms of all lie unread in the server's sockets at the end, or publishers are kept waiting."
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = _rounds.parser("pairs", __doc__, RESULTS, rounds=3, seconds=10, warm_up=4)
    parser.add_argument("--pairs", type=int, nargs="+", default=PAIRS, help="numbers of pairs (100 200 300)")
    return parser.parse_args()


def main() -> None:
    """Measure, print, keep; exit with 1 if a sample was worthless or a bar is missed."""
    plan = arguments()
    _load.raise_file_limit(2 * max(plan.pairs))
    found = _rounds.run(_rounds.choose(subjects(plan), plan.only), plan.rounds)
    rows = [row(name, pairs, found) for pairs in plan.pairs for name in SHOWN if found.of(label(name, pairs))]
    paragraphs = [introduction(plan), _report.table(HEAD, rows), LIMITS]
    judged, drawn = judge(found, plan.pairs), plots(found, plan.pairs)
    sys.exit(_rounds.conclude("pairs", TITLE, paragraphs, plan, found, judged=judged, plots=drawn))


if __name__ == "__main__":
    main()
