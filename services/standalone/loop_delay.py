"""How late the loop of this process is: a node that is too busy shows it there first, where all that it does waits for its turn."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from lalmesh.runtime.durations import Durations, durations_metric

STEP_S = 0.25  #: between two looks: each wakes a loop that has nothing to do, for 80 µs


class LoopDelay(Collector):
    """Looks from being made, on the loop that runs then, until `stop`."""

    def __init__(self) -> None:
        """Begin to look."""
        self._loop = asyncio.get_running_loop()
        self._delays = Durations()
        self._timer = self._begin()

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _begin(self) -> asyncio.TimerHandle:
        self._due = self._loop.time() + STEP_S
        return self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._delays.add(self._loop.time() - self._due)
        self._timer = self._begin()

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance."""
        return []

    def collect(self) -> Iterable[Metric]:
        """What there is now."""
        text = "How late a timer of this process went off, four a second: what is too busy is late with everything."
        yield durations_metric("lalmesh_loop_delay_seconds", text, self._delays)
