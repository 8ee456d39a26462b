"""What players cost on 1, 2 and 4 edges, what a further edge costs the origin, and what they cost on an edge of two workers.

Every node is a process of its own, with etcd and a scheduler. Each edge is to carry as many players: all ask the scheduler's HTTP
API where to go, one after the other, and go there. The playing edges share a core of their own where there are two, so what is
compared is the processor time for a player, and not how much one edge can carry.

Workers of one edge (`edge.workers`) have a core each. Two of them carry twice the players of one, each as many as the one that they
are compared with; and once as many together as it alone, which shows what a second one costs where it is not needed. They share the
edge's port, and the kernel deals players out. The players run on other cores where there are some, else on those of the workers,
and then so for one worker too.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import re
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from support.media import media
from support.ports import LOOPBACK

from bench import _load, _meter, _report, _road, _rounds
from bench._plots import Curve, Plot
from bench._report import Judged
from bench.fanout import AT_ONCE, CONNECT_S, LEAST_SHARE, STREAM_READY_S, gathered, stream_kbps

STREAM = "live/edges"
EDGES = (1, 2, 4)
ROOM = 1.2  #: times the players that an edge is to carry, that it says it has room for
MOST_RATIO = 1.1  #: times the processor time for a player on one edge
MOST_OFF = 0.1  #: of its share of the players, that an edge may have more or fewer
MOST_WORKERS = 2  #: of an edge; each has a core of its own
MOST_WORKER_OFF = 0.15  #: the same of a worker: they are dealt out by chance
GATHER_MS = 20  #: on every edge: longer than sending takes, which would differ with who has the core
LEAST_WRITES = 0.95  #: times as often as on one edge, that is written to a player: what was not written did not cost
NOBODY = _load.Players(0, 0.0, 0.0, 0)
NOTHING = _load.Usage(0.0, 0.0, 0.0, 0.0)
ONLY, WHOLE = "worker 1", "edge"
STARTED = re.compile(r"worker (\d+) started, process (\d+)")
ANSWER_S = 10.0
RESULTS = _load.BUILT / "edges.json"
TITLE = "Edges: players on 1, 2 and 4 of them"
LIMITS = (
    "What limits it: an edge takes a stream once from the origin, however many players it has, and everything else is done for "
    "each player. So edges are added for players, and the origin sees one subscription more for each edge, until its own core is "
    "full. Workers are to the cluster what edges are: each takes a stream from the origin for itself, and packages and writes its "
    "blocks, so what a stream costs once is paid by each worker that has a player of it. The kernel deals players out by chance, "
    "so one worker is full before the others. What would move it: more edges; more origins, or `origin.workers`, which share "
    "streams, though each stream is at one of them; of workers no more than players need, with many players of a stream on each, "
    "and gathering, which makes blocks fewer; or edges in place of workers, among which the scheduler shares players out by what "
    "each has, and as far as that allows sends them where their stream is."
)


@dataclass(slots=True, frozen=True)
class Carried:
    """What one edge carried."""

    players: _load.Players
    usage: _load.Usage


@dataclass(slots=True, frozen=True)
class Sample:
    """One number of edges, in one round."""

    edges: dict[str, Carried]  #: by name; one that got no player, too
    origin: _load.Usage
    routes_s: float | None  #: that all took to be told where to go; None: nobody asked
    writes: float = 0.0  #: a second and player
    beside: _load.Usage = NOTHING  #: of what is there for all of them: the supervisor of workers

    @property
    def players(self) -> int:
        """On all edges."""
        return sum(edge.players.players for edge in self.edges.values())

    @property
    def cpu_percent(self) -> float:
        """Processor time of the playing edges, or of the workers with their supervisor, of one core."""
        return sum(edge.usage.cpu_percent for edge in self.edges.values()) + self.beside.cpu_percent

    @property
    def mb_each(self) -> float:
        """Memory of a playing edge, or of a worker with its part of the supervisor."""
        return (sum(edge.usage.rss_mb for edge in self.edges.values()) + self.beside.rss_mb) / len(self.edges)

    @property
    def us_a_player(self) -> float:
        """The same processor time, microseconds a second and player."""
        return self.cpu_percent * 1e4 / self.players

    @property
    def furthest_off(self) -> float:
        """Of an edge, from its share of the players, as a part of that."""
        share = self.players / len(self.edges)
        return max(abs(edge.players.players / share - 1) for edge in self.edges.values())

    @property
    def problem(self) -> str:
        """What makes it worthless, if anything."""
        for name, edge in self.edges.items():
            got = edge.players
            if got.players and (got.closed or got.lowest_kbps < LEAST_SHARE * stream_kbps()):
                return f"{name}: {got.closed} players were closed, the slowest got {got.lowest_kbps:.0f} kbit/s"
        return ""

    @property
    def shown(self) -> str:
        """In a few words."""
        split = " + ".join(str(edge.players.players) for edge in self.edges.values())
        return f"{split} players, {self.us_a_player:.0f} us a second and player, origin {self.origin.cpu_percent:.1f}%"


def ask_routes(api_url: str, players: int) -> Counter[str]:
    """Where the scheduler sends so many players, one after the other, by names of edges.

    Raises:
        AssertionError: it sends one nowhere.
    """
    found: Counter[str] = Counter()
    where = urlsplit(api_url)
    with contextlib.closing(http.client.HTTPConnection(LOOPBACK, where.port, timeout=ANSWER_S)) as asking:
        for _ in range(players):
            asking.request("GET", f"/v1/route/play?stream={STREAM}&protocol=http-flv")
            answer = asking.getresponse()
            body = answer.read()
            assert answer.status == 200, f"no route: {answer.status} {body.decode()}"
            found[json.loads(body)["edge"]] += 1
    return found


def _measure(plan: argparse.Namespace, edges: int, folder: Path, stack: ExitStack) -> Sample:
    cores = _load.Cores(apart=plan.pin)
    players = edges * plan.players
    settings = {"edge": {"edge.fanout.max_delay_ms": plan.gather, "edge.capacity.sessions": round(plan.players * ROOM)}}
    road = _road.Road(folder, stack, cores, playing=edges, settings=settings)
    for node in road.playing:
        cores.give_server(node.pid)
    limit_s = STREAM_READY_S + CONNECT_S * edges + plan.warm_up + plan.seconds + _load.MARGIN_S
    road.push(media("bench"), STREAM, limit_s)
    time.sleep(STREAM_READY_S)
    begun = time.monotonic()
    sent = ask_routes(road.cluster.api_url, players)
    routes_s = time.monotonic() - begun
    nodes = {node.name: node for node in road.playing}
    elsewhere = sent.keys() - nodes.keys()
    assert not elsewhere, f"players were sent to {', '.join(elsewhere)}"
    stay_s = plan.warm_up + plan.seconds + edges  # the last ones come later
    crowds = {
        name: road.load(_load.play(_road.flv(nodes[name], STREAM), number, stay_s, plan.warm_up, folder / f"{name}.players.log"))
        for name, number in sent.items()
    }
    for crowd in crowds.values():
        _load.wait_playing(crowd, CONNECT_S)
    time.sleep(plan.warm_up)
    pids = {"origin": road.origin.pid, **{name: node.pid for name, node in nodes.items()}}
    usage, writes = _weighed(pids, [node.ports["http"] for node in road.playing], players, plan.seconds)
    got = {name: _load.played(crowd, edges + _load.MARGIN_S) for name, crowd in crowds.items()}
    carried = {name: Carried(got.get(name, NOBODY), usage[name]) for name in nodes}
    return Sample(carried, usage["origin"], routes_s, writes)


def _weighed(pids: Mapping[str, int], ports: Sequence[int], players: int, seconds: float) -> tuple[dict[str, _load.Usage], float]:
    """What processes take during the next seconds, and how often is written to each of so many players at these ports."""
    sent, begun = sum(map(_load.data_segments, ports)), time.monotonic()
    meter = _meter.Meter(pids)
    time.sleep(seconds)
    usage = meter.read()
    return usage, (sum(map(_load.data_segments, ports)) - sent) / (time.monotonic() - begun) / players


@dataclass(slots=True, frozen=True)
class Workers:
    """One edge with so many workers."""

    workers: int
    times: int = 1  #: as many players as one worker has alone

    @property
    def label(self) -> str:
        """How it is chosen with --only."""
        return f"workers-{self.workers}-players-{self.times}"


ONE_WORKER, TWO_WORKERS = Workers(1), Workers(MOST_WORKERS, times=MOST_WORKERS)
SHARING_WORKERS = Workers(MOST_WORKERS)  #: the players of one
WORKERS = (ONE_WORKER, TWO_WORKERS, SHARING_WORKERS)


def _measure_workers(plan: argparse.Namespace, subject: Workers, folder: Path, stack: ExitStack) -> Sample:
    cores, players = sorted(os.sched_getaffinity(0)), plan.each * subject.times
    theirs, others = cores[:MOST_WORKERS], set(cores[MOST_WORKERS:]) or set(cores)
    settings = {"edge": {"edge.fanout.max_delay_ms": plan.gather, "edge.workers": subject.workers}}
    road = _road.Road(folder, stack, _load.Cores(apart=False), settings=settings)
    [edge] = road.playing
    pids = {f"worker {number}": int(pid) for number, pid in STARTED.findall(edge.output())} or {ONLY: edge.pid}
    stay_s = plan.warm_up + plan.seconds + 1
    publisher = road.push(media("bench"), STREAM, STREAM_READY_S + CONNECT_S + stay_s + _load.MARGIN_S)
    time.sleep(STREAM_READY_S)
    port = edge.ports["http"]
    crowd = road.load(_load.play(_road.flv(edge, STREAM), players, stay_s, plan.warm_up, folder / "players.log"))
    if plan.pin:
        for at, pid in enumerate(pids.values()):
            _load.pin(pid, {theirs[at % len(theirs)]})
        for pid in (road.origin.pid, road.publishing.pid, publisher.pid, crowd.pid):
            _load.pin(pid, others)
    _load.wait_playing(crowd, CONNECT_S)
    time.sleep(plan.warm_up)
    split = _load.connections_by_process(port)
    weighed = {"origin": road.origin.pid, WHOLE: edge.pid, **pids}
    usage, writes = _weighed(weighed, [port], players, plan.seconds)
    got = _load.played(crowd, _load.MARGIN_S)
    carried = {name: Carried(replace(got, players=split.get(pid, 0)), usage[name]) for name, pid in pids.items()}
    beside = _without(usage[WHOLE], [usage[name] for name in pids])
    return Sample(carried, usage["origin"], None, writes, beside)


def _without(whole: _load.Usage, parts: Sequence[_load.Usage]) -> _load.Usage:
    """What is left of a process with all its children, but for some of these."""
    left = {each.name: getattr(whole, each.name) - sum(getattr(part, each.name) for part in parts) for each in fields(whole)}
    return _load.Usage(**left)


def label(edges: int) -> str:
    """How a subject is chosen with --only."""
    return f"edges-{edges}"


def subjects(plan: argparse.Namespace) -> list[_rounds.Subject[Sample]]:
    """Each number of edges, and one edge with each number of workers."""
    missing = _rounds.needs_of_a_cluster()
    several = missing or ("" if len(os.sched_getaffinity(0)) >= MOST_WORKERS else "there is one core only")
    edges = [_rounds.Subject(label(number), partial(_measure, plan, number), missing) for number in plan.edges]
    return [*edges, *(_rounds.Subject(each.label, partial(_measure_workers, plan, each), several) for each in WORKERS)]


def head(what: str) -> list[str]:
    """Of the table of edges, or of workers."""
    return [
        f"{what}s",
        "players",
        f"fewest-most on {'an' if what == 'edge' else 'a'} {what}",
        "together, % of a core",
        "us a second and player",
        f"x one {what}",
        "writes/s a player",
        "MB each",
        "origin, % of a core",
        "routes/s",
    ]


def row(number: int, subject: str, one: str, found: _rounds.Found[Sample]) -> list[str]:
    """The line of a `subject` of so many edges or workers, compared with `one` of them: medians over the rounds."""
    mine = found.of(subject)
    median = _rounds.medians(mine)
    numbers = [carried.players.players for each in mine for carried in each.edges.values()]
    ratio = ratio_to_one(subject, one, found)
    routes = [each.players / each.routes_s for each in mine if each.routes_s]
    return [
        str(number),
        str(mine[0].players),
        f"{min(numbers)}-{max(numbers)}",
        median(lambda each: each.cpu_percent, ".1f"),
        median(lambda each: each.us_a_player, ".0f"),
        "" if ratio is None else f"{ratio:.2f}",
        median(lambda each: each.writes, ".0f"),
        median(lambda each: each.mb_each, ".0f"),
        median(lambda each: each.origin.cpu_percent, ".1f"),
        f"{statistics.median(routes):.0f}" if routes else "",
    ]


def ratio_to_one(subject: str, one: str, found: _rounds.Found[Sample]) -> float | None:
    """Processor time for a player, compared with that on one edge, or on an edge of one worker."""
    return found.ratio(subject, one, lambda each: each.us_a_player)


def origin_percent_an_edge(edges: Sequence[int], found: _rounds.Found[Sample]) -> float | None:
    """What a further edge costs the origin, of a core: from the fewest edges to the most, median of the rounds that have both."""
    fewest, most = min(edges), max(edges)
    both = zip(found.samples.get(label(fewest), []), found.samples.get(label(most), []), strict=False)
    more = [after.origin.cpu_percent - before.origin.cpu_percent for before, after in both if before and after]
    return statistics.median(more) / (most - fewest) if more and most > fewest else None


def judge(found: _rounds.Found[Sample], edges: Sequence[int]) -> list[Judged]:
    """Players cost the same on every number of edges and of workers, as long as each has as many, and are spread evenly."""
    judged: list[Judged] = []
    for number in edges:
        if number > 1:
            whose = f"{number} edges, each with as many players as one alone"
            judged += _judge_cost(found, label(number), label(1), whose, "edge")
            judged += _judge_spread(found, label(number), whose, MOST_OFF)
    whose = f"{MOST_WORKERS} workers, each with as many players as one alone"
    judged += _judge_cost(found, TWO_WORKERS.label, ONE_WORKER.label, whose, "worker")
    judged += _judge_spread(found, TWO_WORKERS.label, whose, MOST_WORKER_OFF)
    whose = f"{MOST_WORKERS} workers, together with as many players as one alone"
    return judged + _judge_spread(found, SHARING_WORKERS.label, whose, MOST_WORKER_OFF)


def _judge_cost(found: _rounds.Found[Sample], subject: str, one: str, whose: str, what: str) -> list[Judged]:
    if subject not in found.samples:
        return []
    ratio, often = ratio_to_one(subject, one, found), found.ratio(subject, one, lambda each: each.writes)
    return [
        Judged(what=f"{whose}: processor time for a player", found=ratio, bar=MOST_RATIO, unit=f"x one {what}"),
        Judged(what=f"{whose}: writes to a player", found=often, bar=LEAST_WRITES, unit=f"x one {what}", at_least=True),
    ]


def _judge_spread(found: _rounds.Found[Sample], subject: str, whose: str, most_off: float) -> list[Judged]:
    if subject not in found.samples:
        return []
    off = max((each.furthest_off for each in found.of(subject)), default=None)
    return [Judged(what=f"{whose}: furthest from an equal share of the players", found=off, bar=most_off)]


def plots(found: _rounds.Found[Sample], edges: Sequence[int]) -> list[Plot]:
    """Processor time against the number of edges."""
    of: dict[str, Callable[[Sample], float]] = {
        "all playing edges together": lambda each: each.cpu_percent,
        "origin": lambda each: each.origin.cpu_percent,
    }
    curves = []
    for name, value in of.items():
        values = [(float(number), found.median(label(number), value)) for number in edges]
        curves.append(Curve(label=name, points=[(number, value) for number, value in values if value is not None]))
    return [Plot(name="edges", title="Edges with as many players each", x="edges", y="% of a core", curves=curves)]


def introduction(plan: argparse.Namespace) -> str:
    """What the table shows."""
    at_once = "" if plan.gather else f" {AT_ONCE}, which differs with how busy the core is."
    return (
        f"One stream of {stream_kbps() / 1000:.1f} Mbit/s, played by HTTP-FLV, {gathered(plan.gather)}, by {plan.players} players "
        "for each edge, who are sent to them by the scheduler's API (`/v1/route/play`). Edges say that they have room for "
        f"{round(plan.players * ROOM)}. {plan.rounds} rounds of {plan.seconds:g} s each, median. The playing edges share one "
        f"core; the origin, the edge that is published at and the players the other.{at_once}"
    )


def introduction_of_workers(plan: argparse.Namespace) -> str:
    """What the second table shows."""
    return (
        f"The same stream at one edge: {plan.each} players of one worker, as many for each of two (`edge.workers`), and as many of "
        "two together. Workers have a core each, but for the players, which run on both. The kernel deals the players out by "
        "chance; processor time and memory are those of the workers and, where there are two, of their supervisor."
    )


def on_workers(found: _rounds.Found[Sample], each: int) -> str:
    """How the bar is read, and what the other line of two workers shows."""
    read = f"The bar of two workers is for equal load of each worker: {each} players of one beside {each} for each of two."
    ratio = ratio_to_one(SHARING_WORKERS.label, ONE_WORKER.label, found)
    one, two = (found.median(subject.label, lambda sample: sample.writes) for subject in (ONE_WORKER, SHARING_WORKERS))
    if ratio is None or one is None or two is None:
        return read
    return (
        f"{read} Where two share the {each} players of one, which has no bar, a player takes {ratio:.2f} times the processor time: "
        f"what a stream costs a worker once, and each block of it, is paid by both. A player is written to {two:.0f} times a "
        f"second, by one worker alone {one:.0f} times."
    )


def on_the_origin(found: _rounds.Found[Sample], edges: Sequence[int]) -> str:
    """What a further edge costs it."""
    percent = origin_percent_an_edge(edges, found)
    return "" if percent is None else f"A further edge costs the origin {percent:.2f}% of a core."


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = _rounds.parser("edges", __doc__, RESULTS, rounds=5, seconds=10, warm_up=3)
    parser.add_argument("--edges", type=int, nargs="+", default=EDGES, help="numbers of edges (1 2 4)")
    parser.add_argument("--players", type=int, default=250, help="for each edge (%(default)s)")
    parser.add_argument("--each", type=int, default=500, help="players for each worker (%(default)s)")
    parser.add_argument(
        "--gather", type=int, default=GATHER_MS, metavar="MS", help="the longest that frames are gathered (%(default)s)"
    )
    return parser.parse_args()


def main() -> None:
    """Measure, print, keep; exit with 1 if a sample was worthless or a bar is missed."""
    plan = arguments()
    _load.raise_file_limit(max(max(plan.edges) * plan.players, plan.each * MOST_WORKERS))
    found = _rounds.run(_rounds.choose(subjects(plan), plan.only), plan.rounds)
    paragraphs = []
    if rows := [row(edges, label(edges), label(1), found) for edges in plan.edges if found.of(label(edges))]:
        paragraphs += [introduction(plan), _report.table(head("edge"), rows), on_the_origin(found, plan.edges)]
    if rows := [row(each.workers, each.label, ONE_WORKER.label, found) for each in WORKERS if found.of(each.label)]:
        paragraphs += [introduction_of_workers(plan), _report.table(head("worker"), rows), on_workers(found, plan.each)]
    paragraphs = [each for each in (*paragraphs, LIMITS) if each]
    judged, drawn = judge(found, plan.edges), plots(found, plan.edges)
    sys.exit(_rounds.conclude("edges", TITLE, paragraphs, plan, found, judged=judged, plots=drawn))


if __name__ == "__main__":
    main()
