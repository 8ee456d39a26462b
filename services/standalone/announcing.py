"""Events of a process: the first, which says that it has started, and how many wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

import lalmesh
from lalmesh.runtime.event_outbox import EventOutbox
from lalmesh.runtime.events import Facts


class HasOutbox(Protocol):
    """The events of a role."""

    @property
    def outbox(self) -> EventOutbox:
        """Where they go."""
        ...

    def started(self, facts: Facts) -> None:
        """Tell that the process has started."""
        ...


class Teller(Protocol):
    """A role of this process."""

    @property
    def events(self) -> HasOutbox:
        """What it tells of."""
        ...


class OutboxCollector(Collector):
    """What waits to be told, and what was not, read when it is asked for."""

    def __init__(self, tellers: Callable[[], Iterable[tuple[str, Teller | None]]]) -> None:
        """Read the roles that there are then, by their names."""
        self._tellers = tellers

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance."""
        return []

    def collect(self) -> Iterable[Metric]:
        """What there is now."""
        waiting = GaugeMetricFamily("lalmesh_events_waiting", "Events that the log does not have yet.", labels=("role",))
        size = GaugeMetricFamily("lalmesh_events_waiting_bytes", "What they are together, as JSON.", labels=("role",))
        dropped = CounterMetricFamily(
            "lalmesh_events_dropped", "Events that nobody will be told: too many waited, or nothing takes them.", labels=("role",)
        )
        for role, teller in self._tellers():
            if teller is not None:
                outbox = teller.events.outbox
                waiting.add_metric((role,), len(outbox))
                size.add_metric((role,), outbox.size_bytes)
                dropped.add_metric((role,), outbox.counters.dropped)
        return waiting, size, dropped


def announce(teller: Teller | None, role: str, ports: Mapping[str, int], started_us: int) -> None:
    """Have a role tell that the process listens on `ports`."""
    if teller is None:
        return
    facts = {"role": role, "version": lalmesh.__version__, "start_time_us": started_us, "ports": dict(ports)}
    teller.events.started(facts)


def now_us() -> int:
    """Unix microseconds."""
    return time.time_ns() // 1000
