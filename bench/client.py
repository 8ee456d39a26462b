"""Whether `lalmesh bench` and `lalmesh delay` are light enough for the machine that the server runs on, beside programs in C.

One standalone server with its defaults has a core to itself, the client that loads it the others: with 500 players of one stream,
of each protocol in turn, fewer where each takes more, and with 200 publishers. Each load is made by `lalmesh bench` and, where
they can, by `players.c` or `publishers.c`, in the same round. A client that takes less than what it loads leaves a machine of two
cores to the server. It is held to that where it publishes by RTMP, and where the kernel drops all that players do not look at.
`lalmesh delay` publishes one stream and plays it twice, and looks at every unit.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from support.certificates import self_signed
from support.cluster import PROGRAM, Node, Standalone
from support.ffmpeg import bounded
from support.media import media
from support.process import Child, wait_until

from bench import _load, _meter, _report, _rounds
from bench._report import Judged
from bench.fanout import CONNECT_S, LEAST_SHARE, LOOK_S, STREAM_MEDIA, STREAM_READY_S, stream_kbps

STREAM, PUBLISHED = "live/client", "live/bench-"  #: what is played; what is published has a number behind it
PLAYERS, PUBLISHERS = 500, 200
OURS, IN_C = "lalmesh", "c"
BY_UDP, HLS = "players-udp", "players-hls"
DELAY, DELAYED = "delay", 3  #: a publisher and two players
FILES_BY_UDP = 5  #: descriptors of a player: its connection, and two for each of two tracks
LEAST_PIECES = 0.8  #: of the stream's bit rate, where bytes count once a piece is whole: of some seconds, one piece may be missing


@dataclass(slots=True, frozen=True, kw_only=True)
class Load:
    """What a server is loaded with."""

    shown: str
    listener: str  #: of the server, that all sessions come to
    url: Callable[[Node], str]  #: that `lalmesh bench` is given
    options: tuple[str, ...] = ()  #: that it is given for this load alone
    in_c: tuple[str, ...] = ()  #: how the program in C is told; empty: it cannot make this load
    most: int | None = None  #: sessions; None: as many as are asked for
    least_share: float = LEAST_SHARE  #: of the stream's bit rate, that each session has to have
    is_judged: bool = False  #: the client may take no more than the server


LOADS = {
    "players-flv": Load(
        shown="players, HTTP-FLV",
        listener="http",
        url=lambda node: node.flv_url(STREAM),
        in_c=("http", f"/{STREAM}.flv"),
        is_judged=True,
    ),
    "players-rtmp": Load(
        shown="players, RTMP",
        listener="rtmp",
        url=lambda node: node.rtmp_url(STREAM),
        in_c=("rtmp", *STREAM.split("/")),
        is_judged=True,
    ),
    "players-ts": Load(
        shown="players, HTTP-TS",
        listener="http",
        url=lambda node: node.http_url(f"{STREAM}.ts"),
        in_c=("http", f"/{STREAM}.ts"),
        is_judged=True,
    ),
    "players-ws": Load(
        shown="players, WS-FLV",
        listener="http",
        url=lambda node: node.ws_url(STREAM),
        in_c=("ws", f"/{STREAM}.flv"),
        is_judged=True,
    ),
    "players-rtsp": Load(
        shown="players, RTSP, interleaved",
        listener="rtsp",
        url=lambda node: node.rtsp_url(STREAM),
        in_c=("rtsp", f"/{STREAM}"),
        is_judged=True,
    ),
    BY_UDP: Load(
        shown="players, RTSP, UDP",
        listener="rtsp",
        url=lambda node: node.rtsp_url(STREAM),
        options=("--rtsp-transport", "udp"),
        in_c=("rtsp-udp", f"/{STREAM}"),
        most=200,  # four ports each: 1,000 are there by default
    ),
    "players-https": Load(
        shown="players, HTTPS-FLV",
        listener="https",
        url=lambda node: node.flv_url(STREAM, tls=True),
        options=("--insecure",),  # nobody has signed its certificate
        most=200,  # both encrypt, or decrypt, each byte for each player
    ),
    HLS: Load(
        shown="players, low-latency HLS",
        listener="http",
        url=lambda node: node.http_url(f"hls/{STREAM}/index.m3u8"),
        most=100,  # each asks for a playlist and a part twice a second
        least_share=LEAST_PIECES,
    ),
    "publishers": Load(
        shown="publishers, RTMP",
        listener="rtmp",
        url=lambda node: node.rtmp_url(f"{PUBLISHED}{{}}"),
        in_c=tuple(PUBLISHED.split("/")),
        is_judged=True,
    ),
    "publishers-rtsp": Load(
        shown="publishers, RTSP, interleaved",
        listener="rtsp",
        url=lambda node: node.rtsp_url(f"{PUBLISHED}{{}}"),
    ),
    DELAY: Load(
        shown="a publisher, RTMP, and players, HTTP-FLV and RTMP",
        listener="http",  # where one of the players comes
        url=lambda node: node.rtmp_url(STREAM),
    ),
}
CLIENTS = [(load, client) for load, each in LOADS.items() for client in (OURS, IN_C) if client == OURS or each.in_c]
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
    "all. What would move it: fewer turns, seeing stalls less finely, and several clients side by side where there are cores.\n\n"
    "Players have a bar where the kernel drops every byte that they do not look at. By UDP it does not drop them all at once: each "
    "run of packets costs a call, and some of it has to be taken. Under TLS the client decrypts each byte, as the server encrypted "
    "it. A player of HLS asks, and reads each playlist that it gets; only its media are dropped by the kernel. What these three "
    "take is told and has no bar; nor has publishing by RTSP, of which nothing was promised."
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
    node = stack.enter_context(Standalone(folder, _settings(load, folder)))
    cores.give_server(node.pid)
    whole_s = plan.warm_up + plan.seconds + 1
    if load.startswith("players"):
        limit_s = STREAM_READY_S + CONNECT_S + whole_s + _load.MARGIN_S
        command = [PROGRAM, "push", "--loop", "0", str(media(STREAM_MEDIA)), node.rtmp_url(STREAM)]
        pushing = stack.enter_context(Child(bounded(limit_s, command), log=folder / "push.log"))
        cores.give_load(pushing.pid)
        time.sleep(STREAM_READY_S)
    if load == HLS:
        _have_segmented(node)
    port = node.ports[LOADS[load].listener]
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


def _settings(load: str, folder: Path) -> dict[str, object]:
    """Of the server: its defaults, and a certificate where it has to show one."""
    if LOADS[load].listener != "https":
        return {}
    certificate = str(self_signed(folder))
    return {"edge.tls.cert_file": certificate, "edge.tls.key_file": certificate}


def _have_segmented(node: Node) -> None:
    """Ask for the stream as HLS, which is made from then on; the answer comes with its first segment."""
    with urllib.request.urlopen(node.http_url(f"hls/{STREAM}/live.m3u8"), timeout=CONNECT_S) as answer:
        answer.read()


def _started(node: Node, load: str, client: str, sessions: int, times_s: tuple[float, float], log: Path) -> Child:
    """The client, for so many seconds, the first of which don't count where it is written in C."""
    if client == OURS:
        command = "delay" if load == DELAY else "bench"
        return Child([PROGRAM, command, *_asked(node, load, sessions, times_s[0]), "--json", str(_told(log))], log=log)
    port, in_c = node.ports[LOADS[load].listener], LOADS[load].in_c
    if load == "publishers":
        app, name = in_c
        return _load.publish(port, sessions, *times_s, media(STREAM_MEDIA), log, app=app, name=name)
    way, *what = in_c
    return _load.play((way, str(port), *what), sessions, *times_s, log)


def _asked(node: Node, load: str, sessions: int, seconds: float) -> list[str]:
    """The command line of `lalmesh bench`, or `lalmesh delay`."""
    url, shape = LOADS[load].url(node), ["--duration", str(seconds), *LOADS[load].options]
    if load == DELAY:
        return [*shape, "--file", str(media(STREAM_MEDIA)), url, node.flv_url(STREAM), node.rtmp_url(STREAM)]
    if load.startswith("publishers"):
        streams = ["--publish", url, "--streams", str(sessions), "--publish-within", str(WITHIN_S)]
        return [*shape, *streams, "--file", str(media(STREAM_MEDIA))]
    return [*shape, "--players", str(sessions), "--within", str(WITHIN_S), url]


def _told(log: Path) -> Path:
    return log.with_suffix(".json")


def _fared(client: Child, load: str, which: str, log: Path) -> Fared:
    limit_s = CONNECT_S + _load.MARGIN_S
    if which == OURS:
        client.wait(limit_s)
        text = _told(log).read_text(encoding="utf-8")
        assert text, f"it told nothing: {client.describe()}"
        return of_report(json.loads(text), LOADS[load].least_share)
    if load == "publishers":
        sent = _load.published(client, limit_s)
        return Fared(sent.lowest_kbps, sent.late_p99_ms, sent.behind(0, stream_kbps()))
    got = _load.played(client, limit_s)
    problem = f"{got.closed} players were closed" if got.closed else _short(got.lowest_kbps, LEAST_SHARE)
    return Fared(got.lowest_kbps, None, problem)


def of_report(report: dict[str, Any], least_share: float = LEAST_SHARE) -> Fared:
    """What `lalmesh bench` says of publishers, or of players of one URL; or `lalmesh delay` of what it looked at.

    A session that had less than `least_share` of the stream's bit rate is a problem.
    """
    client = report["client"]
    if "rows" in report:
        late = client["late_ms"]
        return Fared(None, late and late["p99"], "; ".join(report["faults"]))
    sent = report["publishers"]
    sessions, late = (sent, sent["late_ms"]) if sent else (report["players"][0], client["late_ms"])
    lowest_kbps = sessions["lowest_bps"] / 1000
    problem = "; ".join(report["faults"]) or _short(lowest_kbps, least_share)
    return Fared(lowest_kbps, late and late["p99"], problem)


def _short(lowest_kbps: float, least_share: float) -> str:
    if lowest_kbps >= least_share * stream_kbps():
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
    wanted, most = int(plan.publishers if load.startswith("publishers") else plan.players), LOADS[load].most
    return wanted if most is None else min(wanted, most)


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
        LOADS[load].shown,
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
    """`lalmesh bench` takes no more than the server that it loads, where that is judged, `lalmesh delay` little."""
    told = Judged(
        what=f"lalmesh delay, {LOADS[DELAY].shown}: processor time",
        found=found.median(label(DELAY, OURS), lambda each: each.client.cpu_percent),
        bar=MOST_DELAY_PERCENT,
        unit="% of a core",
    )
    loads = [
        Judged(
            what=f"lalmesh bench, {sessions[load]} {each.shown}: processor time",
            found=found.median(label(load, OURS), lambda sample: sample.ratio),
            bar=MOST_TIMES_SERVER,
            unit="x the server that it loads",
        )
        for load, each in LOADS.items()
        if each.is_judged and label(load, OURS) in found.samples
    ]
    return [*loads, told] if label(DELAY, OURS) in found.samples else loads


def introduction(plan: argparse.Namespace) -> str:
    """What the table shows."""
    return (
        "One standalone server with its defaults, all roles counted, on a core of its own, and one client on the others: "
        f"{plan.players} players of one stream of {stream_kbps() / 1000:.1f} Mbit/s, fewer where each takes more of the two, one "
        f"of which looks at every unit where the client is `lalmesh bench`; {plan.publishers} publishers of such a stream each; "
        f"or one publisher whose stream `lalmesh delay` plays twice, looking at every unit. {plan.rounds} rounds of "
        f"{plan.seconds:g} s each, median, and the slowest session and the latest client of all; processor time of both is of "
        "the same seconds, once all have come. `lalmesh bench` is light enough for one machine with the server if it takes no "
        f"more than that, `lalmesh delay` if it takes {MOST_DELAY_PERCENT:g}% of a core at most; what else is in the table is "
        "told without a bar. `late` is how late messages were sent, or players looked at, for want of processor."
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
    _load.raise_file_limit(max(plan.players, plan.publishers, FILES_BY_UDP * number(plan, BY_UDP)))
    found = _rounds.run(_rounds.choose(subjects(plan), plan.only), plan.rounds)
    rows: Sequence[list[str]] = [row(*each, found) for each in CLIENTS if found.of(label(*each))]
    paragraphs = [introduction(plan), _report.table(HEAD, rows), LIMITS]
    sessions = {load: number(plan, load) for load in LOADS}
    sys.exit(_rounds.conclude("client", TITLE, paragraphs, plan, found, judged=judge(found, sessions)))


if __name__ == "__main__":
    main()
