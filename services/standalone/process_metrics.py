"""What can be told of any process of ours, whatever its role."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from lalmesh.runtime.certificate import end_of
from lalmesh.runtime.log_setup import dropped_lines
from services.standalone.heap import heap_used_bytes

_THREADS = Path("/proc/self/task")  #: Linux: those of libraries too


class ProcessMetrics(Collector):
    """Its clock, until when other nodes talk to it, and what only grows where something never ends."""

    def __init__(self, cluster_cert_file: str, wall_clock: Callable[[], float] = time.time) -> None:
        """Tell of the certificate in `cluster_cert_file` as it is now, for channels read it once too; empty: there is none."""
        self._wall_clock = wall_clock
        self._certificate_ends_at = end_of(Path(cluster_cert_file)) if cluster_cert_file else None

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance."""
        return []

    def collect(self) -> Iterable[Metric]:
        """What there is now."""
        yield GaugeMetricFamily(
            "lalmesh_time_seconds", "The clock of this machine as the node is asked, Unix time.", self._wall_clock()
        )
        yield GaugeMetricFamily("lalmesh_tasks", "Tasks of the event loop of this process.", len(_tasks()))
        yield GaugeMetricFamily("lalmesh_python_blocks", "Pieces of memory that Python has given out.", sys.getallocatedblocks())
        if (heap_bytes := heap_used_bytes()) is not None:
            text = "Bytes in use of the C library's heap: what libraries hold, and Python of what is large."
            yield GaugeMetricFamily("lalmesh_heap_used_bytes", text, heap_bytes)
        text = "Lines of the log that were dropped, as what it is written to did not take them."
        yield CounterMetricFamily("lalmesh_log_lines_dropped", text, dropped_lines())
        if _THREADS.exists():
            text = "Threads of this process, those of libraries too."
            yield GaugeMetricFamily("lalmesh_threads", text, len(os.listdir(_THREADS)))
        if self._certificate_ends_at is not None:
            text = "When the certificate that this node shows to others (`cluster.tls`) ends, Unix time."
            yield GaugeMetricFamily("lalmesh_cluster_certificate_end_timestamp_seconds", text, self._certificate_ends_at)


def _tasks() -> set[asyncio.Task[object]]:
    """Those that have not ended, on the loop that asks; none where that is no loop."""
    try:
        return asyncio.all_tasks()
    except RuntimeError:
        return set()
