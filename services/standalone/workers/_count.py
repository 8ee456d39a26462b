"""How many workers a node is to have."""

from __future__ import annotations

from collections.abc import Callable

from lalmesh.runtime.config import AUTO, MAX_WORKERS, Config, Role
from lalmesh.runtime.cores import granted_cores


def worker_count(config: Config, role: Role, cores: Callable[[], int] = granted_cores) -> int:
    """What is configured; `cores` gives what ``auto`` is. One: the node is a process by itself."""
    match role:
        case "edge" | "standalone":
            wanted = config.edge.workers
        case "origin":
            wanted = config.origin.workers
        case _:
            return 1
    return min(cores(), MAX_WORKERS) if wanted == AUTO else wanted
