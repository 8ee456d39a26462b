"""Whether something grows: the slope of samples that are noisy, jump now and then, and depend on those before them.

The slope is the median of those between all pairs of points (Theil and Sen), which a quarter of wrong points does not move. How
sure it is comes from the rank test that belongs to it (Kendall's tau). That takes points to be independent of each other, which
samples of memory seconds apart are not: so samples are first put together to `BLOCKS` medians, each of which stands for minutes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist, median

BLOCKS = 24  #: points of a slope: enough for the normal distribution to be right, few enough to be independent
LEAST_POINTS = 8  #: fewer tell nothing
CONFIDENCE = 0.99  #: of some forty slopes of a run hardly one is wrong by chance, and it has to be larger than what matters, too

Point = tuple[float, float]  #: seconds, value


@dataclass(frozen=True, slots=True)
class Slope:
    """How something went in a window of time."""

    window_s: float
    per_s: float
    low_per_s: float  #: it is hardly lower than this
    high_per_s: float  #: nor higher than this

    @property
    def growth(self) -> float:
        """What it has grown by in the window, surely: 0 where that is not certain."""
        return max(0.0, self.low_per_s) * self.window_s


def second_half(points: Sequence[Point]) -> list[Point]:
    """What comes after the middle of the time: before, caches fill."""
    if not points:
        return []
    middle_s = (points[0][0] + points[-1][0]) / 2
    return [point for point in points if point[0] >= middle_s]


def slope(points: Sequence[Point]) -> Slope | None:
    """The slope of points in the order of their time; None where they are too few."""
    blocks = _medians(points)
    if len(blocks) < LEAST_POINTS:
        return None
    slopes = sorted((later - earlier) / (then_s - first_s) for (first_s, earlier), (then_s, later) in combinations(blocks, 2))
    count = len(blocks)
    deviation = math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    spread = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * deviation
    low, high = math.floor((len(slopes) - spread) / 2), math.ceil((len(slopes) + spread) / 2)
    window_s = points[-1][0] - points[0][0]
    return Slope(window_s, median(slopes), slopes[max(0, low)], slopes[min(len(slopes) - 1, high)])


def _medians(points: Sequence[Point]) -> list[Point]:
    """At most `BLOCKS` points, each the medians of as many that follow each other; of different times."""
    size = max(1, math.ceil(len(points) / BLOCKS))
    cut = [points[start : start + size] for start in range(0, len(points), size)]
    return [(median(at_s for at_s, _ in block), median(value for _, value in block)) for block in cut]
