"""HLS under load: 200 streams segmented at once on one core, and 5,000 playlists a second through one edge.

Segmenting (`_many_streams.py`): an hls node in a cluster of processes, on a core of its own, makes TS, low-latency fMP4 or both of
all streams; and so does a standalone server, which takes them in on the same core. No segment may be late or given up.
Reloading (`_reloading.py`), in a cluster of processes: players of low-latency HLS ask for the playlist with one part more as soon
as they have the one before, which the edge answers when there is such a part; the edge has a core to itself where there are two.
That is a steady rate, which does not rise with how fast it answers.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from functools import partial

from bench import _load, _many_streams, _reloading, _report, _rounds
from bench._many_streams import NODE, PLAYLISTS, SERVER, SHOWN
from bench._report import Judged

SEGMENTING = {NODE: "segmenting", SERVER: "alone"}  #: how they are chosen with --only, by the place that segments
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
    """Streams are taken in as they come, no segment is late or given up; no playlist is, and as many are answered as are to be."""
    judged = []
    for place, kind in cuts():
        if label_of(kind, place) not in cut.samples:
            continue
        mine, what = cut.of(label_of(kind, place)), f"{plan.streams} streams, {SHOWN[kind]}, {place}"
        behind = sum(bool(each.behind) for each in mine) if mine else None
        late = sum(each.late + each.late_parts for each in mine) if mine else None
        lost = sum(each.given_up for each in mine) if mine else None
        judged.append(Judged(what=f"{what}: rounds in which it was behind its publishers", found=behind, bar=0))
        judged.append(Judged(what=f"{what}: segments, and looks at newest parts, that were late", found=late, bar=0))
        judged.append(Judged(what=f"{what}: units or segments given up", found=lost, bar=0))
    for streams in plan.reloaded:
        if label_of(streams) not in asked.samples:
            continue
        answered, what = asked.of(label_of(streams)), f"playlists of {streams} streams"
        failed = sum(each.reloads.failed for each in answered) if answered else None
        missed = sum(each.reloads.missed for each in answered) if answered else None
        slowest = min((each.reloads.per_s for each in answered), default=None)
        judged.append(Judged(what=f"{what}: that failed", found=failed, bar=0))
        judged.append(Judged(what=f"{what}: that a player never had", found=missed, bar=0))
        rate = Judged(what=f"{what}: answered in the slowest round", found=slowest, bar=plan.per_s, unit="a second", at_least=True)
        judged.append(rate)
    return judged


def cuts() -> list[tuple[str, str]]:
    """Every place that segments, with every format."""
    return list(itertools.product(SEGMENTING, PLAYLISTS))


def label_of(what: str | int, place: str = NODE) -> str:
    """How a subject is chosen with --only: by a place and a format, or by a number of streams that is reloaded."""
    return f"reloading-{what}" if isinstance(what, int) else f"{SEGMENTING[place]}-{what}"


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
    _load.raise_file_limit(_reloading.most_players(plan.per_s) + plan.streams)
    missing = _rounds.needs_of_a_cluster()
    cutting = [
        _rounds.Subject(
            label_of(kind, place),
            partial(_many_streams.measure, plan, place, kind),
            missing if place == NODE else "",
        )
        for place, kind in cuts()
    ]
    asking = [_rounds.Subject(label_of(streams), partial(_reloading.measure, plan, streams), missing) for streams in plan.reloaded]
    cut = _rounds.run(_rounds.choose(cutting, plan.only), plan.rounds)
    asked = _rounds.run(_rounds.choose(asking, plan.only), plan.rounds)
    paragraphs = []
    found_of = {(place, kind): cut.of(label_of(kind, place)) for place, kind in cuts()}
    if rows := [_many_streams.row(kind, mine) for (_, kind), mine in found_of.items() if mine]:
        paragraphs += [_many_streams.introduction(plan), _report.table(_many_streams.HEAD, rows)]
    if answered := [mine for streams in plan.reloaded if (mine := asked.of(label_of(streams)))]:
        about = _reloading.introduction(plan, [each for mine in answered for each in mine])
        paragraphs += [about, _report.table(_reloading.HEAD, [_reloading.row(mine) for mine in answered])]
    judged, found = judge(plan, cut, asked), _rounds.joined(cut, asked)
    sys.exit(_rounds.conclude("hls_load", TITLE, [*paragraphs, LIMITS], plan, found, judged=judged))


if __name__ == "__main__":
    main()
