"""How long something took, over all times that it did: a histogram that costs no lock, no label and no look-up to add to."""

from __future__ import annotations

from bisect import bisect_left

from prometheus_client.core import HistogramMetricFamily

#: seconds: from a hop within a rack to what a person calls late
DELAY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
#: seconds: from a cache that is there to a player that has waited for its publisher
JOIN_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
#: seconds: from a disk that is there to a store that is away for minutes
STORING_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
#: seconds: from a planned move to the end of patience
GAP_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 5.0, 10.0, 30.0)


class Durations:
    """Seconds, counted by bucket. What is counted is read at each scrape."""

    __slots__ = ("_bounds_s", "_counts", "_sum_s")

    def __init__(self, bounds_s: tuple[float, ...] = DELAY_BUCKETS_S) -> None:
        """Count by these upper bounds, and what is longer."""
        self._bounds_s = bounds_s
        self._counts = [0] * (len(bounds_s) + 1)
        self._sum_s = 0.0

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self._counts)

    def add(self, seconds: float) -> None:
        """One more; below 0, as clocks that differ give it, it counts as 0."""
        seconds = max(0.0, seconds)
        self._counts[bisect_left(self._bounds_s, seconds)] += 1
        self._sum_s += seconds

    @property
    def buckets(self) -> list[tuple[str, float]]:
        """What Prometheus wants of it: how many took at most so long."""
        bounds = [*map(str, self._bounds_s), "+Inf"]
        totals, total = [], 0
        for count in self._counts:
            total += count
            totals.append(float(total))
        return list(zip(bounds, totals, strict=True))

    @property
    def sum_s(self) -> float:
        """All of them together."""
        return self._sum_s


def gap_metric(role: str, gaps: Durations) -> HistogramMetricFamily:
    """The metric of how long readers of a node of `role` got nothing."""
    text = "How long readers got nothing as their stream went from one origin to another, lost or moved."
    return durations_metric(f"{role}_failover_gap_seconds", text, gaps)


def link_delay_metric(role: str, delays: Durations) -> HistogramMetricFamily:
    """The metric of how late units come to a node of `role`."""
    text = "From a unit's arrival at its publisher's edge to its arrival here, by the clocks of both; looked at each second."
    return durations_metric(f"{role}_link_delay_seconds", text, delays)


def durations_metric(name: str, text: str, durations: Durations) -> HistogramMetricFamily:
    """The metric of one that has no labels."""
    return HistogramMetricFamily(name, text, durations.buckets, durations.sum_s)
