"""What it takes to segment streams: one server without HLS, then with TS or low-latency fMP4, then with both."""

from __future__ import annotations

import argparse
import re
import statistics
import time
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from support.cluster import PROGRAM, Standalone
from support.ffmpeg import bounded
from support.media import media
from support.process import Child, wait_until

from bench import _load
from bench._rounds import Found
from bench.fanout import LEAST_SHARE, stream_kbps

START_S = 30.0  #: for one publisher to be there
START_EACH_S = 3.0  #: and more for each: they begin on one core together
FIRST_ANSWER_S = 40.0  #: for the first playlist of a stream: its first segment has to be whole
LOOK_S = 0.2  #: between two looks at the number of streams
BUFFER_S = 0.41  #: of the encoder (1 Mbit at 2450 kbit/s): so much of a stream may fall before or behind what is measured
IDLE_S = 86_400  #: one request is enough
#: Shares of the time to settle: a server that makes nothing has all it needs after a group of pictures or two; where a format is
#: made the origin holds what it keeps for a worker that takes over, and another one adds no more than its segments in memory.
SETTLE_NOTHING, SETTLE_FIRST, SETTLE_MORE = 0.2, 1.0, 0.5

PLAYLISTS = {  #: by what is made of a stream, in the order of measuring: the playlists that are asked for once
    "none": (),
    "ts": ("playlist",),
    "ll": ("live",),
    "both": ("playlist", "live"),
}
ALONE = ("ts", "ll")  #: a server that makes one of them can't make the other alone any more
SHOWN = {"none": "none", "ts": "TS", "ll": "fMP4, low latency", "both": "both"}


@dataclass(slots=True, frozen=True)
class Subject:
    """One row of the table."""

    kind: str  #: a key of `PLAYLISTS`
    streams: int
    missing: str = ""  #: why it can't be measured here, if so

    @property
    def label(self) -> str:
        """How it is chosen with --only."""
        return label(self.kind, self.streams)


@dataclass(slots=True, frozen=True)
class Sample:
    """One subject in one round."""

    usage: _load.Usage
    arrived: float  #: of what had to, the share that did
    segmented: float  #: of what arrived and was to be segmented, the share that was
    given_up: int  #: units and segments that are missing, calls to storage that failed

    @property
    def problem(self) -> str:
        """What makes the sample worthless, if anything."""
        if self.arrived < LEAST_SHARE:
            return f"{100 * self.arrived:.0f}% of the streams arrived"
        if self.given_up:
            return f"{self.given_up} units or segments were given up"
        if self.segmented < LEAST_SHARE:
            return f"{100 * self.segmented:.0f}% of the units were segmented"
        return ""

    @property
    def shown(self) -> str:
        """In a few words."""
        return f"{self.usage.cpu_percent:.1f}% of a core"


def label(kind: str, streams: int) -> str:
    """How a subject is called."""
    return f"segmenting-{kind}-{streams}"


def subjects(streams: Sequence[int]) -> list[Subject]:
    """All that can be measured, each number of streams without HLS first."""
    missing = "" if Path(PROGRAM).exists() else f"{PROGRAM} is missing"
    return [Subject(kind, number, missing) for number in streams for kind in PLAYLISTS]


def turns(chosen: Sequence[Subject], streams: int, number: int) -> list[Subject]:
    """What a server with `streams` is measured with, one after the other; of the formats alone the other one next time."""
    mine = [subject for subject in chosen if subject.streams == streams]
    alone = [subject for subject in mine if subject.kind in ALONE]
    left_out = alone[number % 2] if len(alone) == len(ALONE) else None
    return [subject for subject in mine if subject is not left_out]


class Rig:
    """A server that takes streams in; what it makes of them is never taken back."""

    def __init__(self, folder: Path, stack: ExitStack, streams: int, plan: argparse.Namespace, cores: _load.Cores) -> None:
        """Start it and the publishers, and wait until all streams are there; `stack` ends it."""
        self._streams = streams
        self._plan = plan
        self._made: set[str] = set()  # the playlists that were asked for
        self._node = stack.enter_context(Standalone(folder, {"hls.idle_s": IDLE_S, "hls.segment_ms": plan.segment_ms}))
        cores.give_server(self._node.pid)
        start_s = START_S + START_EACH_S * streams
        whole_s = start_s + len(PLAYLISTS) * (FIRST_ANSWER_S + plan.settle + plan.seconds + _load.MARGIN_S)
        self._publishers = [stack.enter_context(self._publish(number, folder, whole_s)) for number in range(streams)]
        stack.callback(self._end)
        for publisher in self._publishers:
            cores.give_load(publisher.pid)
        wait_until("streams", self._has_all, start_s, child=self._publishers[0], every_s=LOOK_S)

    def _publish(self, number: int, folder: Path, limit_s: float) -> Child:
        """Publish the stream under a name of its own."""
        command = [PROGRAM, "push", "--loop", "0", str(media("bench")), self._node.rtmp_url(f"bench/s{number}")]
        return Child(bounded(limit_s, command), log=folder / f"publisher-{number}.log")

    def _has_all(self) -> bool:
        return self._counters()['origin_groups{state="live"}'] >= self._streams

    def _end(self) -> None:
        """End all at once: a server that is asked to would make its segments whole, which nobody needs."""
        self._node.kill()
        for publisher in self._publishers:
            publisher.terminate()

    def measure(self, subject: Subject) -> Sample:
        """Let it make what `subject` says, if it does not yet, and measure."""
        time.sleep(self._plan.settle * self._have_made(PLAYLISTS[subject.kind]))
        before, begun = self._counters(), time.monotonic()
        used = _load.usage(self._node.pid, self._plan.seconds)
        after, seconds = self._counters(), time.monotonic() - begun
        for publisher in self._publishers:
            if not publisher.running:
                raise AssertionError(f"a publisher ended: {publisher.describe()}")
        gained = {name: after[name] - before.get(name, 0.0) for name in after}
        return _sample(subject, used, gained, seconds)

    def _have_made(self, playlists: Sequence[str]) -> float:
        """Ask once for what is to be made; it is made from now on. The share of the time to settle that is needed then."""
        share = SETTLE_MORE if self._made else SETTLE_FIRST if playlists else SETTLE_NOTHING
        names = [f"bench/s{number}/{name}.m3u8" for number in range(self._streams) for name in playlists if name not in self._made]
        if names:
            with ThreadPoolExecutor(len(names)) as pool:
                list(pool.map(_ask_once, [self._node.hls_url(name) for name in names]))
        self._made.update(playlists)
        return share

    def _counters(self) -> dict[str, float]:
        """What the server counts, by name with labels."""
        lines = re.findall(r"^((?:hls|origin)_\S+) (\S+)$", self._node.metrics(), re.M)
        return {name: float(value) for name, value in lines}


def _ask_once(url: str) -> None:
    with urllib.request.urlopen(url, timeout=FIRST_ANSWER_S) as answer:
        answer.read()


def _sample(subject: Subject, used: _load.Usage, gained: Mapping[str, float], seconds: float) -> Sample:
    lost = ("hls_gaps_total", "hls_missing_units_total", "hls_lost_segments_total", "hls_storage_failures_total")
    due_bytes = stream_kbps() * 1000 / 8 * max(0.0, seconds - BUFFER_S) * subject.streams
    segmented = gained["hls_units_total"] / max(1.0, gained["origin_units_total"])
    return Sample(
        used,
        arrived=gained["origin_payload_bytes_total"] / max(1.0, due_bytes),
        segmented=segmented if PLAYLISTS[subject.kind] else 1.0,
        given_up=round(sum(gained[name] for name in lost)),
    )


HEAD = ["segments", "streams", "% of a core", "lowest-highest", "+ % a stream", "MB", "+ MB a stream"]


def row(subject: Subject, found: Found[Sample]) -> list[str]:
    """The line of one subject that has a sample."""
    used = [sample.usage for sample in found.of(subject.label)]
    cpu = [usage.cpu_percent for usage in used]
    cpu_more, mb_more = more_per_stream(subject, found)
    return [
        SHOWN[subject.kind],
        str(subject.streams),
        f"{statistics.median(cpu):.1f}",
        f"{min(cpu):.1f}-{max(cpu):.1f}",
        "" if cpu_more is None else f"{cpu_more:.2f}",
        f"{statistics.median(usage.rss_mb for usage in used):.0f}",
        "" if mb_more is None else f"{mb_more:.1f}",
    ]


def more_per_stream(subject: Subject, found: Found[Sample]) -> tuple[float | None, float | None]:
    """What segmenting adds for each stream: percent of a core and MB; medians over the rounds of the differences within a round.

    None for the server without HLS, and where no round has both.
    """
    pairs = found.pairs(subject.label, label("none", subject.streams)) if PLAYLISTS[subject.kind] else []
    if not pairs:
        return None, None
    cpu = statistics.median(own.usage.cpu_percent - other.usage.cpu_percent for own, other in pairs)
    mb = statistics.median(own.usage.rss_mb - other.usage.rss_mb for own, other in pairs)
    return cpu / subject.streams, mb / subject.streams
