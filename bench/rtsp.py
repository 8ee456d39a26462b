"""What RTSP players cost beside HTTP-FLV players of the same stream: among the messages of a connection, and by UDP.

One lalmesh, each frame at once, the same publisher and as many players for each way, in turn, round by round. `BARS` says how much
more processor time RTSP may take, `MOST_CALLS` how many calls of the kernel an access unit and player by UDP may take; a bar that
the median misses is a failure.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from support import wire
from support.cluster import PROGRAM, Node, Standalone
from support.media import media

from bench import _load, _report, fanout
from bench._report import Judged
from bench.fanout import STREAM, Bar, Running, Sample, Subject

FLV, INTERLEAVED, UDP, UDP_CUT = "flv", "rtsp", "rtsp-udp", "rtsp-udp-cut"
SHOWN = {FLV: "HTTP-FLV", INTERLEAVED: "RTSP, interleaved", UDP: "RTSP, UDP", UDP_CUT: "RTSP, UDP, cut by loopback"}
BY_UDP = (UDP, UDP_CUT)
LABEL = "lalmesh-{}-0"
BARS = {INTERLEAVED: Bar(FLV, 1.2), UDP: Bar(FLV, 1.8)}
MOST_CALLS = 2.0  #: of the kernel, for an access unit and player by UDP
SENT = re.compile(r"^edge_udp_send_calls_total (\S+)$", re.MULTILINE)
UDP_SOCKETS = 4  #: of a player: two tracks, each with RTP and RTCP; the server has as many
RESULTS = _load.BUILT / "rtsp.json"
HEAD = ["players", "% of a core", "lowest-highest", "calls/s", "calls/unit", "x HTTP-FLV", "verdict", "MB"]

Samples = Mapping[str, Sequence[Sample | None]]  #: by way, one a round


@cache
def units_per_s() -> float:
    """Access units a second of the stream: pictures and frames of sound."""
    times = [tag.timestamp_ms for tag in wire.tags_of_file(media("bench")) if tag.type_id in (8, 9)]
    return len(times) * 1000 / max(times)


def calls(node: Node) -> float:
    """How often the server has asked the kernel to send by UDP."""
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
        return Running(node.pid, node.rtmp_url(STREAM), play, (lambda: calls(node)) if way in BY_UDP else None)

    return start


def subjects() -> list[Subject]:
    """All ways, HTTP-FLV first."""
    missing = "" if Path(PROGRAM).exists() else f"{PROGRAM} is missing"
    return [Subject("lalmesh", way, 0, lalmesh(way), missing) for way in SHOWN]


def ratio(way: str, samples: Samples) -> float | None:
    """How much more processor time a way takes than HTTP-FLV; None where either has no sample."""
    return fanout.median_ratio(samples[way], samples.get(FLV, []))


def calls_per_unit(way: str, samples: Samples) -> float | None:
    """Calls of the kernel for an access unit and player; None without a sample."""
    found = [sample.writes for sample in samples[way] if sample is not None]
    return statistics.median(found) / units_per_s() if found else None


def missed(samples: Samples) -> list[str]:
    """The bars that were missed, told with what was found."""
    found = []
    for way in samples:
        times, made = ratio(way, samples), calls_per_unit(way, samples)
        if way in BARS and times is not None and times > BARS[way].most:
            found.append(f"{SHOWN[way]}: {times:.2f} x HTTP-FLV, bar {BARS[way].most:.2f}")
        if way == UDP and made is not None and made >= MOST_CALLS:
            found.append(f"{SHOWN[way]}: {made:.2f} calls an access unit and player, bar {MOST_CALLS:.2f}")
    return found


def judged(samples: Samples) -> list[Judged]:
    """The bars, for all of the suite."""
    found = [
        Judged(what=f"{SHOWN[way]}, each frame at once", found=ratio(way, samples), bar=bar.most, unit="x HTTP-FLV")
        for way, bar in BARS.items()
        if way in samples
    ]
    if UDP in samples:
        what = f"{SHOWN[UDP]}: calls of the kernel for an access unit and player"
        found.append(Judged(what=what, found=calls_per_unit(UDP, samples), bar=MOST_CALLS))
    return found


def row(way: str, samples: Samples) -> list[str]:
    """The line of one way."""
    used = [sample.usage for sample in samples[way] if sample is not None]
    cpu = [usage.cpu_percent for usage in used]
    times, made = ratio(way, samples), calls_per_unit(way, samples)
    return [
        SHOWN[way],
        f"{statistics.median(cpu):.1f}",
        f"{min(cpu):.1f}-{max(cpu):.1f}",
        f"{fanout.median_writes(samples[way]):.0f}",
        f"{made:.2f}" if made is not None else "",
        f"{times:.2f}" if times is not None else "",
        verdict(way, samples),
        f"{statistics.median(usage.rss_mb for usage in used):.0f}",
    ]


def verdict(way: str, samples: Samples) -> str:
    """What the bars of a way say of its samples; empty where it has none."""
    if way not in BARS:
        return ""
    if ratio(way, samples) is None:
        return f"bar {BARS[way].most:.2f}: no HTTP-FLV"
    return f"bar {BARS[way].most:.2f}: {'missed' if missed({FLV: samples.get(FLV, []), way: samples[way]}) else 'met'}"


def introduction(plan: argparse.Namespace) -> str:
    """What the table shows."""
    return (
        f"One stream of {fanout.stream_kbps() / 1000:.1f} Mbit/s (H.264 at 30 pictures a second, AAC; {units_per_s():.0f} access "
        f"units a second), each frame at once, {plan.players} players, {plan.rounds} rounds of {plan.seconds:g} s each, median; "
        "processor time of the whole server. Ratios are taken within a round. Calls are of the kernel, to send, a second and "
        "player, as the server counts them by UDP; by TCP they are segments with data. Players by UDP take runs of packets uncut "
        "(UDP_GRO), as a network card would; those of the last line do not, so that loopback cuts them and delivers each packet in "
        "the time of the server."
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench.rtsp", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--players", type=int, default=200, help="players of the one stream (%(default)s)")
    parser.add_argument("--seconds", type=float, default=10, help="measured, after the warm-up (%(default)s)")
    parser.add_argument("--warm-up", type=float, default=3, help="seconds before the measurement (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each way is measured (%(default)s)")
    parser.add_argument("--only", default="", metavar="WAY,...", help=f"of {', '.join(SHOWN)}")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="where the samples go (%(default)s)")
    parser.add_argument("--report", action="store_true", help="write the table into docs/performance.md")
    parser.add_argument("--no-verdict", dest="verdict", action="store_false", help="do not fail where a bar is missed")
    parser.add_argument("--no-pin", dest="pin", action="store_false", help="let server and load share all cores")
    return parser.parse_args()


def main() -> None:
    """Measure, print, keep; exit with 1 if a sample was worthless or a bar is missed."""
    plan = arguments()
    _load.raise_file_limit(plan.players * (1 + UDP_SOCKETS))
    wanted = [way for way in plan.only.split(",") if way]
    chosen = [subject for subject in subjects() if not wanted or subject.protocol in wanted]
    if chosen and chosen[0].missing:
        sys.exit(chosen[0].missing)
    measured, problems = fanout.run(chosen, plan)
    samples = {way: measured[LABEL.format(way)] for way in SHOWN if LABEL.format(way) in measured}
    about = _report.context()
    title = f"RTSP: {plan.players} players of one stream"
    rows = [row(way, samples) for way in samples if any(samples[way])]
    text = "\n\n".join((introduction(plan), _report.listed(about), _report.table(HEAD, rows)))
    print(f"\n{title}\n\n{text}\n")
    fanout.keep(plan, about, samples, problems, judged(samples))
    if plan.report:
        _report.publish("rtsp", title, text)
    failed = missed(samples) if plan.verdict else []
    for problem in (*(f"worthless: {label}: {said}" for label, said in problems.items()), *(f"missed: {miss}" for miss in failed)):
        print(problem, file=sys.stderr)
    sys.exit(1 if problems or failed else 0)


if __name__ == "__main__":
    main()
