"""What runs here: for the versions of a rollout, and for which node a pod is."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

import lalmesh
from lalmesh.runtime.config import Config
from services.standalone import settings


class BuildInfo(Collector):
    """One series a process, always 1."""

    def __init__(self, config: Config, role: str) -> None:
        """Of the node that is configured so."""
        self._labels = {
            "role": role,
            "node": settings.node_name(config, role),
            "zone": config.cluster.zone,
            "version": lalmesh.__version__,
        }

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Always the same."""
        info = GaugeMetricFamily("lalmesh_build_info", "1, with what runs here.", labels=list(self._labels))
        info.add_metric(list(self._labels.values()), 1)
        yield info
