"""A thousand players that come within one second to one stream, and how long each waits for its first frame.

One standalone server, all roles counted, by RTMP and by HTTP-FLV, and nginx-rtmp and node-media-server beside it. One player is
there before, and writes down when each frame comes: what it notices of the burst is shown, too.
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

from bench import _joining, _load, _meter, _report, _rounds, _stamps
from bench._plots import Curve, Plot
from bench._report import Judged
from bench.fanout import installed_node_media_server, stream_kbps
from bench.peers import Nginx, NodeMediaServer, Server

STREAM = "live/burst"
FIRST_FRAME_S = 15.0  #: for the player that is there before
LEAST_SPREAD = 1.1  #: of the second in which they are to come: a program that lets them come later is the limit
RESULTS = _load.BUILT / "burst.json"
TITLE = "Burst: a thousand players within a second"
SHOWN = {
    "lalmesh-rtmp": "RTMP",
    "lalmesh-flv": "HTTP-FLV",
    "nginx-rtmp": "RTMP",
    "node-media-server-rtmp": "RTMP",  # its HTTP comes in chunks, which `joiners.c` doesn't take apart
}
LIMITS = (
    "What limits it: the server has one core, and each player costs it a connection, a session and one write of all that is "
    "cached from the last key frame on, up to a whole group of pictures; RTMP has a handshake and three requests before that. "
    "While they come, those who are there wait as long as the core takes for what is before them. Edges, or workers on more cores, "
    "share a burst. nginx-rtmp keeps no group of pictures: a player waits for the next key frame."
)


@dataclass(slots=True, frozen=True)
class Sample:
    """One burst."""

    joins: _joining.Joins
    usage: _load.Usage  #: from the first one until a second after the last
    before: _stamps.Delays | None  #: what the player that was there before got in that time; None: nobody was

    @property
    def problem(self) -> str:
        """What makes it worthless, if anything."""
        if self.joins.within_s > LEAST_SPREAD and self.joins.late_ms > 100:
            return f"they came within {self.joins.within_s:.2f} s: this machine lets them come no faster"
        return "the player that was there before got no frame" if self.before is not None and not self.before.units else ""

    @property
    def shown(self) -> str:
        """In a few words."""
        joins = self.joins
        there = "" if self.before is None else f"; who was there: worst {self.before.worst_ms:.0f} ms"
        return f"{joins.joined} joined, p50 {joins.p50_ms:.0f}, p99 {joins.p99_ms:.0f}, worst {joins.worst_ms:.0f} ms{there}"


def _started(label: str, folder: Path, stack: ExitStack) -> Standalone | Server:
    if label.startswith("lalmesh"):
        return stack.enter_context(Standalone(folder))
    return stack.enter_context(Nginx(folder) if label.startswith("nginx") else installed_node_media_server(folder))


def _measure(plan: argparse.Namespace, label: str, folder: Path, stack: ExitStack) -> Sample:
    cores = _load.Cores(apart=plan.pin)
    started = _started(label, folder, stack)
    cores.give_server(started.pid)
    sent, got = folder / "sent", folder / "got"
    publisher = stack.enter_context(_stamps.pushing(media("bench"), started.rtmp_url(STREAM), sent))
    cores.give_load(publisher.pid)
    if label != "nginx-rtmp":  # which gives every player times of its own
        looking = stack.enter_context(_stamps.playing(started.rtmp_url(STREAM), got))
        cores.give_load(looking.pid)
        wait_until("a frame at the first player", lambda: bool(_stamps.read(got)), FIRST_FRAME_S, child=looking)
    time.sleep(plan.warm_up)
    protocol = SHOWN[label]
    url = ("http", str(started.ports["http"]), f"/{STREAM}.flv") if protocol == "HTTP-FLV" else _rtmp(started.ports["rtmp"])
    joining = _joining.start(url, plan.players, plan.within, plan.seconds, folder / "joiners.log")
    meter, since_ns = _meter.Meter({label: started.pid}), time.monotonic_ns()
    stack.enter_context(joining)
    cores.give_load(joining.pid)
    time.sleep(plan.within + 1)
    usage, until_ns = meter.read()[label], time.monotonic_ns()
    joins = _joining.result(joining, plan.within, plan.seconds)
    before = _stamps.matched(_stamps.read(sent), _stamps.read(got), since_ns, until_ns) if got.exists() else None
    return Sample(joins, usage, before)


def _rtmp(port: int) -> tuple[str, ...]:
    return ("rtmp", str(port), *STREAM.split("/"))


def subjects(plan: argparse.Namespace) -> list[_rounds.Subject[Sample]]:
    """Each server by the protocols that it has."""
    ours = "" if Path(PROGRAM).exists() else f"{PROGRAM} is missing"
    nginx = "" if Nginx.available() else "nginx or its RTMP module is not installed"
    node = "" if NodeMediaServer.available() else "node or npm is not installed"
    missing = {"lalmesh": ours, "nginx": nginx, "node-media-server": node}
    return [_rounds.Subject(label, partial(_measure, plan, label), missing[server(label)]) for label in SHOWN]


def server(label: str) -> str:
    """Whose line it is."""
    return label.rpartition("-")[0]


HEAD = [
    "server",
    "protocol",
    "players",
    "with a first frame",
    "closed",
    "p50 ms",
    "p99 ms",
    "worst ms",
    "% of a core",
    "MB",
    "who was there: p99 ms",
    "worst ms",
]


def row(label: str, mine: Sequence[Sample]) -> list[str]:
    """The line of one subject: medians over the rounds, and the worst of all."""
    median = _rounds.medians(mine, ".0f")
    before = [each.before for each in mine if each.before is not None]
    return [
        server(label),
        SHOWN[label],
        str(mine[0].joins.players),
        str(min(each.joins.joined for each in mine)),
        str(max(each.joins.closed for each in mine)),
        median(lambda each: each.joins.p50_ms),
        median(lambda each: each.joins.p99_ms),
        f"{max(each.joins.worst_ms for each in mine):.0f}",
        median(lambda each: each.usage.cpu_percent),
        median(lambda each: each.usage.rss_mb),
        f"{statistics.median(each.p99_ms for each in before):.0f}" if before else "",
        f"{max(each.worst_ms for each in before):.0f}" if before else "",
    ]


def judge(found: _rounds.Found[Sample]) -> list[Judged]:
    """All have their first frame, and stay; nobody who was there loses anything."""
    judged = []
    for label, shown in SHOWN.items():
        if not label.startswith("lalmesh") or label not in found.samples:
            continue
        mine = found.of(label)
        failed = max((each.joins.players - each.joins.joined + each.joins.closed for each in mine), default=None)
        lost = max((each.before.missing + each.before.doubled for each in mine if each.before is not None), default=None)
        judged.append(Judged(what=f"{shown}: players without a first frame, or closed", found=failed, bar=0))
        judged.append(Judged(what=f"{shown}: frames lost by the player that was there", found=lost, bar=0))
    return judged


def plots(found: _rounds.Found[Sample]) -> list[Plot]:
    """How long how many of them wait."""
    curves = []
    for label in found.samples:
        of: dict[float, Callable[[Sample], float]] = {
            50.0: lambda each: each.joins.p50_ms,
            99.0: lambda each: each.joins.p99_ms,
            100.0: lambda each: each.joins.worst_ms,
        }
        values = [(share, found.median(label, value)) for share, value in of.items()]
        points = [(share, value) for share, value in values if value is not None]
        curves.append(Curve(label=f"{server(label)}, {SHOWN[label]}", points=points, dashed=server(label) != "lalmesh"))
    title = "A burst of players: wait for the first frame"
    return [Plot(name="burst", title=title, x="% of the players that wait no longer", y="ms", curves=curves)]


def introduction(plan: argparse.Namespace) -> str:
    """What the table shows."""
    return (
        f"One stream of {stream_kbps() / 1000:.1f} Mbit/s with a key frame every 2 s; {plan.players} players come evenly within "
        f"{plan.within:g} s, and stay. Each waits from its call of connect until it has a key frame whole. {plan.rounds} rounds, "
        "median, and the worst of all. The server, standalone with all roles counted, has a core to itself; its processor time "
        f"is that of the {plan.within + 1:g} s from the first one on. `who was there` is the delay, from publisher to player, of "
        "a player by RTMP that came before them."
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = _rounds.parser("burst", __doc__, RESULTS, rounds=3, seconds=4, warm_up=3)
    parser.add_argument("--players", type=int, default=1000, help="that come (%(default)s)")
    parser.add_argument("--within", type=float, default=1.0, help="seconds in which they come (%(default)s)")
    return parser.parse_args()


def main() -> None:
    """Measure, print, keep; exit with 1 if a sample was worthless or a bar is missed."""
    plan = arguments()
    _load.raise_file_limit(plan.players)
    found = _rounds.run(_rounds.choose(subjects(plan), plan.only), plan.rounds)
    rows = [row(label, found.of(label)) for label in found.samples if found.of(label)]
    paragraphs = [introduction(plan), _report.table(HEAD, rows), LIMITS]
    sys.exit(_rounds.conclude("burst", TITLE, paragraphs, plan, found, judged=judge(found), plots=plots(found)))


if __name__ == "__main__":
    main()
