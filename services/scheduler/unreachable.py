"""Origins that some readers cannot reach while others may: counted, logged, and shown to the operator. Nothing is moved for it."""

from __future__ import annotations

import logging
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import suppress

from lalmesh.runtime.ownership import NodeId
from lalmesh.runtime.zeroed import begin_at_zero
from services.scheduler.metrics import SchedulerMetrics

log = logging.getLogger(__name__)

SHOWN_S = 60.0  #: reports count for so long
MAX_REPORTS = 10_000  #: of one origin that are kept: as many readers as it may have
LOG_S = 10.0  #: between two lines of the log about one origin


class Unreachable:
    """Reports of readers, by origin."""

    def __init__(self, metrics: SchedulerMetrics, clock: Callable[[], float]) -> None:
        """Count in `metrics`; `clock` gives seconds and never steps."""
        self._metrics = metrics
        self._clock = clock
        self._reports: defaultdict[NodeId, deque[float]] = defaultdict(lambda: deque(maxlen=MAX_REPORTS))
        self._logged: dict[NodeId, float] = {}
        self._known: set[str] = set()

    def known(self, origin: NodeId) -> None:
        """There is this origin: nobody has reported it yet."""
        self._known.add(origin.name)
        begin_at_zero(self._metrics.unreachable, [origin.name])

    def gone(self, origin: NodeId) -> None:
        """It is no node any more, nor is another start of it: its series ends, as names may never come again."""
        self._known.discard(origin.name)
        self._end_series(origin)

    def report(self, origin: NodeId) -> None:
        """A reader says that it cannot reach `origin`."""
        now = self._clock()
        if origin not in self._reports:
            self._forget(now)
        self._metrics.unreachable.labels(origin.name).inc()
        self._reports[origin].append(now)
        if now - self._logged.get(origin, -LOG_S) >= LOG_S:
            self._logged[origin] = now
            log.warning("a reader cannot reach %s", origin.name)

    def count(self, origin: NodeId) -> int:
        """How often readers have said so within the last `SHOWN_S` seconds."""
        reports = self._reports.get(origin)
        while reports and reports[0] < self._clock() - SHOWN_S:
            reports.popleft()
        return len(reports) if reports else 0

    def _forget(self, now: float) -> None:
        """Drop what counts no more: origins that have ended are not asked for again, and each start of one is another."""
        for origin in [each for each, reports in self._reports.items() if not reports or reports[-1] < now - SHOWN_S]:
            del self._reports[origin]
            self._logged.pop(origin, None)
            if origin.name not in self._known:  # reported after it had gone
                self._end_series(origin)

    def _end_series(self, origin: NodeId) -> None:
        with suppress(KeyError):
            self._metrics.unreachable.remove(origin.name)
