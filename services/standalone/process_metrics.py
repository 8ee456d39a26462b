"""What can be told of any process of ours, whatever its role."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from lalmesh.runtime.certificate import end_of


class ProcessMetrics(Collector):
    """Its clock, and until when other nodes talk to it."""

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
        if self._certificate_ends_at is not None:
            text = "When the certificate that this node shows to others (`cluster.tls`) ends, Unix time."
            yield GaugeMetricFamily("lalmesh_cluster_certificate_end_timestamp_seconds", text, self._certificate_ends_at)
