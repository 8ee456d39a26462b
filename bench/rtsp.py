"""What RTSP players cost beside HTTP-FLV players of the same stream: among the messages of a connection, and by UDP.

One lalmesh, each frame at once, the same publisher and as many players for each way, in turn, round by round. `MOST` says how much
more processor time RTSP may take, `MOST_SENDS` how often the kernel may be given something of an access unit for a player by UDP; a
bar that the median misses is a failure.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path

from support import wire
from support.cluster import PROGRAM, Node, Standalone
from support.media import media

from bench import _load, _report, _rounds, fanout
from bench._report import Judged
from bench._rounds import Found
from bench.fanout import AT_ONCE, STREAM, Running, Sample, Subject, percent, writes

FLV, INTERLEAVED, UDP, UDP_CUT = "flv", "rtsp", "rtsp-udp", "rtsp-udp-cut"
SHOWN = {FLV: "HTTP-FLV", INTERLEAVED: "RTSP, interleaved", UDP: "RTSP, UDP", UDP_CUT: "RTSP, UDP, cut by loopback"}
BY_UDP = (UDP, UDP_CUT)
MOST = {INTERLEAVED: 1.2, UDP: 1.8}  #: times the processor time of HTTP-FLV
MOST_SENDS = 2.0  #: of an access unit, for each player by UDP
SENT = re.compile(r"^edge_udp_sends_total (\S+)$", re.MULTILINE)
UDP_SOCKETS = 4  #: of a player: two tracks, each with RTP and RTCP; the server has as many
RESULTS = _load.BUILT / "rtsp.json"
HEAD = ["players", "% of a core", "x HTTP-FLV", "lowest-highest", "sends/s", "sends/unit", "verdict", "MB"]
LIMITS = (
    "What limits it: the calls that send, as in the fan-out. Interleaved, what goes to a player is one write of the same bytes for "
    "all, as over HTTP-FLV, so it costs little more: packets have headers that FLV has not. By UDP nothing is gathered: one call "
    "takes one run of packets of one track to all players whose ports are known to stay, each track has its own, and what goes "
    "before the fragments of a picture, as encoders have it that say when each is shown, is a run of its own; segmentation offload "
    "lets the packets of a picture cross the kernel as one, and where they are cut on the way, each is handled by itself. What "
    "would move it: by TCP, gathering; more cores, as workers or as edges."
)


@cache
def units_per_s() -> float:
    """Access units a second of the stream: pictures and frames of sound."""
    times = [tag.timestamp_ms for tag in wire.tags_of_file(media("bench")) if tag.type_id in (8, 9)]
    return len(times) * 1000 / max(times)


def sends(node: Node) -> float:
    """How much the server has given the kernel to send by UDP: runs of packets, and packets."""
    found = SENT.search(node.metrics())
    assert found is not None, "the server does not say how often it sent"
    return float(found[1])


def lalmesh(way: str) -> Callable[[Path, ExitStack], Running]:
    """lalmesh standalone, its defaults but for the longest gathering time, played by `way`."""

    def start(folder: Path, stack: ExitStack) -> Running:
        node = stack.enter_context(Standalone(folder, {"edge.fanout.max_delay_ms": 0, "edge.rtsp.udp_ports": "20000-24999"}))
        if way == FLV:
            return Running(node.pid, node.rtmp_url(STREAM), ("http", str(node.ports["http"]), f"/{STREAM}.flv"))
        play = (way, str(node.ports["rtsp"]), f"/{STREAM}")
        return Running(node.pid, node.rtmp_url(STREAM), play, (lambda: sends(node)) if way in BY_UDP else None)

    return start


def subjects(plan: argparse.Namespace) -> list[_rounds.Subject[Sample]]:
    """All ways, HTTP-FLV first."""
    missing = "" if Path(PROGRAM).exists() else f"{PROGRAM} is missing"
    ways = {way: Subject("lalmesh", way, 0, lalmesh(way), players=plan.players) for way in SHOWN}
    return [_rounds.Subject(way, partial(fanout.measured, subject, plan), missing) for way, subject in ways.items()]


def sends_per_unit(way: str, found: Found[Sample]) -> float | None:
    """Sends for an access unit and player; None without a sample."""
    often = found.median(way, writes)
    return None if often is None else often / units_per_s()


def judged(found: Found[Sample]) -> list[Judged]:
    """What the bars say."""
    told = [bar for way in found.samples if (bar := judged_time(way, found)) is not None]
    if UDP in found.samples:
        what = f"{SHOWN[UDP]}: sends for an access unit and player"
        told.append(Judged(what=what, found=sends_per_unit(UDP, found), bar=MOST_SENDS))
    return told


def judged_time(way: str, found: Found[Sample]) -> Judged | None:
    """What the bar of a way says of its processor time; None where it has no bar."""
    if way not in MOST:
        return None
    what = f"{SHOWN[way]}, each frame at once"
    return Judged(what=what, found=found.ratio(way, FLV, percent), bar=MOST[way], unit="x HTTP-FLV")


def row(way: str, found: Found[Sample]) -> list[str]:
    """The line of a way that has a sample."""
    mine, ratios = found.of(way), found.ratios(way, FLV, percent)
    made, bar = sends_per_unit(way, found), judged_time(way, found)
    return [
        SHOWN[way],
        f"{statistics.median(map(percent, mine)):.1f}",
        f"{statistics.median(ratios):.2f}" if ratios else "",
        f"{min(ratios):.2f}-{max(ratios):.2f}" if ratios else "",
        f"{statistics.median(map(writes, mine)):.0f}",
        f"{made:.2f}" if made is not None else "",
        f"{bar.bar:g} {bar.unit}: {bar.verdict}" if bar is not None else "",
        f"{statistics.median(sample.usage.rss_mb for sample in mine):.0f}",
    ]


def introduction(plan: argparse.Namespace) -> str:
    """What the table shows."""
    return (
        f"One stream of {fanout.stream_kbps() / 1000:.1f} Mbit/s (H.264 at 30 pictures a second, AAC; {units_per_s():.0f} access "
        f"units a second), {plan.players} players, {plan.rounds} rounds of {plan.seconds:g} s each, median; processor time of the "
        f"whole server. Ratios are taken within a round, and `lowest-highest` is theirs. {AT_ONCE}; by UDP each unit is sent by "
        "itself. Sends are what the kernel is given, a second and player: by UDP runs of packets and packets, as the server counts "
        "them; by TCP segments with data. Players by UDP take runs of packets uncut (UDP_GRO), as a network card would; those of "
        "the last line do not, so that loopback cuts them and delivers each packet in the time of the server."
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = _rounds.parser("rtsp", __doc__, RESULTS, rounds=5, seconds=10, warm_up=3)
    parser.add_argument("--players", type=int, default=200, help="players of the one stream (%(default)s)")
    return parser.parse_args()


def main() -> None:
    """Measure, print, keep; exit with 1 if a sample was worthless or a bar is missed."""
    plan = arguments()
    _load.raise_file_limit(plan.players * (1 + UDP_SOCKETS))
    found = _rounds.run(_rounds.choose(subjects(plan), plan.only), plan.rounds)
    title = f"RTSP: {plan.players} players of one stream"
    table = _report.table(HEAD, [row(way, found) for way in SHOWN if found.of(way)])
    sys.exit(_rounds.conclude("rtsp", title, [introduction(plan), table, LIMITS], plan, found, judged=judged(found)))


if __name__ == "__main__":
    main()
