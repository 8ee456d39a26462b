"""Many streams that are segmented at once on one core: by an hls node, or by a standalone server, which takes them in as well."""

from __future__ import annotations

import argparse
import itertools
import math
import re
import time
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from support.cluster import Node, Standalone
from support.hls_text import ReadPlaylist, read_playlist
from support.media import media

from bench import _load, _meter, _road, _rounds
from bench.fanout import stream_kbps
from lalmesh.runtime.config import HlsConfig

STREAM = "live/hls-"
FILE = "bench_1m"
PLAYLISTS = {"ts": ("playlist",), "ll": ("live",), "both": ("playlist", "live")}
SHOWN = {"ts": "TS", "ll": "fMP4, low latency", "both": "both"}
NODE, SERVER = "hls node", "standalone server"
START_S = 60.0  #: for the edge to let all publish
READY_S = 3.0  #: until every stream has begun, whose publishers begin within two seconds
FIRST_ANSWER_S = 60.0  #: for the first playlist of a stream: its first segment has to be whole
ASKING = 400  #: first playlists that are waited for at once
LOOKING, LOOK_S = 4, 0.2  #: who look at playlists, and how often each does: not so often that looks hold up what they look at
IDLE_S = 86_400  #: one request is enough
KEY_S = 2.0  #: between key frames of `FILE`
SEGMENT_S = math.ceil(HlsConfig().segment_ms / 1000 / KEY_S) * KEY_S  #: of media in a segment
LEAST_MADE = 0.9  #: of the segments that there should be
LATE_S = 1.0  #: after its end a segment has to be stored; a bound of the node's histogram
PART_S = HlsConfig().part_ms / 1000  #: of media in a part, at most
PART_LATE_S = 0.5  #: beyond the length of a part: that the newest one may be old
LOST = ("hls_gaps_total", "hls_missing_units_total", "hls_lost_segments_total", "hls_storage_failures_total")


@dataclass(slots=True, frozen=True)
class Sample:
    """All streams in one format, or both, once."""

    place: str  #: that segments them: `NODE` or `SERVER`
    streams: int
    usage: _load.Usage  #: of the one that segments
    rest_percent: float  #: of a core, that the edge and the origin took where it was an hls node
    segments: int  #: that were stored
    due: float  #: segments that there should be, each counted once in however many formats
    late: int  #: that were stored later than `LATE_S` after their end
    given_up: int  #: units and segments that are missing, calls to storage that failed
    part_age_ms: float  #: of the newest part of a playlist, the oldest that was found; 0 where none are made
    looks: int  #: at playlists
    late_parts: int  #: looks at which the newest part was older than it may be
    unread_ms: float  #: of all streams, that lay unread in the server's sockets
    published: _load.Published

    @property
    def problem(self) -> str:
        """What makes it worthless, if anything."""
        if not self.segments:
            return "no segment was stored"
        return self._unpublished if self.place == NODE else ""

    @property
    def behind(self) -> str:
        """How it did not keep up with its publishers, if so: a segment can't be late of what has not been read."""
        if self.segments < LEAST_MADE * self.due:
            return f"{self.segments} segments of {self.due:.0f} were stored"
        return self._unpublished

    @property
    def _unpublished(self) -> str:
        """How the edge, or the server as one, did not keep up."""
        return self.published.behind(self.unread_ms, stream_kbps(FILE))

    @property
    def shown(self) -> str:
        """In a few words."""
        cpu = f"{self.usage.cpu_percent:.0f}% of a core, {self.usage.rss_mb:.0f} MB"
        made = f"{self.segments} segments, {self.late} late, {self.given_up} given up"
        parts = f"newest part {self.part_age_ms:.0f} ms old, {self.late_parts} of {self.looks} late"
        return "; ".join((made, parts, cpu, *filter(None, [self.behind])))


@dataclass(slots=True, frozen=True)
class _Stage:
    """Where streams are published and segmented."""

    edge: Node  #: the server as one is its own
    segmenting: Node
    rest: tuple[Node, ...]


def _stage(place: str, streams: int, folder: Path, stack: ExitStack, cores: _load.Cores) -> _Stage:
    settings = {"hls.idle_s": IDLE_S}
    if place == SERVER:
        server = stack.enter_context(Standalone(folder, settings))
        stage = _Stage(server, server, ())
    else:
        road = _road.Road(folder, stack, cores, publishers=streams, playing=0, hls=1, settings={"hls": settings})
        stage = _Stage(road.publishing, road.cluster.hls[0], (road.publishing, road.origin))
    cores.give_server(stage.segmenting.pid)
    stack.callback(stage.segmenting.kill)  # one that is asked to leave would make its segments whole, which nobody needs
    return stage


def measure(plan: argparse.Namespace, place: str, kind: str, folder: Path, stack: ExitStack) -> Sample:
    """Start everything, have it made, measure."""
    cores, streams = _load.Cores(apart=plan.pin), plan.streams
    stage = _stage(place, streams, folder, stack, cores)
    port, node = stage.edge.ports["rtmp"], stage.segmenting
    publishers = _load.publish(port, streams, 0, READY_S, media(FILE), folder / "publishers.log", name="hls-")
    stack.enter_context(publishers)
    cores.give_load(publishers.pid)
    _load.wait_published(publishers, START_S)
    time.sleep(READY_S)
    ask_for_all(node, streams, PLAYLISTS[kind])
    time.sleep(plan.settle)
    before, meter = _counters(node), _meter.Meter({each.name: each.pid for each in (node, *stage.rest)})
    ages_s: list[float] = []
    if "live" in PLAYLISTS[kind]:
        ages_s = _ages_s(node, streams, plan.seconds)
    else:
        time.sleep(plan.seconds)
    usage, after = meter.read(), _counters(node)
    unread_ms = _load.unread_ms(port, streams * stream_kbps(FILE))
    publishers.terminate()
    published = _load.published(publishers, _load.MARGIN_S)
    gained = {name: value - before.get(name, 0.0) for name, value in after.items()}
    segments = round(gained["hls_segment_lag_seconds_count"])
    return Sample(
        place=place,
        streams=streams,
        usage=usage[node.name],
        rest_percent=sum(usage[each.name].cpu_percent for each in stage.rest),
        segments=segments,
        due=streams * plan.seconds / SEGMENT_S,
        late=segments - round(gained[f'hls_segment_lag_seconds_bucket{{le="{LATE_S}"}}']),
        given_up=round(sum(gained[name] for name in LOST)),
        part_age_ms=max(ages_s, default=0.0) * 1000,
        looks=len(ages_s),
        late_parts=sum(age_s > PART_S + PART_LATE_S for age_s in ages_s),
        unread_ms=unread_ms,
        published=published,
    )


def _counters(node: Node) -> dict[str, float]:
    """What the node counts, by name with labels."""
    with urllib.request.urlopen(f"{node.health_url}/metrics", timeout=FIRST_ANSWER_S) as answer:  # a full core takes its time
        return {name: float(value) for name, value in re.findall(r"^(hls_\S+) (\S+)$", answer.read().decode(), re.M)}


def ask_for_all(node: Node, streams: int, playlists: Sequence[str]) -> None:
    """Ask once for each playlist; it is made from now on."""
    names = [f"{STREAM}{number}/{name}.m3u8" for name in playlists for number in range(streams)]
    with ThreadPoolExecutor(ASKING) as pool:
        list(pool.map(partial(_get, node), names))


def _get(node: Node, name: str) -> str:
    with urllib.request.urlopen(node.hls_url(name), timeout=FIRST_ANSWER_S) as answer:
        return str(answer.read().decode())


def _ages_s(node: Node, streams: int, seconds: float) -> list[float]:
    """How old the newest parts of so many streams are, which are looked at in turn while `seconds` pass."""
    until_s, looking = time.monotonic() + seconds, min(LOOKING, streams)

    def look(first: int) -> list[float]:
        found, numbers = [], itertools.cycle(range(first, streams, looking))
        time.sleep(first * LOOK_S / looking)
        while (begun_s := time.monotonic()) < until_s:
            found.append(_newest_part_age_s(node, next(numbers)))
            time.sleep(max(0.0, min(begun_s + LOOK_S, until_s) - time.monotonic()))
        return found

    with ThreadPoolExecutor(looking) as pool:
        return [age_s for ages_s in pool.map(look, range(looking)) for age_s in ages_s]


def _newest_part_age_s(node: Node, number: int) -> float:
    return age_s(playlist(node, number), time.time())


def playlist(node: Node, number: int) -> ReadPlaylist:
    """The one of low latency of a stream, as it is now."""
    name = f"{STREAM}{number}/live.m3u8"
    return read_playlist(f"/hls/{name}", _get(node, name))


def age_s(listed: ReadPlaylist, now_s: float) -> float:
    """How old the end of the newest part is that a playlist lists, by the wall clock of its publisher's edge.

    Raises:
        AssertionError: it lists nothing.
    """
    newest = listed.open_segment or (listed.segments[-1] if listed.segments else None)
    assert newest is not None, "a playlist lists nothing"
    begun_s = newest.date_time_s
    if begun_s is None:
        before = listed.segments[-1]
        assert before.date_time_s is not None, "a playlist says no wall clock"
        begun_s = before.date_time_s + before.duration
    return now_s - float(begun_s + newest.duration)


HEAD = [
    "segments",
    "by",
    "streams",
    "% of a core",
    "MB",
    "edge and origin, %",
    "segments stored",
    "late",
    "given up",
    "oldest newest part, ms",
    "unread ms",
    "publishers late p99 ms",
]


def row(kind: str, mine: Sequence[Sample]) -> list[str]:
    """The line of one format at one place: medians over the rounds, and the worst of all."""
    median = _rounds.medians(mine, ".0f")
    place = mine[0].place
    return [
        SHOWN[kind],
        place,
        str(mine[0].streams),
        median(lambda each: each.usage.cpu_percent, ".1f"),
        median(lambda each: each.usage.rss_mb),
        median(lambda each: each.rest_percent) if place == NODE else "",
        str(sum(each.segments for each in mine)),
        str(sum(each.late for each in mine)),
        str(sum(each.given_up for each in mine)),
        f"{max(each.part_age_ms for each in mine):.0f}" if "live" in PLAYLISTS[kind] else "",
        f"{max(each.unread_ms for each in mine):.0f}",
        f"{max(each.published.late_p99_ms for each in mine):.0f}",
    ]


def introduction(plan: argparse.Namespace) -> str:
    """What the table shows."""
    return (
        f"{plan.streams} streams of {stream_kbps(FILE) / 1000:.1f} Mbit/s (H.264 at 30 pictures a second with a key frame every "
        "2 s, AAC), published by RTMP, and segmented by an hls node, which has one core, while all else has the other one; "
        "or by a standalone server, which has one core for all its roles. Segments are stored in a folder. "
        f"{plan.rounds} rounds of {plan.seconds:g} s each, begun {plan.settle:g} s after the first playlists, median. A "
        f"segment is late if it is not stored {LATE_S:g} s after its end, by the clock of the edge that it was published at; a "
        f"part, if it is not listed {PART_LATE_S:g} s after it should be: playlists are looked at all the while, in turn. That "
        "clock says when the edge read a unit, so what it has not read is looked for too: a server is behind if more than "
        f"{_load.MOST_UNREAD_MS:g} ms of the streams lie unread in its sockets at the end, if publishers were late or closed, or "
        f"if fewer than {LEAST_MADE:.0%} of the segments were stored that there should be. A sample of an hls node whose edge was "
        "behind is worthless."
    )
