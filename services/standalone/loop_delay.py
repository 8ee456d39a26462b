"""How late the loop of this process is: a node that is too busy shows it there first, where all that it does waits for its turn.

Where it stands still a thread says at what, while it does. That thread is late too where the process is not run at all (its
machine is paused, its share of the processor is used up), and has then spent no processor time: its line has both.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Iterable

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from lalmesh.runtime.durations import Durations, durations_metric

log = logging.getLogger(__name__)

STEP_S = 0.25  #: between two looks: each wakes a loop that has nothing to do, for 80 µs
WATCH_S = 0.5  #: between two looks of the thread
STILL_S = 1.0  #: by which a loop is late that is said to stand still: players notice


class LoopDelay(Collector):
    """Looks from being made, on the loop that runs then, until `stop`."""

    def __init__(self) -> None:
        """Begin to look."""
        self._loop = asyncio.get_running_loop()
        self._delays = Durations()
        self._timer = self._begin()
        self._stopped = threading.Event()
        threading.Thread(target=self._watch, args=(threading.get_ident(),), name="loop-watch", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()
        self._stopped.set()

    def _begin(self) -> asyncio.TimerHandle:
        self._looked_at = time.monotonic()  # for the thread: the clock of a loop may stand still with it
        self._due = self._loop.time() + STEP_S
        return self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._delays.add(self._loop.time() - self._due)
        self._timer = self._begin()

    def _watch(self, thread: int) -> None:
        """Say where the loop, which runs in `thread`, stands still, once each time."""
        told_of, slept_at, processor_s = 0.0, time.monotonic(), time.process_time()
        while not self._stopped.wait(WATCH_S):
            now, spent_s, looked_at = time.monotonic(), time.process_time(), self._looked_at
            still_s = now - looked_at - STEP_S
            if still_s >= STILL_S and looked_at != told_of:
                told_of = looked_at
                facts = {
                    "thread_late_s": round(now - slept_at - WATCH_S, 3),
                    "processor_s": round(spent_s - processor_s, 3),
                    "stack": "".join(traceback.format_stack(sys._current_frames().get(thread))),
                }
                log.warning("the event loop stands still, for %.1f s now", still_s, extra=facts)
            slept_at, processor_s = now, spent_s

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance."""
        return []

    def collect(self) -> Iterable[Metric]:
        """What there is now."""
        text = "How late a timer of this process went off, four a second: what is too busy is late with everything."
        yield durations_metric("lalmesh_loop_delay_seconds", text, self._delays)
