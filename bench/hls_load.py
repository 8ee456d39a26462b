"""HLS under load: 200 streams segmented at once by one hls node, and 5,000 playlists a second through one edge.

Segmenting (`_many_streams.py`): one standalone server, on one core, takes all streams in and makes TS, low-latency fMP4 or both of
them; no segment may be late or given up. Reloading (`_reloading.py`), in a cluster of processes: players of low-latency HLS ask for
the playlist with one part more as soon as they have the one before, which the edge answers when there is such a part; the edge has
a core to itself where there are two. That is a steady rate, which does not rise with how fast it answers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

from bench import _load, _many_streams, _reloading, _report, _rounds
from bench._many_streams import PLAYLISTS, SHOWN
from bench._report import Judged

LEAST_RATE = 0.98  #: of the reloads a second that are due
RELOADED = (1, 10)  #: streams among which the players are divided
RESULTS = _load.BUILT / "hls_load.json"
TITLE = "HLS under load: 200 streams at once, and 5,000 playlists a second"
LIMITS = (
    "What limits it: a server does the same for every unit of a stream, whether anybody watches, so streams are limited by units "
    "a second on its core; hls nodes and edges of their own share them. Players of one stream all ask for the same playlist at "
    "the same moment: an edge asks once for all of them, and then answers them one after the other, so the last one waits for "
    "all others. Players of more streams wait less, as parts are not made at one moment; more edges, or workers, share the "
    "answers."
)


def judge(
    plan: argparse.Namespace, cut: _rounds.Found[_many_streams.Sample], asked: _rounds.Found[_reloading.Sample]
) -> list[Judged]:
    """No segment is late or given up; no playlist is, and all are asked for."""
    judged = []
    for kind, shown in SHOWN.items():
        if label_of(kind) not in cut.samples:
            continue
        mine, what = cut.of(label_of(kind)), f"{plan.streams} streams, {shown}"
        late = sum(each.late + each.late_parts for each in mine) if mine else None
        lost = sum(each.given_up for each in mine) if mine else None
        judged.append(Judged(what=f"{what}: segments that were late", found=late, bar=0))
        judged.append(Judged(what=f"{what}: units or segments given up", found=lost, bar=0))
    for streams in plan.reloaded:
        if label_of(streams) not in asked.samples:
            continue
        answered, what = asked.of(label_of(streams)), f"playlists of {streams} streams"
        failed = sum(each.reloads.failed for each in answered) if answered else None
        rate = asked.median(label_of(streams), lambda each: each.reloads.per_s / plan.per_s)
        judged.append(Judged(what=f"{what}: that failed", found=failed, bar=0))
        judged.append(Judged(what=f"{what}: of {plan.per_s:g} a second", found=rate, bar=LEAST_RATE, at_least=True))
    return judged


def label_of(what: str | int) -> str:
    """How a subject is chosen with --only: by a format, or by a number of streams that is reloaded."""
    return f"reloading-{what}" if isinstance(what, int) else f"segmenting-{what}"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = _rounds.parser("hls_load", __doc__, RESULTS, rounds=3, seconds=12, warm_up=6)
    parser.add_argument("--streams", type=int, default=200, help="that are segmented (%(default)s)")
    parser.add_argument("--settle", type=float, default=12, help="seconds of segmenting before its measurement (%(default)s)")
    parser.add_argument("--per-s", type=float, default=5000, help="playlists a second (%(default)s)")
    parser.add_argument("--reloaded", type=int, nargs="+", default=RELOADED, help="streams whose playlists are asked for (1 10)")
    return parser.parse_args()


def main() -> None:
    """Measure, print, keep; exit with 1 if a sample was worthless or a bar is missed."""
    plan = arguments()
    _load.raise_file_limit(round(plan.per_s / _reloading.PARTS_PER_S) + plan.streams)
    missing = _rounds.needs_of_a_cluster()
    cutting = [_rounds.Subject(label_of(kind), partial(_many_streams.measure, plan, kind), missing) for kind in PLAYLISTS]
    asking = [_rounds.Subject(label_of(streams), partial(_reloading.measure, plan, streams), missing) for streams in plan.reloaded]
    cut = _rounds.run(_rounds.choose(cutting, plan.only), plan.rounds)
    asked = _rounds.run(_rounds.choose(asking, plan.only), plan.rounds)
    paragraphs = []
    if rows := [_many_streams.row(kind, cut.of(label_of(kind))) for kind in PLAYLISTS if cut.of(label_of(kind))]:
        paragraphs += [_many_streams.introduction(plan), _report.table(_many_streams.HEAD, rows)]
    if rows := [_reloading.row(asked.of(label_of(streams))) for streams in plan.reloaded if asked.of(label_of(streams))]:
        paragraphs += [_reloading.introduction(plan), _report.table(_reloading.HEAD, rows)]
    samples: Mapping[str, Any] = cut.samples | asked.samples
    found: _rounds.Found[Any] = _rounds.Found(dict(samples), cut.problems | asked.problems)
    judged = judge(plan, cut, asked)
    sys.exit(_rounds.conclude("hls_load", TITLE, [*paragraphs, LIMITS], plan, found, judged=judged))


if __name__ == "__main__":
    main()
