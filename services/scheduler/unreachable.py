"""Origins that some readers cannot reach while others may: counted, logged, and shown to the operator. Nothing is moved for it."""

from __future__ import annotations

import logging
from collections import defaultdict, deque
from collections.abc import Callable

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

    def known(self, origin: NodeId) -> None:
        """There is this origin: nobody has reported it yet."""
        begin_at_zero(self._metrics.unreachable, [origin.name])

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
