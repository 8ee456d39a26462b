"""How the roles of a process reach origins: within it where there is one, else over links that they share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from lalmesh.runtime.link import DirectLink, LinkPool, OriginLink
from lalmesh.runtime.link_metrics import link_metrics
from lalmesh.runtime.ownership import NodeId

if TYPE_CHECKING:
    from services.origin.app import OriginApp


class DirectLinks:
    """Links within this process: there is one origin."""

    def __init__(self, node: NodeId, origin: OriginApp) -> None:
        """Link `node` to `origin`."""
        self._link = DirectLink(node, origin.groups)

    def link(self, address: str) -> OriginLink:
        """The link to the only origin."""
        return self._link


class LinkCollector(Collector):
    """What went over a node's links, read when it is asked for."""

    def __init__(self, pool: LinkPool, role: str) -> None:
        """Read from `pool`, the links of `role`."""
        self._pool = pool
        self._role = role

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance."""
        return []

    def collect(self) -> Iterable[Metric]:
        """What there is now."""
        return link_metrics(self._role, len(self._pool.sessions), self._pool.totals)
