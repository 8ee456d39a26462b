"""How the cost of fan-out grows: with the players of one stream, with its bit rate, and with the streams that players share out.

One curve at a time, lalmesh beside the floor where the floor can do it, each frame at once and gathered for 100 ms at most. What is
looked for is the shape: straight in the players, flat in the streams, and how much of it bits are.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from support.cluster import PROGRAM, Standalone
from support.media import media
from support.process import wait_until

from bench import _load, _report, _rounds, fanout, publish
from bench._plots import Curve, Plot
from bench.fanout import CONNECT_S, GATHERED_MS, LEAST_SHARE, LOOK_S, STREAM_MEDIA, STREAM_READY_S, stream_kbps

PLAYERS = (100, 250, 500, 1000, 1500, 2000)
MEDIA = ("bench_600k", "bench_1m", STREAM_MEDIA, "bench_6m")
STREAMS = (1, 10, 50, 100, 200)
SHARED_PLAYERS = 400  #: of all streams together, and of each bit rate
SERVERS = ("floor", "lalmesh")
APP, NAME = "live", "bench-"
RESULTS = _load.BUILT / "scaling.json"
TITLE = "How fan-out grows: players, bit rate, streams"
LIMITS = (
    "What limits it: with each frame at once a player costs its writes, 73 a second, whatever is in them; so the curve is straight "
    "in the players, and bits count little until copying them does. Gathered, it is ten writes a second, and bits are most of it. "
    "A stream adds its publisher, and with few players each gathers less. What would move it: see the fan-out."
)


@dataclass(slots=True, frozen=True)
class Sample:
    """One point of a curve."""

    at: float  #: players, Mbit/s or streams
    usage: _load.Usage
    players: _load.Players
    due_kbps: float  #: that a player should have got

    @property
    def problem(self) -> str:
        """What makes it worthless, if anything."""
        if self.players.closed:
            return f"{self.players.closed} players were closed"
        if self.players.lowest_kbps < LEAST_SHARE * self.due_kbps:
            return f"one player got {self.players.lowest_kbps:.0f} kbit/s of {self.due_kbps:.0f}"
        return ""

    @property
    def shown(self) -> str:
        """In a few words."""
        return f"{self.usage.cpu_percent:.1f}% of a core, the players {self.players.cpu_percent:.0f}%"


def of_one_stream(at: float, subject: fanout.Subject, plan: argparse.Namespace, folder: Path, stack: ExitStack) -> Sample:
    """One server with the players of one stream; `folder` and `stack` are those of every subject."""
    found = fanout.measure(subject, plan)
    return Sample(at, found.usage, found.players, stream_kbps(subject.media))


def of_streams(streams: int, gather_ms: int, plan: argparse.Namespace, folder: Path, stack: ExitStack) -> Sample:
    """lalmesh with as many players of so many streams together."""
    cores = _load.Cores(apart=plan.pin)
    node = stack.enter_context(Standalone(folder, {"edge.fanout.max_delay_ms": gather_ms}))
    cores.give_server(node.pid)
    load = stack.enter_context(_load.publish(node.ports["rtmp"], streams, 0, 0, media(STREAM_MEDIA), folder / "publishers.log"))
    cores.give_load(load.pid)
    _load.wait_published(load, publish.BEGIN_S + publish.BEGIN_EACH_S * streams)
    time.sleep(STREAM_READY_S)
    url = ("http", str(node.ports["http"]), f"/{APP}/{NAME}%d.flv")
    counted_s = plan.warm_up + plan.seconds + 1
    players = _load.play(url, SHARED_PLAYERS, counted_s, plan.warm_up, folder / "players.log", streams=streams)
    stack.enter_context(players)
    cores.give_load(players.pid)
    port = node.ports["http"]
    wait_until("players", lambda: _load.connections(port) >= SHARED_PLAYERS, CONNECT_S, child=players, every_s=LOOK_S)
    time.sleep(plan.warm_up)
    used = _load.usage(node.pid, plan.seconds)
    return Sample(streams, used, _load.played(players, plan.seconds + _load.MARGIN_S), stream_kbps())


def subjects(plan: argparse.Namespace) -> list[_rounds.Subject[Sample]]:
    """Every point of every curve."""
    missing = "" if Path(PROGRAM).exists() else f"{PROGRAM} is missing"
    made = []
    for ms in GATHERED_MS:
        for server in SERVERS:
            of_players = [(label("players", server, ms, players), players, STREAM_MEDIA) for players in plan.players]
            of_rates = [(label("rate", server, ms, file), SHARED_PLAYERS, file) for file in MEDIA]
            for name, players, file in (*of_players, *of_rates):
                at = players if name.startswith("players") else stream_kbps(file) / 1000
                measure = partial(of_one_stream, at, _one(server, ms, players, file), plan)
                made.append(_rounds.Subject(name, measure, missing))
        of_many = [(label("streams", "lalmesh", ms, streams), streams) for streams in plan.streams]
        made += [_rounds.Subject(name, partial(of_streams, streams, ms, plan), missing) for name, streams in of_many]
    return made


def _one(server: str, gather_ms: int, players: int, file: str) -> fanout.Subject:
    start = fanout.floor(gather_ms, file) if server == "floor" else fanout.lalmesh("flv", gather_ms)
    return fanout.Subject(server, "flv", gather_ms, start, players=players, media=file)


def label(curve: str, server: str, gather_ms: int, at: object) -> str:
    """How a point is chosen with --only."""
    return f"{curve}-{server}-{gather_ms}-{at}"


# what was found

AXES = {
    "players": "players of one stream of 2.6 Mbit/s",
    "rate": f"Mbit/s of the stream, {SHARED_PLAYERS} players",
    "streams": f"streams of 2.6 Mbit/s, {SHARED_PLAYERS} players together",
}
TITLES = {
    "players": "Processor time against players",
    "rate": "Processor time against bit rate",
    "streams": "Processor time against streams",
}


def curves(curve: str, found: _rounds.Found[Sample]) -> list[Curve]:
    """The lines of one plot."""
    made = []
    for server in SERVERS:
        for ms in GATHERED_MS:
            mine = [name for name in found.samples if name.startswith(f"{curve}-{server}-{ms}-") and found.of(name)]
            points = [(found.of(name)[0].at, found.median(name, _percent) or 0.0) for name in mine]
            how = f"gathered {ms} ms" if ms else "each frame at once"
            if points:
                made.append(Curve(label=f"{server}, {how}", points=points, dashed=server == "floor"))
    return made


def _percent(sample: Sample) -> float:
    return sample.usage.cpu_percent


def plots(found: _rounds.Found[Sample]) -> list[Plot]:
    """One for each thing that grows."""
    return [
        Plot(name=f"scaling-{curve}", title=TITLES[curve], x=axis, y="% of a core", curves=curves(curve, found), limit=100)
        for curve, axis in AXES.items()
    ]


def table(curve: str, found: _rounds.Found[Sample]) -> str:
    """The same in figures: a column for each line."""
    lines = curves(curve, found)
    values = [dict(line.points) for line in lines]
    places = sorted({at for line in values for at in line})
    rows = [[_place(at), *(f"{line[at]:.1f}" if at in line else "" for line in values)] for at in places]
    return _report.table([AXES[curve], *(line.label for line in lines)], rows)


def _place(at: float) -> str:
    return f"{at:.2g}" if at < 10 else f"{at:.0f}"


def introduction(plan: argparse.Namespace) -> str:
    """What the tables show."""
    return (
        f"HTTP-FLV, {plan.rounds} rounds of {plan.seconds:g} s a point, median, percent of a core; the server has a core to "
        "itself, and the players have the other: a point that they could not follow is left out."
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = _rounds.parser("scaling", __doc__, RESULTS, rounds=1, seconds=6, warm_up=3)
    parser.add_argument("--players", type=int, nargs="+", default=PLAYERS, help="of one stream (100 250 500 1000 1500 2000)")
    parser.add_argument("--streams", type=int, nargs="+", default=STREAMS, help="that players share out (1 10 50 100 200)")
    return parser.parse_args()


def main() -> None:
    """Measure, print, keep; exit with 1 if a curve has no point at all."""
    plan = arguments()
    _load.raise_file_limit(max(*plan.players, SHARED_PLAYERS))
    found = _rounds.run(_rounds.choose(subjects(plan), plan.only), plan.rounds)
    shown = [curve for curve in AXES if curves(curve, found)]
    paragraphs: Sequence[str] = [introduction(plan), *(table(curve, found) for curve in shown), LIMITS]
    # Where a curve ends is what it shows, and no failure.
    ended = _rounds.Found(found.samples, {} if shown else found.problems)
    for name, problem in found.problems.items():
        print(f"left out: {name}: {problem}", file=sys.stderr)
    sys.exit(_rounds.conclude("scaling", TITLE, paragraphs, plan, ended, plots=plots(found)))


if __name__ == "__main__":
    main()
