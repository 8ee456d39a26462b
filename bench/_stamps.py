"""When each frame left a publisher and when it came to a player: two processes that share a clock, and write it down.

``python -m bench._stamps push FILE URL LOG`` publishes a file over and over, in real time; ``... play URL LOG`` plays a stream by
any protocol of `lalmesh pull`. Each writes a line for every frame: nanoseconds of the machine's clock, and what the frame is known
by, its time in the stream and a digest of its bytes: it counts only if it came through as it was. `matched` compares the two.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import itertools
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from support.process import Child

from lalmesh.client import open_player, open_publisher, read_tags
from lalmesh.container.flv import TAG_AUDIO, TAG_VIDEO, Tag
from lalmesh.media import TrackSet

ROOT = Path(__file__).resolve().parents[1]
CODE = {"PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"}  #: what the processes need to find
FRAMES = (TAG_AUDIO, TAG_VIDEO)
GAP_MS = 33  #: between two runs of a file: the length of a picture
NS_PER_MS = 1e6
SLOWEST = 0.1  #: of the units, whose delays are kept: what has the 99th percentile of up to ten rounds together among it


@dataclass(slots=True, frozen=True)
class Stamp:
    """One frame at one end."""

    at_ns: int
    name: str


@dataclass(slots=True, frozen=True)
class Delays:
    """From a publisher to a player."""

    units: int  #: that were published in the time that counts
    p50_ms: float
    p99_ms: float
    worst_ms: float
    missing: int  #: that did not come
    doubled: int  #: that came again
    slowest_ms: tuple[float, ...] = ()  #: of the slowest `SLOWEST` of all units, the last one first


def percentile(ordered: Sequence[float], share: float) -> float:
    """Of values in rising order; 0 of none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def pooled_p99_ms(rounds: Sequence[Delays]) -> float:
    """Of all units of all rounds together.

    Of more than ten rounds it may be too low, if one has over a tenth of its units among the slowest hundredth of all.
    """
    slowest = sorted((ms for each in rounds for ms in each.slowest_ms), reverse=True)
    units = sum(each.units - each.missing for each in rounds)
    slower = units - 1 - int(units * 0.99)  #: units after the one that is looked for
    return slowest[min(slower, len(slowest) - 1)] if slowest else 0.0


def matched(sent: Sequence[Stamp], got: Sequence[Stamp], since_ns: int, until_ns: int) -> Delays:
    """How long what was sent from `since_ns` until `until_ns` was on its way."""
    came: dict[str, int] = {}
    times: Counter[str] = Counter()
    for stamp in got:
        came.setdefault(stamp.name, stamp.at_ns)
        times[stamp.name] += 1
    counted = [stamp for stamp in sent if since_ns <= stamp.at_ns < until_ns]
    delays = sorted((came[stamp.name] - stamp.at_ns) / NS_PER_MS for stamp in counted if stamp.name in came)
    return Delays(
        units=len(counted),
        p50_ms=percentile(delays, 0.5),
        p99_ms=percentile(delays, 0.99),
        worst_ms=delays[-1] if delays else 0.0,
        missing=len(counted) - len(delays),
        doubled=sum(times[stamp.name] > 1 for stamp in counted),
        slowest_ms=tuple(round(ms, 3) for ms in delays[: -math.ceil(len(delays) * SLOWEST) - 1 : -1]),
    )


def read(log: Path) -> list[Stamp]:
    """What one of the processes has written so far; a line that is not whole is left out."""
    lines = log.read_text(encoding="ascii").splitlines(keepends=True) if log.exists() else []
    parts = [line.split() for line in lines if line.endswith("\n")]
    return [Stamp(int(at_ns), name) for at_ns, name in parts]


def pushing(file: Path, url: str, log: Path) -> Child:
    """Publish `file` until it is ended, with stamps in `log`."""
    return Child([sys.executable, "-m", "bench._stamps", "push", file, url, log], log=log.with_suffix(".out"), env=CODE)


def playing(url: str, log: Path) -> Child:
    """Play `url` until it is ended, with stamps in `log`."""
    return Child([sys.executable, "-m", "bench._stamps", "play", url, log], log=log.with_suffix(".out"), env=CODE)


# the processes


def is_frame(tag: Tag) -> bool:
    """Whether it is a picture or a frame of sound: neither script data, nor what configures H.264 and AAC, nor their end."""
    return tag.type_id in FRAMES and tag.body[1:2] == b"\x01"  # AVCPacketType, AACPacketType (FLV 10.1 Annex E.4)


def _writer(log: TextIO) -> Callable[[int, Tag], None]:
    def write(at_ns: int, tag: Tag) -> None:
        if is_frame(tag):
            log.write(f"{at_ns} {tag.timestamp_ms}-{tag.type_id}-{hashlib.md5(tag.body).hexdigest()}\n")

    return write


async def _push(file: Path, url: str, log: TextIO) -> None:
    tags = [tag async for tag in read_tags(file)]
    frames = [tag for tag in tags if is_frame(tag)]
    before = tags[: tags.index(frames[0])]
    length_ms = frames[-1].timestamp_ms + GAP_MS
    write, clock = _writer(log), asyncio.get_running_loop().time
    async with open_publisher(url, TrackSet(())) as out:
        for tag in before:
            out.send(tag.type_id, tag.timestamp_ms, tag.body)
        began = clock()
        for run in itertools.count():
            for tag in frames:
                moved = Tag(tag.type_id, tag.timestamp_ms + run * length_ms, tag.body)
                if (wait_s := began + moved.timestamp_ms / 1000 - clock()) > 0:
                    await out.sleep(wait_s)
                at_ns = time.monotonic_ns()
                out.send(moved.type_id, moved.timestamp_ms, moved.body)
                write(at_ns, moved)
                await out.drain()


async def _play(url: str, log: TextIO) -> None:
    write = _writer(log)
    async with open_player(url) as player:
        while tags := await player.take():
            at_ns = time.monotonic_ns()
            for tag in tags:
                write(at_ns, tag)


def main(what: str, *arguments: str) -> None:
    """One of the two."""
    gc.disable()  # a run is short, and a pause would be taken for the server's
    with Path(arguments[-1]).open("w", buffering=1, encoding="ascii") as log:
        asyncio.run(_push(Path(arguments[0]), arguments[1], log) if what == "push" else _play(arguments[0], log))


if __name__ == "__main__":
    main(*sys.argv[1:])
