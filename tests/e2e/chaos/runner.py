"""The scenarios in order, short as `make test` has them or in full, and the page that the full ones leave."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from e2e.chaos.cluster import ChaosCluster
from e2e.chaos.control import all_away, scheduler_lost
from e2e.chaos.cuts import edge_cut_and_taken_over, origin_cut, origin_cut_from_edge
from e2e.chaos.kills import origins_killed
from e2e.chaos.one_way import node_unheard, reader_cut_off
from e2e.chaos.publishers import publisher_moved, publishing_edge_killed
from e2e.chaos.stage import Report, Stage
from support.netns import can_make_namespaces

from bench import _report

PAGE = Path(__file__).resolve().parents[3] / "docs" / "chaos.md"
SHOWN_FAULTS = 20  #: of one scenario on the terminal; the first says most
HEAD = ("times", "players", "units", "gap p50 s", "worst s", "bound s", "HLS worst s", "faults")
ABOUT = """# Chaos on real processes

Written by `make chaos`. etcd, Redis, two schedulers, three origins, three edges and two hls nodes run as processes, each in a
network namespace of its own on one bridge. ffmpeg publishes H.264 at 30 pictures a second with AAC, and AAC alone. Players by RTMP,
HTTP-FLV, HTTP-TS, RTSP and HLS look at every access unit: by the hash of its payload, which no other unit of the clip has, it has
to be the next one; its time has to rise by what the clip says. A player that is closed, a unit that is missing, comes twice or has
another time is a fault.

*gap* is how long a player stood still: the longest time between two units of a kind after the blow, minus their distance in the
stream, or since its last one. It is looked at once every player has got more of each kind than it had; one that gets no more is a
fault. p50 is of players of streams that the blow struck, *worst* of all; those that it did not may stand still for 1 s. HLS is told
apart: its units come by segments (1 s here), for which the player asks ten times a second, and may be 0.2 s later. Where the
publisher itself was away, the bound is how long it may be, and 1 s; where it is 0 no gap is measured.
"""


@dataclass(frozen=True)
class Scenario:
    """One of them."""

    name: str  #: on the command line
    run: Callable[[Stage], Awaitable[Report]]


def short() -> list[Scenario]:
    """5 kills, an outage of 20 s."""
    return [
        Scenario("kill", lambda stage: origins_killed(stage, 5, alone=2)),
        Scenario("away", lambda stage: all_away(stage, 20, frozen=True)),
    ]


def full(times: int, outage_s: float, per_s: int) -> list[Scenario]:
    """What the project promises. Cuts and moves take longer than kills, and are done less often."""
    cuts = max(1, times // 8)
    return [
        Scenario("kill", lambda stage: origins_killed(stage, times)),
        Scenario("kill-alone", lambda stage: origins_killed(stage, times, alone=times)),
        Scenario("cut", lambda stage: origin_cut(stage, cuts)),
        Scenario("cut-way", lambda stage: origin_cut_from_edge(stage, cuts)),
        Scenario("way-to-origin", lambda stage: origin_cut_from_edge(stage, cuts, one_way=True)),
        Scenario("way-to-reader", lambda stage: reader_cut_off(stage, cuts)),
        Scenario("way-to-scheduler", lambda stage: node_unheard(stage, max(2, cuts))),
        Scenario("cut-edge", lambda stage: edge_cut_and_taken_over(stage, cuts)),
        Scenario("scheduler", lambda stage: scheduler_lost(stage, max(1, cuts // 2), per_s=per_s)),
        Scenario("away-killed", lambda stage: all_away(stage, outage_s, frozen=False)),
        Scenario("away-frozen", lambda stage: all_away(stage, outage_s, frozen=True)),
        Scenario("moved", lambda stage: publisher_moved(stage, cuts)),
        Scenario("edge", lambda stage: publishing_edge_killed(stage, cuts)),
        Scenario("edge-and-origin", lambda stage: publishing_edge_killed(stage, cuts, with_origin=True)),
    ]


async def run(cluster: ChaosCluster, scenarios: list[Scenario]) -> list[Report]:
    """All of them on `cluster`. What ends with an error has that as its fault, and the next goes on."""
    stage, reports = Stage(cluster), list[Report]()
    try:
        for scenario in scenarios:
            begun_s = time.monotonic()
            try:
                report = await scenario.run(stage)
            except Exception as error:
                report = Report(scenario.name, faults=[f"{type(error).__name__}: {error}\n{traceback.format_exc()}"])
            reports.append(report)
            print(report.line(), f"({time.monotonic() - begun_s:.0f} s)", flush=True)
            for fault in report.faults[:SHOWN_FAULTS]:
                print(f"    FAULT {fault}", flush=True)
    finally:
        await asyncio.to_thread(stage.close)
    return reports


def publish(reports: dict[str, Report]) -> None:
    """Replace the sections of these scenarios in `PAGE`, or add them, under what is to be said of all."""
    _, mark, sections = (PAGE.read_text() if PAGE.exists() else "").partition("<!-- ")
    text = f"{ABOUT.rstrip()}\n\n{mark}{sections}"
    for name, report in reports.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        section = f"{begin}\n{_section(report)}\n{end}\n"
        if begin in text:
            head, _, rest = text.partition(begin)
            text = head + section + rest.partition(f"{end}\n")[2]
        else:
            text = f"{text.rstrip()}\n\n{section}"
    PAGE.write_text(text)


def _section(report: Report) -> str:
    given = shlex.join(word for word in sys.argv[1:] if word != "--report")
    about = {**_report.context(), "command": f"make chaos ARGS={shlex.quote(given)}" if given else "make chaos"}
    told = [f"- {note}" for note in report.notes]
    faults = [f"- fault: {fault.splitlines()[0]}" for fault in report.faults[:SHOWN_FAULTS]]
    parts = [f"## {report.title}", _report.listed(about), _report.table(HEAD, [_row(report)]), "\n".join([*told, *faults])]
    return "\n\n".join(part for part in parts if part)


def _row(report: Report) -> tuple[str, ...]:
    p50 = f"{median(report.gaps_s):.3f}" if report.gaps_s else "–"
    hls = f"{max(report.hls_gaps_s):.2f}" if report.hls_gaps_s else "–"
    counts = (str(report.times), str(report.players), str(report.units))
    return (*counts, p50, f"{report.worst_s:.3f}", f"{report.bound_s:g}", hls, str(len(report.faults)))


def main() -> None:
    """Run; ends with 1 where something is wrong, and keeps the logs then."""
    parser = argparse.ArgumentParser(prog="make chaos ARGS=...", description=__doc__)
    parser.add_argument("--short", action="store_true", help="5 kills and 20 s, as make test has them")
    parser.add_argument("--times", type=int, default=50, help="kills of each sort")
    parser.add_argument("--outage-s", type=float, default=300.0, help="how long all that decides is away")
    parser.add_argument("--per-s", type=int, default=100, help="publishes and plays a second while a scheduler is lost")
    parser.add_argument("--only", default="", help="names of scenarios, with commas")
    parser.add_argument("--report", action="store_true", help=f"write docs/{PAGE.name}")
    given = parser.parse_args()
    if not can_make_namespaces():
        sys.exit("network namespaces are needed: root, and ip and nsenter of iproute2 and util-linux")
    scenarios = short() if given.short else full(given.times, given.outage_s, given.per_s)
    chosen = [each for each in scenarios if not given.only or each.name in given.only.split(",")]
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    with ChaosCluster(folder) as cluster:
        reports = asyncio.run(run(cluster, chosen))
    if given.report:
        publish(dict(zip((each.name for each in chosen), reports, strict=True)))
    if any(report.faults for report in reports):
        sys.exit(f"there were faults; the logs are in {folder}")
    shutil.rmtree(folder)
