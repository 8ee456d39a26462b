"""Whether the stores that replicas share answer: etcd and Redis, as this replica sees them."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class Reached:
    """What became of the calls to one store. Every few seconds at least a replica renews its lease in etcd, and asks Redis."""

    __slots__ = ("failures", "is_up")

    def __init__(self) -> None:
        """Nothing was asked yet."""
        self.is_up = True  #: whether the last call was answered
        self.failures = 0  #: calls that were not

    def answered(self) -> None:
        """A call was, be it by a refusal."""
        self.is_up = True

    def failed(self) -> None:
        """A call was not, or the store could not do what it was asked to."""
        self.is_up = False
        self.failures += 1


class StoreMetrics(Collector):
    """The stores that are elsewhere, for Prometheus; what is kept in memory is none."""

    def __init__(self) -> None:
        """Begin without any."""
        self._stores: dict[str, Reached] = {}

    def of(self, store: str) -> Reached:
        """What became of the calls to `store`; the same for all parts of it."""
        return self._stores.setdefault(store, Reached())

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance."""
        return []

    def collect(self) -> Iterable[Metric]:
        """What there is now."""
        up = GaugeMetricFamily("scheduler_store_up", "1 while etcd, or Redis, answers this replica.", labels=("store",))
        failures = CounterMetricFamily(
            "scheduler_store_failures", "Calls that etcd, or Redis, did not carry out.", labels=("store",)
        )
        for store, reached in self._stores.items():
            up.add_metric((store,), int(reached.is_up))
            failures.add_metric((store,), reached.failures)
        return up, failures
