"""What a publisher, a player and a stream take of memory: lalmesh alone and as a cluster, nginx-rtmp, node-media-server.

Resident memory of a server before they come and once they have settled, the difference shared by their number. What the kernel
keeps for their sockets is not in it. Every subject has a server of its own: what a process has once had it gives back late.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from support.cluster import PROGRAM, Standalone
from support.media import media
from support.process import Child

from bench import _load, _report, _road, _rounds, fanout, publish
from bench._report import Judged
from bench.fanout import CONNECT_S, LEAST_SHARE, STREAM, STREAM_READY_S
from bench.peers import Nginx, NodeMediaServer

PUBLISHERS, PLAYERS, STREAMS = 200, 1000, 100
APP, NAME = "live", "bench-"
FEWER_PLAYERS = {"node-media-server": 500}  #: of whose core more would not be served: what waits for them were measured
MOST_PUBLISHER_KB = 2000.0
MOST_PLAYER_KB = 20.0
IDLE_S = 2.0  #: after the start, before anybody comes
LONG_S = 600.0  #: at most: all are ended by then
PROTOCOLS = {**fanout.PROTOCOLS, "rtsp": "RTSP, interleaved"}
SERVER = "server"  #: a process that is all there is
RESULTS = _load.BUILT / "memory.json"
TITLE = "Memory: a publisher, a player, a stream"
LIMITS = (
    "What limits it: a publisher's memory is the stream's own last seconds (`edge.publish.replay_s`, and the pictures since a key "
    "frame), so it follows bit rate and key frame distance; a process that is an origin alone keeps them once more. A player is a "
    "connection of uvloop, its session and its place in the fan-out; what it is sent is shared by all. What would move it: shorter "
    "replay and key frame distance for the one, sessions that share what they say of themselves for the other. At rest it is "
    "Python with gRPC, aiohttp and the models of the configuration: see the section on the start."
)


@dataclass(slots=True, frozen=True)
class Growth:
    """What a process took for a number of things."""

    number: int
    rest_mb: float
    then_mb: float

    @property
    def each_kb(self) -> float:
        """What each of them took."""
        return (self.then_mb - self.rest_mb) * 1000 / self.number


@dataclass(slots=True, frozen=True)
class Sample:
    """One subject in one round."""

    processes: dict[str, Growth]  #: by process
    problem: str = ""

    @property
    def shown(self) -> str:
        """In a few words."""
        return ", ".join(
            f"{name} {growth.each_kb:.0f} kB each, {growth.rest_mb:.0f} MB at rest" for name, growth in self.processes.items()
        )


def publishers(start: publish.Start, plan: argparse.Namespace, folder: Path, stack: ExitStack) -> Sample:
    """A server with publishers that nobody plays."""
    server = start(folder, stack)
    time.sleep(IDLE_S)
    rest_mb = _load.rss_mb(server.pid)
    load = _publish(server.port, plan.publishers, plan.seconds, folder, stack)
    then_mb = _load.rss_mb(server.pid)
    return Sample({SERVER: Growth(plan.publishers, rest_mb, then_mb)}, _unpublished(load, server.port))


def _publish(port: int, publishers: int, seconds: float, folder: Path, stack: ExitStack) -> Child:
    """Publishers that have been there for so long."""
    load = stack.enter_context(_load.publish(port, publishers, LONG_S, seconds / 2, media("bench"), folder / "load.log"))
    _load.wait_published(load, publish.BEGIN_S + publish.BEGIN_EACH_S * publishers)
    time.sleep(seconds)
    return load


def _unpublished(load: Child, port: int) -> str:
    """What the server did not take of its publishers, if anything: memory would be that of fewer, or of less. They end."""
    if not load.running:
        return f"it ended: {load.describe()}"
    unread_ms = _load.unread_ms(port, _load.connections(port) * fanout.stream_kbps())
    load.terminate()
    return _load.published(load, _load.MARGIN_S).behind(unread_ms, fanout.stream_kbps())


def players(subject: fanout.Subject, plan: argparse.Namespace, folder: Path, stack: ExitStack) -> Sample:
    """A server that one stream is played from."""
    server = subject.start(folder, stack)
    assert server.push_url is not None, "there is no stream without a publisher"
    command = [PROGRAM, "push", "--loop", "0", str(media(fanout.STREAM_MEDIA)), server.push_url]
    push = stack.enter_context(Child(command, log=folder / "push.log"))
    time.sleep(STREAM_READY_S)
    number = min(plan.players, FEWER_PLAYERS.get(subject.name, plan.players))
    with _played(server.players, 1, folder / "one.log"):  # what is there once for all players
        time.sleep(plan.seconds)
        rest_mb = _load.rss_mb(server.pid)
        with _played(server.players, number, folder / "players.log", warm_up_s=plan.seconds / 2) as load:
            time.sleep(plan.seconds)
            then_mb = _load.rss_mb(server.pid)
            problem = "" if push.running else f"it ended: {push.describe()}"
            return Sample({SERVER: Growth(number, rest_mb, then_mb)}, problem or _unplayed(load))


def _unplayed(load: Child) -> str:
    """What players lacked, if anything. They end."""
    if not load.running:
        return f"it ended: {load.describe()}"
    load.terminate()
    return _short(_load.played(load, _load.MARGIN_S))


def _short(got: _load.Players) -> str:
    """What players lacked, if anything: memory would be that of what waits for them."""
    if not got.closed and got.lowest_kbps >= LEAST_SHARE * fanout.stream_kbps():
        return ""
    return f"{got.closed} players were closed, the slowest got {got.lowest_kbps:.0f} kbit/s of {fanout.stream_kbps():.0f}"


def _played(url: tuple[str, ...], number: int, log: Path, *, warm_up_s: float = 0) -> Child:
    load = _load.play(url, number, LONG_S, warm_up_s, log)
    try:
        _load.wait_playing(load, CONNECT_S)
    except BaseException:
        load.kill()
        raise
    return load


class Cluster:
    """Publishing edge, origin and playing edge, as processes; and the scheduler."""

    def __init__(self, plan: argparse.Namespace, folder: Path, stack: ExitStack) -> None:
        """Start it; the stack ends it."""
        self._plan, self._folder, self._stack = plan, folder, stack
        self._road = _road.Road(folder, stack, _load.Cores(apart=False), publishers=plan.streams)
        self._pids = {**self._road.pids(), "scheduler": self._road.cluster.schedulers[0].pid}
        time.sleep(IDLE_S)

    def streams(self, *, are_played: bool) -> Sample:
        """With so many streams; where `are_played` each has a player, and the publishers are there before."""
        number, rest = self._plan.streams, self._memory()
        port, seconds = self._road.publishing.ports["rtmp"], self._plan.seconds
        load, played = _publish(port, number, seconds, self._folder, self._stack), None
        if are_played:
            rest = self._memory()
            url = _road.flv(self._road.playing[0], f"{APP}/{NAME}%d")
            played = self._stack.enter_context(_played(url, number, self._folder / "players.log", warm_up_s=seconds / 2))
            time.sleep(seconds)
        then = self._memory()
        problem = (_unplayed(played) if played else "") or _unpublished(load, port)
        return Sample({name: Growth(number, rest[name], then[name]) for name in rest}, problem)

    def _memory(self) -> dict[str, float]:
        return {name: _load.rss_mb(pid) for name, pid in self._pids.items()}


def subjects(plan: argparse.Namespace) -> list[_rounds.Subject[Sample]]:
    """All that is measured."""
    made = [
        _rounds.Subject(f"publisher-{name}", partial(publishers, start, plan), missing)
        for name, (start, missing) in publish.servers().items()
        if name != publish.FLOOR
    ]
    made += [_rounds.Subject(f"player-{each.label}", partial(players, each, plan), each.missing) for each in _playable()]

    def streams(are_played: bool, folder: Path, stack: ExitStack) -> Sample:
        return Cluster(plan, folder, stack).streams(are_played=are_played)

    missing = _rounds.needs_of_a_cluster()
    made += [_rounds.Subject(f"stream-{name}", partial(streams, name == "played"), missing) for name in ("published", "played")]
    return made


def _playable() -> list[fanout.Subject]:
    ours = "" if Path(PROGRAM).exists() else f"{PROGRAM} is missing"
    nginx = "" if Nginx.available() else "nginx or its RTMP module is not installed"
    node = "" if NodeMediaServer.available() else "node or npm is not installed"
    mine = [fanout.Subject("lalmesh", way, 0, fanout.lalmesh(way, fanout.GATHERED_MS[-1]), ours) for way in fanout.PROTOCOLS]
    return [
        *mine,
        fanout.Subject("lalmesh", "rtsp", 0, _rtsp, ours),
        fanout.Subject("nginx-rtmp", "rtmp", 0, fanout.peer("rtmp", Nginx), nginx),
        *(
            fanout.Subject("node-media-server", way, 0, fanout.peer(way, fanout.installed_node_media_server), node)
            for way in ("rtmp", "flv")
        ),
    ]


def _rtsp(folder: Path, stack: ExitStack) -> fanout.Running:
    node = stack.enter_context(Standalone(folder))
    return fanout.Running(node.pid, node.rtmp_url(STREAM), ("rtsp", str(node.ports["rtsp"]), f"/{STREAM}"))


# what was found

EACH_HEAD = ["what", "server", "number", "kB each", "MB without them", "verdict"]
STREAM_HEAD = ["process", "MB at rest", "kB a stream that is published", "kB more where it is played"]


def each_rows(found: _rounds.Found[Sample], judged: Sequence[Judged]) -> list[list[str]]:
    """The lines of publishers and players."""
    verdicts = {each.what: each.verdict for each in judged}
    rows = []
    for label in found.samples:
        mine = [sample.processes[SERVER] for sample in found.of(label) if SERVER in sample.processes]
        if mine:
            what, server = _named(label)
            each = statistics.median(growth.each_kb for growth in mine)
            rest = statistics.median(growth.rest_mb for growth in mine)
            verdict = verdicts.get(_judged_as(label), "")
            rows.append([what, server, str(mine[0].number), f"{each:.1f}" if each < 100 else f"{each:.0f}", f"{rest:.0f}", verdict])
    return rows


def _named(label: str) -> tuple[str, str]:
    """What it is, and of which server."""
    kind, _, rest = label.partition("-")
    if kind == "publisher":
        return "publisher, RTMP", rest
    server, protocol, _ = rest.rsplit("-", 2)
    return f"player, {PROTOCOLS[protocol]}", server


def _judged_as(label: str) -> str:
    what, server = _named(label)
    return f"memory of a {what}" if server == "lalmesh" else ""


def stream_rows(found: _rounds.Found[Sample]) -> list[list[str]]:
    """The lines of a cluster's processes."""
    published, played = found.of("stream-published"), found.of("stream-played")
    names = published[0].processes if published else played[0].processes if played else ()
    return [
        [name, _median(published, name, "rest_mb"), _median(published, name, "each_kb"), _median(played, name, "each_kb")]
        for name in names
    ]


def _median(samples: Sequence[Sample], process: str, what: str) -> str:
    values: list[float] = [getattr(sample.processes[process], what) for sample in samples]
    return f"{statistics.median(values):.0f}" if values else ""


def judge(found: _rounds.Found[Sample]) -> list[Judged]:
    """The bars of lalmesh."""
    bars: Mapping[str, float] = {"publisher": MOST_PUBLISHER_KB, "player": MOST_PLAYER_KB}
    return [
        Judged(
            what=_judged_as(label),
            found=found.median(label, lambda sample: sample.processes[SERVER].each_kb),
            bar=bars[label.partition("-")[0]],
            unit="kB",
        )
        for label in found.samples
        if label.partition("-")[0] in bars and _judged_as(label)
    ]


def introduction(plan: argparse.Namespace) -> str:
    """What the tables show."""
    return (
        f"Resident memory before and {plan.seconds:g} s after {plan.publishers} publishers of {fanout.stream_kbps() / 1000:.1f} "
        f"Mbit/s with a key frame every 2 s, or {plan.players} players of one such stream, have come to a server of their own, or "
        "fewer where it serves no more; the difference shared by their number, median of "
        f"{plan.rounds} rounds. `MB without them` is with the stream and one player, where players are counted."
    )


def streams_introduction(plan: argparse.Namespace) -> str:
    """What the second table shows."""
    return (
        f"A cluster of processes: {plan.streams} streams of {fanout.stream_kbps() / 1000:.1f} Mbit/s, all at one edge and one "
        "origin; then each with one player at another edge."
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = _rounds.parser("memory", __doc__, RESULTS, rounds=2, seconds=10, warm_up=0)
    parser.add_argument("--publishers", type=int, default=PUBLISHERS, help="of a stream each (%(default)s)")
    parser.add_argument("--players", type=int, default=PLAYERS, help="of one stream (%(default)s)")
    parser.add_argument("--streams", type=int, default=STREAMS, help="of the cluster (%(default)s)")
    return parser.parse_args()


def main() -> None:
    """Measure, print, keep; exit with 1 if a sample was worthless or a bar is missed."""
    plan = arguments()
    _load.raise_file_limit(max(plan.publishers, plan.players))
    found = _rounds.run(_rounds.choose(subjects(plan), plan.only), plan.rounds)
    bars, streams = judge(found), stream_rows(found)
    each = each_rows(found, bars)
    paragraphs = [introduction(plan), _report.table(EACH_HEAD, each)] if each else []
    paragraphs += [streams_introduction(plan), _report.table(STREAM_HEAD, streams)] if streams else []
    sys.exit(_rounds.conclude("memory", TITLE, [*paragraphs, LIMITS], plan, found, judged=bars))


if __name__ == "__main__":
    main()
