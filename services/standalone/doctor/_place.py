"""Where the doctor looks: the configuration of a role on this machine, and what a scheduler tells of the cluster."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from lalmesh.runtime.config import Config, Role
from services.standalone.doctor._cluster import ClusterView, view_cluster


@dataclass(slots=True)
class Place:
    """What checks look at."""

    config: Config
    role: Role
    api: str = ""  #: URL of a scheduler's HTTP API; empty: by the configuration
    limit_s: float = 5.0  #: for one check
    _view: asyncio.Task[ClusterView] | None = field(default=None, init=False, repr=False)

    def has(self, *roles: Role) -> bool:
        """Whether a process of the role does the work of one of `roles`."""
        return self.role == "standalone" or self.role in roles

    async def cluster(self) -> ClusterView:
        """What a scheduler tells, asked once for all checks."""
        if self._view is None:
            self._view = asyncio.create_task(view_cluster(self.config, self.role, self.api, self.limit_s))
        return await asyncio.shield(self._view)

    async def close(self) -> None:
        """End what still asks."""
        if self._view is not None:
            self._view.cancel()
            await asyncio.gather(self._view, return_exceptions=True)
