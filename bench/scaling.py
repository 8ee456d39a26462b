"""How the cost of fan-out grows: with the players of one stream, with its bit rate, and with the streams that players share out.

Point by point, lalmesh beside the floor where the floor can do it, each frame at once and gathered as lalmesh does by default: by
the players of a stream, for 100 ms at most, and the floor for as long. What is looked for is the shape: straight in the players,
flat in the streams, and how much of it bits are. A point at which players got too little while the server's core was full is beyond
what it carries: that has no figure, and is named. Whatever else makes a sample worthless is a failure, in one round as in all.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from support.cluster import PROGRAM, Standalone
from support.media import media

from bench import _load, _report, _rounds, fanout, publish
from bench._plots import Curve, Plot
from bench.fanout import (
    AT_ONCE,
    CONNECT_S,
    GATHERED_MS,
    LEAST_SHARE,
    PLAYERS_PER_MS,
    STREAM_MEDIA,
    STREAM_READY_S,
    gathered_ms,
    stream_kbps,
)
from bench.publish import FULL_PERCENT

PLAYERS = (100, 250, 500, 1000, 1500, 2000)
MEDIA = ("bench_600k", "bench_1m", STREAM_MEDIA, "bench_6m")
STREAMS = (1, 10, 50, 100, 200)
SHARED_PLAYERS = 400  #: of all streams together, and of each bit rate
SERVERS = ("floor", "lalmesh")
APP, NAME = "live", "bench-"
RESULTS = _load.BUILT / "scaling.json"
TITLE = "How fan-out grows: players, bit rate, streams"


@dataclass(slots=True, frozen=True)
class Sample:
    """One point of a curve."""

    at: float  #: players, Mbit/s or streams
    usage: _load.Usage
    players: _load.Players
    due_kbps: float  #: that a player should have got
    writes: float = 0.0  #: a second and player
    gathered_ms: int = 0  #: for so long, by the players of a stream; each frame at once: 0

    @property
    def lack(self) -> str:
        """What the players lacked, if anything."""
        if self.players.closed:
            return f"{self.players.closed} players were closed"
        if self.players.lowest_kbps < LEAST_SHARE * self.due_kbps:
            return f"one player got {self.players.lowest_kbps:.0f} kbit/s of {self.due_kbps:.0f}"
        return ""

    @property
    def is_beyond(self) -> bool:
        """Whether players got too little as the server had no more to give; none may be closed for that."""
        return bool(self.lack) and not self.players.closed and self.usage.cpu_percent >= FULL_PERCENT

    @property
    def problem(self) -> str:
        """What makes it worthless, if anything."""
        return "" if self.is_beyond else self.lack

    @property
    def shown(self) -> str:
        """In a few words."""
        taken = f"{self.usage.cpu_percent:.1f}% of a core, the players {self.players.cpu_percent:.0f}%"
        return ", ".join(filter(None, (taken, self.lack)))


def of_one_stream(at: float, subject: fanout.Subject, plan: argparse.Namespace, folder: Path, stack: ExitStack) -> Sample:
    """One server with the players of one stream."""
    found = fanout.measured(subject, plan, folder, stack)
    return Sample(at, found.usage, found.players, stream_kbps(subject.media), found.writes, subject.gathered_ms)


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
    _load.wait_playing(players, CONNECT_S)
    time.sleep(plan.warm_up)
    sent, begun = _load.data_segments(port), time.monotonic()
    used = _load.usage(node.pid, plan.seconds)
    writes = (_load.data_segments(port) - sent) / (time.monotonic() - begun) / SHARED_PLAYERS
    got = _load.played(players, plan.seconds + _load.MARGIN_S)
    return Sample(streams, used, got, stream_kbps(), writes, shared_ms(streams, gather_ms))


def shared_ms(streams: int, gather_ms: int) -> int:
    """How long is gathered where as many streams share out the players."""
    return gathered_ms(SHARED_PLAYERS // streams, gather_ms)


def subjects(plan: argparse.Namespace) -> list[_rounds.Subject[Sample]]:
    """Every point of every curve: those that are compared follow each other."""
    missing = "" if Path(PROGRAM).exists() else f"{PROGRAM} is missing"
    made = [
        _rounds.Subject(label(curve, server, ms, what), partial(of_one_stream, at, _one(server, ms, players, file), plan), missing)
        for curve, what, at, players, file in _places(plan)
        for ms in GATHERED_MS
        for server in SERVERS
    ]
    made += [
        _rounds.Subject(label("streams", "lalmesh", ms, streams), partial(of_streams, streams, ms, plan), missing)
        for streams in plan.streams
        for ms in GATHERED_MS
    ]
    return made


def _places(plan: argparse.Namespace) -> Iterator[tuple[str, object, float, int, str]]:
    """Of the curves of one stream: the curve, how a point is called, where it is, players, file."""
    for players in plan.players:
        yield "players", players, players, players, STREAM_MEDIA
    for file in MEDIA:
        yield "rate", file, stream_kbps(file) / 1000, SHARED_PLAYERS, file


def _one(server: str, gather_ms: int, players: int, file: str) -> fanout.Subject:
    start = fanout.floor(gathered_ms(players, gather_ms), file) if server == "floor" else fanout.lalmesh("flv", gather_ms)
    return fanout.Subject(server, "flv", gather_ms, start, players=players, media=file)


def label(curve: str, server: str, gather_ms: int, at: object) -> str:
    """How a point is chosen with --only."""
    return f"{curve}-{server}-{gather_ms}-{at}"


# what was found

GATHERED = "gathered, ms"  #: the column that says how long that was
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
            if points:
                made.append(Curve(label=f"{server}, {how(ms)}", points=points, dashed=server == "floor"))
    return made


def how(gather_ms: int) -> str:
    """How frames are sent, in words that hold for any number of players."""
    return f"gathered {gather_ms} ms at most" if gather_ms else "each frame at once"


def _percent(sample: Sample) -> float:
    return sample.usage.cpu_percent


def plots(found: _rounds.Found[Sample]) -> list[Plot]:
    """One for each thing that grows."""
    return [
        Plot(name=f"scaling-{curve}", title=TITLES[curve], x=axis, y="% of a core", curves=curves(curve, found), limit=100)
        for curve, axis in AXES.items()
    ]


def table(curve: str, found: _rounds.Found[Sample]) -> str:
    """The same in figures: for how long is gathered, each line, and how much more than the floor lalmesh took in the same round."""
    held = {sample.at: str(sample.gathered_ms) for sample in _gathered(curve, found)}
    columns = {GATHERED: held} if held else {}
    columns |= {line.label: {at: f"{value:.1f}" for at, value in line.points} for line in curves(curve, found)}
    for ms in GATHERED_MS:
        if ratios := ratios_to_floor(curve, ms, found):
            columns[f"x floor, {how(ms)}"] = {at: f"{ratio:.2f}" for at, ratio in ratios.items()}
    places = sorted({at for cells in columns.values() for at in cells})
    rows = [[_place(at), *(cells.get(at, "") for cells in columns.values())] for at in places]
    return _report.table([AXES[curve], *columns], rows)


def _gathered(curve: str, found: _rounds.Found[Sample]) -> Iterator[Sample]:
    """The samples of all points of a curve at which frames are gathered, by whomever."""
    starts = tuple(label(curve, server, ms, "") for server in SERVERS for ms in GATHERED_MS if ms)
    return (sample for name in found.samples if name.startswith(starts) for sample in found.of(name))


def ratios_to_floor(curve: str, ms: int, found: _rounds.Found[Sample]) -> dict[float, float]:
    """How much more processor time lalmesh takes than the floor, by the place of a point."""
    start = label(curve, "lalmesh", ms, "")
    ratios = {}
    for name in found.samples:
        if not name.startswith(start):
            continue
        ratio = found.ratio(name, label(curve, "floor", ms, name.removeprefix(start)), _percent)
        if ratio is not None:
            ratios[found.of(name)[0].at] = ratio
    return ratios


def _place(at: float) -> str:
    return f"{at:.2g}" if at < 10 else f"{at:.0f}"


AS_DEFAULT = (
    f"Gathered {max(GATHERED_MS)} ms at most: lalmesh gathers by default one millisecond for each {PLAYERS_PER_MS} players of a "
    f"stream, and the floor is started with as long, so that a ratio compares equal gathering; `{GATHERED}` says how long that is"
)
NO_FLOOR = (
    "Streams have no floor beside them: one process of it has one stream, which it reads from a file, and so many processes would "
    "not be one server that takes streams in"
)


def introduction(plan: argparse.Namespace) -> str:
    """What the tables show."""
    return (
        f"HTTP-FLV, {plan.rounds} rounds of {plan.seconds:g} s a point, median, percent of a core; the server has a core to "
        "itself, and the players have the other: a sample that they could not follow is worthless. lalmesh runs right after, or "
        f"right before, the floor; ratios are taken within a round. {AT_ONCE}. {AS_DEFAULT}. {NO_FLOOR}."
    )


def limits(found: _rounds.Found[Sample]) -> str:
    """What the curves are made of."""
    at_once, longest = (_writes(ms, found) for ms in (min(GATHERED_MS), max(GATHERED_MS)))
    return (
        f"What limits it: with each frame at once a player costs its writes{at_once}, whatever is in them; so the curve is "
        f"straight in the players, and bits count little until copying them does. Gathered, there are fewer writes{longest}, and "
        "bits are most of it. A stream adds its publisher, and with few players each gathers less. What would move it: see the "
        "fan-out."
    )


def _writes(ms: int, found: _rounds.Found[Sample]) -> str:
    """How many a player of one stream gets of lalmesh, over all numbers of players."""
    start = label("players", "lalmesh", ms, "")
    values = [found.median(name, lambda sample: sample.writes) for name in found.samples if name.startswith(start)]
    known = [value for value in values if value is not None]
    return f" ({min(known):.0f} to {max(known):.0f} a second, the fewer the more players)" if known else ""


def carried(found: _rounds.Found[Sample]) -> _rounds.Found[Sample]:
    """What was found, without the points that were in any round beyond what the server can carry."""
    within = {name: mine for name, mine in found.samples.items() if not any(one.is_beyond for one in found.of(name))}
    return _rounds.Found(within)


def beyond(found: _rounds.Found[Sample]) -> list[str]:
    """The points that these were, in a paragraph, if there are any."""
    told = []
    for name, mine in found.samples.items():
        if over := [sample for sample in found.of(name) if sample.is_beyond]:
            told.append(f"`{name}` ({over[0].shown}, in {len(over)} of {len(mine)} rounds)")
    return [f"Beyond what the server's core carries, and so without a figure: {'; '.join(told)}."] if told else []


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = _rounds.parser("scaling", __doc__, RESULTS, rounds=2, seconds=6, warm_up=3)
    parser.add_argument("--players", type=int, nargs="+", default=PLAYERS, help="of one stream (100 250 500 1000 1500 2000)")
    parser.add_argument("--streams", type=int, nargs="+", default=STREAMS, help="that players share out (1 10 50 100 200)")
    return parser.parse_args()


def main() -> None:
    """Measure, print, keep; exit with 1 if a sample was worthless."""
    plan = arguments()
    _load.raise_file_limit(max(*plan.players, SHARED_PLAYERS))
    found = _rounds.run(_rounds.choose(subjects(plan), plan.only), plan.rounds)
    within = carried(found)
    tables = [table(curve, within) for curve in AXES if curves(curve, within)]
    paragraphs = [introduction(plan), *tables, *beyond(found), limits(within)]
    sys.exit(_rounds.conclude("scaling", TITLE, paragraphs, plan, found, plots=plots(within)))


if __name__ == "__main__":
    main()
