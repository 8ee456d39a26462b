"""Whether `lalmesh bench` and `lalmesh delay` are light enough for the machine that the server runs on, beside programs in C.

One standalone server with its defaults has a core to itself, the client that loads it the others: with 500 players of one stream,
by HTTP-FLV and by RTMP, and with 200 publishers. Each load is made by `lalmesh bench` and by `players.c` or `publishers.c`, in the
same round. A client that takes less than what it loads leaves a machine of two cores to the server. `lalmesh delay` publishes one
stream and plays it twice, and looks at every unit.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from support.cluster import PROGRAM, Standalone
from support.ffmpeg import bounded
from support.media import media
from support.process import Child, wait_until

from bench import _load, _meter, _report, _road, _rounds
from bench._report import Judged
from bench.fanout import CONNECT_S, LEAST_SHARE, LOOK_S, STREAM_MEDIA, STREAM_READY_S, stream_kbps

STREAM = "live/client"
PLAYERS, PUBLISHERS = 500, 200
OURS, IN_C = "lalmesh", "c"
DELAY, DELAYED = "delay", 3  #: a publisher and two players
LOADS = {
    "players-flv": "players, HTTP-FLV",
    "players-rtmp": "players, RTMP",
    "publishers": "publishers, RTMP",
    DELAY: "a publisher, RTMP, and players, HTTP-FLV and RTMP",
}
CLIENTS = [*((load, client) for load in LOADS if load != DELAY for client in (OURS, IN_C)), (DELAY, OURS)]
MOST_TIMES_SERVER = 1.0  #: of the server's processor time, that the client may take
MOST_DELAY_PERCENT = 10.0  #: of a core, that telling a delay may take
WITHIN_S = 2.0  #: in which all come
LEAST_PERCENT = 0.1  #: of a core: a server that takes less is taken for one that takes that
RESULTS = _load.BUILT / "client.json"
TITLE = "Client: what loads a server, and what that takes"
LIMITS = (
    "What limits it: a player that looks at nothing costs a call of the kernel each time that something has come, which the client "
    "makes for many players in one turn of a loop of Python, and no more often than a stall has to be seen; the programs in C do "
    "so sooner, with less for each call. A publisher costs a call for each message that is due; what is in it is made once for "
    "all. What would move it: fewer turns, seeing stalls less finely, and several clients side by side where there are cores."
)


@dataclass(slots=True, frozen=True)
class Fared:
    """What a client says of its sessions."""

    lowest_kbps: float | None  #: of one of them; None: it does not say
    late_p99_ms: float | None  #: that it sent or looked; None: it does not say
    problem: str = ""


@dataclass(slots=True, frozen=True)
class Sample:
    """One load, made by one client, once."""

    sessions: int
    client: _load.Usage
    server: _load.Usage
    fared: Fared

    @property
    def ratio(self) -> float:
        """Processor time of the client, to that of the server."""
        return self.client.cpu_percent / max(self.server.cpu_percent, LEAST_PERCENT)

    @property
    def problem(self) -> str:
        """What makes it worthless, if anything."""
        return self.fared.problem

    @property
    def shown(self) -> str:
        """In a few words."""
        return f"the client {self.client.cpu_percent:.1f}% of a core, the server {self.server.cpu_percent:.1f}%"


def label(load: str, client: str) -> str:
    """How a subject is chosen with --only."""
    return f"{load}-{client}"


# measuring


def measure(plan: argparse.Namespace, load: str, client: str, folder: Path, stack: ExitStack) -> Sample:
    """One server, one client."""
    cores = _load.Cores(apart=plan.pin)
    node = stack.enter_context(Standalone(folder))
    cores.give_server(node.pid)
    whole_s = plan.warm_up + plan.seconds + 1
    if load.startswith("players"):
        limit_s = STREAM_READY_S + CONNECT_S + whole_s + _load.MARGIN_S
        command = [PROGRAM, "push", "--loop", "0", str(media(STREAM_MEDIA)), node.rtmp_url(STREAM)]
        pushing = stack.enter_context(Child(bounded(limit_s, command), log=folder / "push.log"))
        cores.give_load(pushing.pid)
        time.sleep(STREAM_READY_S)
    port = node.ports["http" if load in ("players-flv", DELAY) else "rtmp"]
    sessions, before = number(plan, load), _load.connections(port)
    come = 1 if load == DELAY else sessions  # to that port
    log = folder / "client.log"
    started = stack.enter_context(_started(node, load, client, sessions, (whole_s, plan.warm_up), log))
    cores.give_load(started.pid)
    wait_until("sessions", lambda: _load.connections(port) >= before + come, CONNECT_S, child=started, every_s=LOOK_S)
    time.sleep(plan.warm_up)
    meter = _meter.Meter({"client": started.pid, "server": node.pid})
    time.sleep(plan.seconds)
    usage = meter.read()
    return Sample(sessions, usage["client"], usage["server"], _fared(started, load, client, log))


def _started(node: Standalone, load: str, client: str, sessions: int, times_s: tuple[float, float], log: Path) -> Child:
    """The client, for so many seconds, the first of which don't count where it is written in C."""
    if client == OURS:
        command = "delay" if load == DELAY else "bench"
        return Child([PROGRAM, command, *_asked(node, load, sessions, times_s[0]), "--json", str(_told(log))], log=log)
    if load == "publishers":
        return _load.publish(node.ports["rtmp"], sessions, *times_s, media(STREAM_MEDIA), log)
    way = _road.flv if load == "players-flv" else _road.rtmp
    return _load.play(way(node, STREAM), sessions, *times_s, log)


def _asked(node: Standalone, load: str, sessions: int, seconds: float) -> list[str]:
    """The command line of `lalmesh bench`, or `lalmesh delay`."""
    duration = ["--duration", str(seconds)]
    if load == DELAY:
        urls = [node.rtmp_url(STREAM), node.flv_url(STREAM), node.rtmp_url(STREAM)]
        return [*duration, "--file", str(media(STREAM_MEDIA)), *urls]
    if load == "publishers":
        streams = ["--publish", node.rtmp_url("live/bench-{}"), "--streams", str(sessions), "--publish-within", str(WITHIN_S)]
        return [*duration, *streams, "--file", str(media(STREAM_MEDIA))]
    url = node.flv_url(STREAM) if load == "players-flv" else node.rtmp_url(STREAM)
    return [*duration, "--players", str(sessions), "--within", str(WITHIN_S), url]


def _told(log: Path) -> Path:
    return log.with_suffix(".json")


def _fared(client: Child, load: str, which: str, log: Path) -> Fared:
    limit_s = CONNECT_S + _load.MARGIN_S
    if which == OURS:
        client.wait(limit_s)
        text = _told(log).read_text(encoding="utf-8")
        assert text, f"it told nothing: {client.describe()}"
        return of_report(json.loads(text))
    if load == "publishers":
        sent = _load.published(client, limit_s)
        return Fared(sent.lowest_kbps, sent.late_p99_ms, sent.behind(0, stream_kbps()))
    got = _load.played(client, limit_s)
    problem = f"{got.closed} players were closed" if got.closed else _short(got.lowest_kbps)
    return Fared(got.lowest_kbps, None, problem)


def of_report(report: dict[str, Any]) -> Fared:
    """What `lalmesh bench` says of publishers, or of players of one URL; or `lalmesh delay` of what it looked at."""
    client = report["client"]
    if "rows" in report:
        late = client["late_ms"]
        return Fared(None, late and late["p99"], "; ".join(report["faults"]))
    sent = report["publishers"]
    sessions, late = (sent, sent["late_ms"]) if sent else (report["players"][0], client["late_ms"])
    lowest_kbps = sessions["lowest_bps"] / 1000
    problem = "; ".join(report["faults"]) or _short(lowest_kbps)
    return Fared(lowest_kbps, late and late["p99"], problem)


def _short(lowest_kbps: float) -> str:
    if lowest_kbps >= LEAST_SHARE * stream_kbps():
        return ""
    return f"one session had {lowest_kbps:.0f} kbit/s of {stream_kbps():.0f}"


def subjects(plan: argparse.Namespace) -> list[_rounds.Subject[Sample]]:
    """Each load by each client, one after the other."""
    missing = "" if Path(PROGRAM).exists() else f"{PROGRAM} is missing"
    return [_rounds.Subject(label(*each), partial(measure, plan, *each), missing) for each in CLIENTS]


def number(plan: argparse.Namespace, load: str) -> int:
    """Of its sessions."""
    if load == DELAY:
        return DELAYED
    return int(plan.publishers if load == "publishers" else plan.players)


# what was found

HEAD = [
    "load",
    "sessions",
    "client",
    "client, % of a core",
    "lowest-highest",
    "server, % of a core",
    "x server",
    "x program in C",
    "client, MB",
    "slowest session, kbit/s",
    "late p99 ms",
]


def row(load: str, client: str, found: _rounds.Found[Sample]) -> list[str]:
    """The line of one load by one client: medians over the rounds, and the worst of all."""
    mine = found.of(label(load, client))
    median = _rounds.medians(mine)
    taken = [each.client.cpu_percent for each in mine]
    late = [each.fared.late_p99_ms for each in mine if each.fared.late_p99_ms is not None]
    lowest = [each.fared.lowest_kbps for each in mine if each.fared.lowest_kbps is not None]
    ratio = found.ratio(label(load, client), label(load, IN_C), lambda each: each.client.cpu_percent)
    return [
        LOADS[load],
        str(mine[0].sessions),
        f"{load.partition('-')[0]}.c" if client == IN_C else "lalmesh delay" if load == DELAY else "lalmesh bench",
        f"{statistics.median(taken):.1f}",
        f"{min(taken):.1f}-{max(taken):.1f}",
        median(lambda each: each.server.cpu_percent, ".1f"),
        median(lambda each: each.ratio, ".2f"),
        "" if ratio is None else f"{ratio:.2f}",
        median(lambda each: each.client.rss_mb, ".0f"),
        f"{min(lowest):.0f}" if lowest else "",
        f"{max(late):.1f}" if late else "",
    ]


def judge(found: _rounds.Found[Sample], sessions: dict[str, int]) -> list[Judged]:
    """`lalmesh bench` takes no more than the server that it loads, `lalmesh delay` little."""
    told = Judged(
        what=f"lalmesh delay, {LOADS[DELAY]}: processor time",
        found=found.median(label(DELAY, OURS), lambda each: each.client.cpu_percent),
        bar=MOST_DELAY_PERCENT,
        unit="% of a core",
    )
    loads = [
        Judged(
            what=f"lalmesh bench, {sessions[load]} {shown}: processor time",
            found=found.median(label(load, OURS), lambda each: each.ratio),
            bar=MOST_TIMES_SERVER,
            unit="x the server that it loads",
        )
        for load, shown in LOADS.items()
        if load != DELAY and label(load, OURS) in found.samples
    ]
    return [*loads, told] if label(DELAY, OURS) in found.samples else loads


def introduction(plan: argparse.Namespace) -> str:
    """What the table shows."""
    return (
        "One standalone server with its defaults, all roles counted, on a core of its own, and one client on the others: "
        f"{plan.players} players of one stream of {stream_kbps() / 1000:.1f} Mbit/s, one of which looks at every unit where the "
        f"client is `lalmesh bench`, {plan.publishers} publishers of such a stream each, or one publisher whose stream `lalmesh "
        f"delay` plays twice, looking at every unit. {plan.rounds} rounds of "
        f"{plan.seconds:g} s each, median, and the slowest session and the latest client of all; processor time of both is of the "
        "same seconds, once all have come. `lalmesh bench` is light enough for one machine with the server if it takes no more "
        f"than that, `lalmesh delay` if it takes {MOST_DELAY_PERCENT:g}% of a core at most. `late` is how late messages were sent, "
        "or players looked at, for want of processor."
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = _rounds.parser("client", __doc__, RESULTS, rounds=3, seconds=10, warm_up=4)
    parser.add_argument("--players", type=int, default=PLAYERS, help="of one stream (%(default)s)")
    parser.add_argument("--publishers", type=int, default=PUBLISHERS, help="of a stream each (%(default)s)")
    return parser.parse_args()


def main() -> None:
    """Measure, print, keep; exit with 1 if a sample was worthless or a bar is missed."""
    plan = arguments()
    _load.raise_file_limit(max(plan.players, plan.publishers))
    found = _rounds.run(_rounds.choose(subjects(plan), plan.only), plan.rounds)
    rows: Sequence[list[str]] = [row(*each, found) for each in CLIENTS if found.of(label(*each))]
    paragraphs = [introduction(plan), _report.table(HEAD, rows), LIMITS]
    sessions = {load: number(plan, load) for load in LOADS}
    sys.exit(_rounds.conclude("client", TITLE, paragraphs, plan, found, judged=judge(found, sessions)))


if __name__ == "__main__":
    main()
