"""What is reckoned of a run: spreads, stalls, order. Times are seconds of any one clock that does not step."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil, inf
from statistics import median
from typing import Final

from lalmesh.media import TICKS_PER_SECOND

MOST_ASLEEP_S: Final = 0.1  #: between two looks, before the rest of it counts as sleep: five times as long as between two sweeps
USUAL_STEPS: Final = 32  #: the newest, whose median is the usual one: a second of pictures
LEARNING_STEPS: Final = 8  #: before one can be told that is unusual
GAP_STEPS: Final = 1.8  #: usual ones in one: a frame is missing; below it a frame is late, or a time was rounded
MS_TICKS: Final = 90  #: what a time of FLV may be off by
LONGEST_STEP_TICKS: Final = 10 * TICKS_PER_SECOND  #: that any track has: what is longer is a jump, whether steps are known or not


@dataclass(slots=True, frozen=True)
class Spread:
    """How some measured values lie."""

    count: int
    p50: float
    p99: float
    worst: float


def spread(values: Iterable[float], *, scale: float = 1.0, digits: int = 1) -> Spread | None:
    """The spread of `values`, each times `scale`, rounded to `digits`; None of none. The worst is the largest."""
    ordered = sorted(values)
    if not ordered:
        return None

    def told(value: float) -> float:
        return round(value * scale, digits)

    return Spread(len(ordered), told(quantile(ordered, 0.5)), told(quantile(ordered, 0.99)), told(ordered[-1]))


def quantile(ordered: list[float], share: float) -> float:
    """The smallest value that at least `share` of `ordered`, which is not empty, do not pass."""
    return ordered[max(ceil(share * len(ordered)) - 1, 0)]


class Attention:
    """A clock that stands still while nobody looks: what a busy machine lets this program sleep over is no stall of the server."""

    def __init__(self) -> None:
        """Nothing was slept over yet."""
        self.slept_s = 0.0
        self._looked_s: float | None = None

    def look(self, now_s: float) -> float:
        """Look at `now_s`; the time that counts."""
        if self._looked_s is not None:
            self.slept_s += max(now_s - self._looked_s - MOST_ASLEEP_S, 0.0)
        self._looked_s = now_s
        return now_s - self.slept_s


@dataclass(slots=True)
class Flow:
    """Whether bytes keep coming to a player."""

    last_s: float  #: when some came
    longest_s: float = 0.0  #: without any
    stalls: int = 0

    def came(self, now_s: float, limit_s: float) -> None:
        """Bytes came, or it is over: what was longer than `limit_s` was a stall."""
        pause_s, self.last_s = now_s - self.last_s, now_s
        if pause_s > self.longest_s:
            self.longest_s = pause_s
        if pause_s > limit_s:
            self.stalls += 1


@dataclass(slots=True)
class Playback:
    """How long a player that fetches pieces can play without another: it plays what came in real time, one piece behind the other.

    It begins once it has all that is listed, `hold_back_s` before the end of that. Where the next piece is not there as a whole
    when all before it have been played, it stalls, and begins in the same way again.
    """

    left_s: float = inf  #: of what is to be played, when the last piece came; inf: it does not play

    def came(self, pause_s: float, duration_s: float) -> None:
        """A piece came, so long after the one before."""
        self.left_s = self.left_s - pause_s + duration_s if pause_s <= self.left_s else inf

    def begin(self, hold_back_s: float) -> None:
        """All came that is listed: play, where it does not."""
        self.left_s = hold_back_s if self.left_s == inf else self.left_s


@dataclass(slots=True)
class _Steps:
    """The decoding times of one track."""

    last: int | None = None
    newest: deque[int] = field(default_factory=lambda: deque(maxlen=USUAL_STEPS))


class UnitOrder:
    """Whether the decoding times of each track go on without a gap, as far as one can tell who does not know what was sent."""

    def __init__(self) -> None:
        """Nothing came yet."""
        self.gaps = 0
        self.disordered = 0  #: units whose time fell
        self.longest_step_ticks = 0  #: of one track, gaps left out, and what came before they could be told
        self._tracks: dict[int, _Steps] = {}

    def add(self, track_id: int, dts: int) -> None:
        """A unit came."""
        steps = self._tracks.setdefault(track_id, _Steps())
        last, steps.last = steps.last, dts
        if last is None:
            return
        step, is_usual_known = dts - last, len(steps.newest) >= LEARNING_STEPS
        if step < 0:
            self.disordered += 1
        elif step > LONGEST_STEP_TICKS:
            self.gaps += 1
        elif is_usual_known and step > GAP_STEPS * median(steps.newest) + MS_TICKS:
            self.gaps += 1
            steps.newest.append(step)  # where the rate has changed, it is usual soon
        else:
            steps.newest.append(step)
            if is_usual_known:
                self.longest_step_ticks = max(self.longest_step_ticks, step)
