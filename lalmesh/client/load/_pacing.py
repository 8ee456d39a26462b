"""When units leave, for all publishers at once: one timer, however many they are, and how late it was."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from heapq import heappop, heappush, heapreplace
from itertools import count
from typing import Final

TICK_S: Final = 0.001  #: between two looks: timers are no finer
BUCKET_S: Final = 0.0005  #: of lateness
BUCKETS: Final = 4000  #: 2 s; what is later counts as that


class Lateness:
    """How late something was, many thousand times a second: a histogram, and the worst of all."""

    def __init__(self) -> None:
        """Nothing was late."""
        self.count = 0
        self.worst_s = 0.0
        self._buckets = [0] * BUCKETS

    def add(self, late_s: float) -> None:
        """It was late by so much once more."""
        bucket = int(late_s / BUCKET_S)
        self._buckets[bucket if bucket < BUCKETS else -1] += 1
        self.count += 1
        if late_s > self.worst_s:
            self.worst_s = late_s

    def quantile_s(self, share: float) -> float:
        """The end of the bucket that `share` of all do not pass, at most the worst; 0 of none."""
        passed, wanted = 0, share * self.count
        for bucket, number in enumerate(self._buckets):
            passed += number
            if number and passed >= wanted:
                return min((bucket + 1) * BUCKET_S, self.worst_s)
        return 0.0


class Paced(ABC):
    """Who sends units when they are due."""

    due_s: float  #: when the next one is

    @abstractmethod
    def send_due(self, now_s: float) -> bool:
        """Send what is due next, and set `due_s`; whether to go on: False where it has to be added again once it can."""


class Pacing:
    """Lets everyone send when it is time."""

    def __init__(self) -> None:
        """Nobody sends."""
        self._heap: list[tuple[float, int, Paced]] = []
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def add(self, paced: Paced) -> None:
        """Let it send from its `due_s` on."""
        heappush(self._heap, (paced.due_s, next(self._numbers), paced))
        if self._timer is None:
            self._timer = self._loop.call_later(TICK_S, self._tick)

    def close(self) -> None:
        """Nobody sends any more."""
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        heap, now_s = self._heap, time.monotonic()
        while heap and heap[0][0] <= now_s:
            paced = heap[0][2]
            if paced.send_due(now_s):
                heapreplace(heap, (paced.due_s, next(self._numbers), paced))
            else:
                heappop(heap)
        self._timer = None
        if heap:
            wait_s = max(heap[0][0] - time.monotonic(), TICK_S)
            self._timer = self._loop.call_later(wait_s, self._tick)
