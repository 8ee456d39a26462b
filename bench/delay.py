"""How long a frame is on its way through edge, origin and edge, and how long a new player waits for its first one.

Every node is a process of its own, with etcd and a scheduler. A publisher writes down when it sent each frame, and of 1 and 500
players at the edge that plays the last one writes down when each came, for each time that frames may be gathered for. Then players
come one after the other, by HTTP-FLV and by RTMP, and leave with their first key frame. The playing edge has a core to itself where
there are two; all else, the origin and the other edge too, shares the others with the load.
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

from support.media import media
from support.process import Child, wait_until

from bench import _joining, _load, _meter, _report, _road, _rounds, _stamps
from bench._plots import Curve, Plot
from bench._report import Judged
from bench.fanout import AT_ONCE, CONNECT_S, LEAST_SHARE, stream_kbps
from lalmesh.runtime.config import FanOutConfig, LinkConfig
from services.edge.fanout import LEAST_PLAYERS_PER_SENDING_MS

STREAM = "live/delay"
PLAYERS = (1, 500)
GATHER_MS = (0, 20, 100)
MOST_MS = 15.0  #: p99 of the delay, over all units of all rounds, beyond the time that frames are gathered for
MOST_JOIN_MS = 50.0  #: p99 of the wait for the first frame
PLAYERS_PER_MS = FanOutConfig().players_per_delay_ms  #: frames are gathered for a millisecond for each so many players
FIRST_FRAME_S = 15.0  #: for a stream to come through once, and for the looking player to begin
JOINS, JOIN_S = 100, 5.0  #: so many players come, within so many seconds
PROTOCOLS = ("http", "rtmp")
RESULTS = _load.BUILT / "delay.json"
TITLE = "Delay: from a publisher to players through edge, origin and edge"
LIMITS = (
    "What limits it: the way through three processes is two links, and a link sends at once what comes more than "
    f"{LinkConfig().flush_ms} ms after the last batch. With many players the last of them waits for the writes to all others, so "
    "the time that one frame takes the playing edge's core is the rest of the delay; gathering adds its own time, up to all of it. "
    "More edges, or workers on more cores, move it; a join is one write of what is cached from the last key frame on, and its wait "
    "is that of whatever the core does just then."
)


@dataclass(slots=True, frozen=True)
class Sample:
    """One number of players with one gathering time, in one round."""

    delay: _stamps.Delays
    joins: dict[str, _joining.Joins]  #: by protocol
    usage: dict[str, _load.Usage]  #: by node on the road, while the delay was measured
    lowest_kbps: float  #: of a player of the crowd; 0 where there is none
    closed: int

    @property
    def problem(self) -> str:
        """What makes it worthless, if anything."""
        if not self.delay.units or self.delay.missing or self.delay.doubled:
            return f"of {self.delay.units} frames {self.delay.missing} did not come, {self.delay.doubled} came again"
        if self.closed or 0 < self.lowest_kbps < LEAST_SHARE * stream_kbps():
            return f"{self.closed} players were closed, the slowest got {self.lowest_kbps:.0f} kbit/s"
        return next((f"{name}: {joins.problem}" for name, joins in self.joins.items() if joins.problem), "")

    @property
    def shown(self) -> str:
        """In a few words."""
        joins = ", ".join(f"{name} {joins.p99_ms:.1f}" for name, joins in self.joins.items())
        return f"p50 {self.delay.p50_ms:.1f}, p99 {self.delay.p99_ms:.1f}, worst {self.delay.worst_ms:.1f} ms; join p99 {joins} ms"


def label(players: int, gather_ms: int) -> str:
    """How a subject is chosen with --only."""
    return f"{players}-players-{gather_ms}"


def gathered_ms(players: int, gather_ms: int) -> int:
    """How long frames are gathered for on account of players, that may be for `gather_ms`."""
    return min(gather_ms, players // PLAYERS_PER_MS)


class Measured:
    """One subject, once: a cluster with its publisher and players."""

    def __init__(self, plan: argparse.Namespace, folder: Path, stack: ExitStack, gather_ms: int) -> None:
        """Start the nodes and the publisher."""
        self._plan, self._folder, self._stack = plan, folder, stack
        cores = _load.Cores(apart=plan.pin)
        self._road = _road.Road(folder, stack, cores, settings={"edge": {"edge.fanout.max_delay_ms": gather_ms}})
        self._edge = self._road.playing[0]
        cores.give_server(self._edge.pid)
        self._sent, self._got = folder / "sent", folder / "got"
        self._road.load(_stamps.pushing(media("bench"), self._road.publishing.rtmp_url(STREAM), self._sent))

    def sample(self, players: int) -> Sample:
        """Measure with so many."""
        plan = self._plan
        crowd = self._crowd(players - 1)
        looking = self._road.load(_stamps.playing(self._edge.flv_url(STREAM), self._got))
        wait_until("a frame at the player", lambda: bool(_stamps.read(self._got)), FIRST_FRAME_S, child=looking)
        time.sleep(plan.warm_up)
        meter, since_ns = _meter.Meter(self._road.pids()), time.monotonic_ns()
        time.sleep(plan.seconds)
        usage, until_ns = meter.read(), time.monotonic_ns()
        joins = {protocol: self._joins(protocol) for protocol in PROTOCOLS}
        got = _load.played(crowd, FIRST_FRAME_S + _load.MARGIN_S) if crowd is not None else None
        looking.stop()
        delay = _stamps.matched(_stamps.read(self._sent), _stamps.read(self._got), since_ns, until_ns)
        return Sample(delay, joins, usage, got.lowest_kbps if got else 0.0, got.closed if got else 0)

    def _crowd(self, players: int) -> Child | None:
        if not players:
            return None
        stays_s = FIRST_FRAME_S + self._plan.warm_up + self._plan.seconds + len(PROTOCOLS) * (JOIN_S + 1)
        crowd = _load.play(_road.flv(self._edge, STREAM), players, stays_s, self._plan.warm_up, self._folder / "players.log")
        self._road.load(crowd)
        _load.wait_playing(crowd, CONNECT_S)
        return crowd

    def _joins(self, protocol: str) -> _joining.Joins:
        url = _road.flv(self._edge, STREAM) if protocol == "http" else _road.rtmp(self._edge, STREAM)
        joining = self._road.load(_joining.start(url, JOINS, JOIN_S, 0, self._folder / f"{protocol}.log"))
        return _joining.result(joining, JOIN_S, 0)


def subjects(plan: argparse.Namespace) -> list[_rounds.Subject[Sample]]:
    """Each number of players with each gathering time; one player is never gathered for."""

    def measure(players: int, gather_ms: int, folder: Path, stack: ExitStack) -> Sample:
        return Measured(plan, folder, stack, gather_ms).sample(players)

    missing = _rounds.needs_of_a_cluster()
    shapes = [(players, gather_ms) for players in plan.players for gather_ms in plan.gather]
    return [_rounds.Subject(label(*shape), partial(measure, *shape), missing) for shape in shapes]


HEAD = [
    "players",
    "max_delay_ms",
    "gathered for, ms",
    "delay p50 ms",
    "p99 ms",
    "lowest-highest",
    "worst ms",
    "first frame HTTP-FLV, p50 ms",
    "p99 ms",
    "RTMP, p50 ms",
    "p99 ms",
    "publishing edge, % of a core",
    "origin, %",
    "playing edge, %",
]


def row(players: int, gather_ms: int, mine: Sequence[Sample]) -> list[str]:
    """The line of one subject: medians over the rounds, the 99th percentile of all of them together, and the worst of all."""
    median = _rounds.medians(mine)
    p99s_ms = [each.delay.p99_ms for each in mine]
    nodes = ("publishing edge", "origin", "playing edge")
    return [
        str(players),
        str(gather_ms),
        str(gathered_ms(players, gather_ms)),
        median(lambda each: each.delay.p50_ms),
        f"{p99_ms(mine):.1f}",
        f"{min(p99s_ms):.1f}-{max(p99s_ms):.1f}",
        f"{max(each.delay.worst_ms for each in mine):.1f}",
        *(median(of) for name in PROTOCOLS for of in (_join("p50_ms", name), _join("p99_ms", name))),
        *(median(_percent(node)) for node in nodes),
    ]


def p99_ms(samples: Sequence[Sample]) -> float:
    """Of the delays of all units of all rounds."""
    return _stamps.pooled_p99_ms([each.delay for each in samples])


def _join(field: str, protocol: str) -> Callable[[Sample], float]:
    return lambda sample: float(getattr(sample.joins[protocol], field))


def _percent(node: str) -> Callable[[Sample], float]:
    return lambda sample: sample.usage[node].cpu_percent


def judge(found: _rounds.Found[Sample], players: Sequence[int], gather: Sequence[int]) -> list[Judged]:
    """The bars, with the largest number of players."""
    most, judged = max(players), []
    for gather_ms in gather:
        mine, held_ms = found.of(label(most, gather_ms)), gathered_ms(most, gather_ms)
        beyond_ms = p99_ms(mine) - held_ms if mine else None
        what = f"delay, p99 of all rounds beyond the {held_ms} ms of gathering, {most} players"
        judged.append(Judged(what=what, found=beyond_ms, bar=MOST_MS, unit="ms"))
    for name, shown in zip(PROTOCOLS, ("HTTP-FLV", "RTMP"), strict=True):
        worst = max((_join("p99_ms", name)(one) for each in gather for one in found.of(label(most, each))), default=None)
        what = f"first frame, {shown}, p99 of the worst round, {most} players"
        judged.append(Judged(what=what, found=worst, bar=MOST_JOIN_MS, unit="ms"))
    return judged


def plots(found: _rounds.Found[Sample], players: Sequence[int], gather: Sequence[int]) -> list[Plot]:
    """Delay against the gathering time."""
    values: dict[str, Callable[[Sequence[Sample]], float]] = {
        "p50": lambda mine: statistics.median(each.delay.p50_ms for each in mine),
        "p99": p99_ms,
    }
    curves = [
        Curve(label=f"{number} players, {name}", points=_points(found, number, gather, of), dashed=name == "p50")
        for number in players
        for name, of in values.items()
    ]
    title = "Delay from publisher to player through edge, origin, edge"
    return [Plot(name="delay", title=title, x="frames may be gathered for, ms", y="ms", curves=curves)]


def _points(
    found: _rounds.Found[Sample], players: int, gather: Sequence[int], of: Callable[[Sequence[Sample]], float]
) -> list[tuple[float, float]]:
    samples = [(float(gather_ms), found.of(label(players, gather_ms))) for gather_ms in gather]
    return [(gather_ms, of(mine)) for gather_ms, mine in samples if mine]


def introduction(plan: argparse.Namespace) -> str:
    """What the table shows."""
    return (
        f"One stream of {stream_kbps() / 1000:.1f} Mbit/s (H.264 at 30 pictures a second, AAC), published by RTMP at one edge, "
        f"played by HTTP-FLV at another, with an origin between them: three processes, linked by gRPC on loopback. {plan.rounds} "
        f"rounds of {plan.seconds:g} s each: medians, the 99th percentile of the delays of all rounds together beside the lowest "
        "and the highest of one round, and the worst of all. The delay is that of every frame, from the publisher's call of the "
        "kernel to that of one of the players, matched by time and bytes: a block is written to the players from another one on "
        "each time, so that one stands for all. `gathered for` is the "
        "longest that the playing edge holds frames back on account of its players: what it is told to, and a millisecond for each "
        f"{PLAYERS_PER_MS} of them at most. {AT_ONCE}; with fewer than {LEAST_PLAYERS_PER_SENDING_MS} players nothing is gathered "
        f"then. First frame: {JOINS} players come within {JOIN_S:g} s, beside those that are there, each waits from connect until "
        "it has a key frame whole. The playing edge has a core to itself; everything else shares the other with the players."
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = _rounds.parser("delay", __doc__, RESULTS, rounds=3, seconds=15, warm_up=3)
    parser.add_argument("--players", type=int, nargs="+", default=PLAYERS, help="at the playing edge (1 500)")
    parser.add_argument("--gather", type=int, nargs="+", default=GATHER_MS, metavar="MS", help="longest gathering times (0 20 100)")
    return parser.parse_args()


def main() -> None:
    """Measure, print, keep; exit with 1 if a sample was worthless or a bar is missed."""
    plan = arguments()
    _load.raise_file_limit(max(plan.players) + JOINS)
    found = _rounds.run(_rounds.choose(subjects(plan), plan.only), plan.rounds)
    shapes = [(players, gather_ms) for players in plan.players for gather_ms in plan.gather]
    rows = [row(*shape, found.of(label(*shape))) for shape in shapes if found.of(label(*shape))]
    paragraphs = [introduction(plan), _report.table(HEAD, rows), LIMITS]
    judged, drawn = judge(found, plan.players, plan.gather), plots(found, plan.players, plan.gather)
    sys.exit(_rounds.conclude("delay", TITLE, paragraphs, plan, found, judged=judged, plots=drawn))


if __name__ == "__main__":
    main()
