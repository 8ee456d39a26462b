"""Series that are there before anything is counted: Prometheus cannot tell how much one rose by that it has not seen before."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from prometheus_client import Counter, Histogram


def begin_at_zero(metric: Counter | Histogram, *values: Iterable[str]) -> None:
    """Have `metric` show every combination of label values; `values` are those of each label, in order."""
    for labels in product(*values):
        metric.labels(*labels)
