"""Players of low-latency HLS that reload their playlist as often as parts are made (`reloaders.c`)."""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from support.cluster import Node
from support.hls_text import ReadPlaylist
from support.media import media
from support.process import Child, wait_until

from bench import _load, _meter, _road, _rounds
from bench._many_streams import FILE, FIRST_ANSWER_S, PART_S, READY_S, STREAM, ask_for_all, playlist
from bench.fanout import stream_kbps

LOOK_S = 0.25  #: between two looks for the first whole segment
SPARE = 1.03  #: times the players that ask for as many playlists as are wanted: no answer is without delay


@dataclass(slots=True, frozen=True)
class Reloads:
    """What they were answered after the warm-up."""

    players: int
    answers: int
    per_s: float
    bytes: int  #: of all answers, with their heads
    p50_ms: float  #: from when anybody had a playlist until a player has it
    p99_ms: float
    worst_ms: float
    failed: int
    missed: int  #: playlists that a player never had


def start(port: int, path: str, streams: int, players: int, seconds: float, warm_up_s: float, direct: int, log: Path) -> Child:
    """Let `players` reload for `seconds`, the first `warm_up_s` of which do not count.

    Args:
        port: that they ask at.
        path: of the playlists; ``%d`` in it is the number of the stream.
        streams: how many.
        players: how many, of all streams.
        seconds: for how long.
        warm_up_s: while which they come.
        direct: a port where one more player of each stream asks, past what is measured.
        log: for what they say.
    """
    log.unlink(missing_ok=True)
    shape = [path, str(streams), str(players), str(seconds), str(warm_up_s), str(direct)]
    return Child([_load.build("reloaders"), str(port), *shape], log=log)


def result(child: Child, limit_s: float) -> Reloads:
    """What they were answered, once they are done."""
    child.wait(limit_s)
    try:
        return Reloads(**json.loads(child.output().splitlines()[-1]))
    except (IndexError, json.JSONDecodeError):
        raise AssertionError(f"the reloading players failed: {child.describe()}") from None


@dataclass(slots=True, frozen=True)
class Sample:
    """So many players of so many streams, once."""

    streams: int
    parts_per_s: float  #: that are made of a stream
    reloads: Reloads
    usage: dict[str, _load.Usage]  #: by node
    unread_ms: float  #: of all streams, that lay unread at the edge that they are published at
    published: _load.Published

    @property
    def problem(self) -> str:
        """What makes it worthless, if anything."""
        if not self.reloads.answers:
            return "no playlist was answered"
        return self.published.behind(self.unread_ms, stream_kbps(FILE))

    @property
    def shown(self) -> str:
        """In a few words."""
        reloads, cpu = self.reloads, ", ".join(f"{name} {usage.cpu_percent:.0f}%" for name, usage in self.usage.items())
        return (
            f"{reloads.per_s:.0f} playlists/s, p50 {reloads.p50_ms:.1f}, p99 {reloads.p99_ms:.1f} ms, {reloads.failed} failed, "
            f"{reloads.missed} missed; {cpu}"
        )


def players_for(per_s: float, parts_per_s: float) -> int:
    """How many ask for `per_s` playlists a second of streams of which so many parts are made, and for some more."""
    return math.ceil(per_s * SPARE / parts_per_s)


def most_players(per_s: float) -> int:
    """How many that may be at most, however long parts are."""
    return players_for(per_s, 1 / PART_S)


def parts_per_s(listed: ReadPlaylist) -> float | None:
    """How many parts are made of a second, by the whole segments that a playlist lists the parts of; None where there is none."""
    whole = [segment for segment in listed.segments if segment.parts]
    return float(sum(len(segment.parts) for segment in whole) / sum(segment.duration for segment in whole)) if whole else None


def measure(plan: argparse.Namespace, streams: int, folder: Path, stack: ExitStack) -> Sample:
    """Start everything, let them come, measure."""
    cores = _load.Cores(apart=plan.pin)
    road = _road.Road(folder, stack, cores, publishers=streams, hls=1)
    [edge], [node] = road.playing, road.cluster.hls
    cores.give_server(edge.pid)
    stack.callback(node.kill)
    port = road.publishing.ports["rtmp"]
    publishers = road.load(_load.publish(port, streams, 0, READY_S, media(FILE), folder / "publishers.log", name="hls-"))
    time.sleep(READY_S)
    wait_until("playlists", partial(_are_there, node, streams), FIRST_ANSWER_S)
    wait_until("parts of a whole segment", lambda: parts_per_s(playlist(node, 0)) is not None, FIRST_ANSWER_S, every_s=LOOK_S)
    made_per_s = parts_per_s(playlist(node, 0))
    assert made_per_s is not None, "parts of a whole segment are gone again"
    players = players_for(plan.per_s, made_per_s)
    whole_s = plan.warm_up + plan.seconds + 1
    path = f"/hls/{STREAM}%d/live.m3u8"
    log = folder / "reloaders.log"
    asking = road.load(start(edge.ports["http"], path, streams, players, whole_s, plan.warm_up, node.ports["hls"], log))
    time.sleep(plan.warm_up)
    meter = _meter.Meter({"edge": edge.pid, "hls node": node.pid, "players": asking.pid})
    time.sleep(plan.seconds)
    usage = meter.read()
    reloads = result(asking, _load.MARGIN_S)
    unread_ms = _load.unread_ms(port, streams * stream_kbps(FILE))
    publishers.terminate()
    return Sample(streams, made_per_s, reloads, usage, unread_ms, _load.published(publishers, _load.MARGIN_S))


def _are_there(node: Node, streams: int) -> bool:
    try:
        ask_for_all(node, streams, ("live",))
    except OSError:  # refused: there is no stream yet
        return False
    return True


HEAD = [
    "streams",
    "players",
    "playlists/s",
    "lowest",
    "p50 ms",
    "p99 ms",
    "worst ms",
    "failed",
    "missed",
    "edge, % of a core",
    "us a playlist",
    "hls node, %",
    "players, %",
]


def row(mine: Sequence[Sample]) -> list[str]:
    """The line of one number of streams: medians over the rounds, and the worst of all."""
    median = _rounds.medians(mine)
    return [
        str(mine[0].streams),
        str(mine[0].reloads.players),
        median(lambda each: each.reloads.per_s, ".0f"),
        f"{min(each.reloads.per_s for each in mine):.0f}",
        median(lambda each: each.reloads.p50_ms),
        median(lambda each: each.reloads.p99_ms),
        f"{max(each.reloads.worst_ms for each in mine):.0f}",
        str(sum(each.reloads.failed for each in mine)),
        str(sum(each.reloads.missed for each in mine)),
        median(lambda each: each.usage["edge"].cpu_percent),
        median(lambda each: each.usage["edge"].cpu_percent * 1e4 / each.reloads.per_s, ".0f"),
        median(lambda each: each.usage["hls node"].cpu_percent),
        median(lambda each: each.usage["players"].cpu_percent),
    ]


def introduction(plan: argparse.Namespace, samples: Sequence[Sample]) -> str:
    """What the table shows."""
    made_per_s = statistics.median(each.parts_per_s for each in samples)
    return (
        "Players of low-latency HLS, each with a session that the edge counts, ask for the next playlist as soon as they have one. "
        f"{made_per_s:.2f} parts a second are made of a stream, as its playlist lists them, so there are as many players as ask "
        f"for {plan.per_s:g} playlists a second, and {SPARE - 1:.0%} more. How long a playlist takes counts from when anybody had "
        "it, one player of each stream at the hls node itself among them; `missed` are playlists with a part more that a player "
        f"never had, because there was the next one when it was answered. {plan.rounds} rounds of {plan.seconds:g} s each, "
        "median, and the worst of all; the edge has a core to itself."
    )
