"""Where the players and publishers of an edge that drains may go."""

from __future__ import annotations

from lalmesh.runtime.scheduling.model import Endpoint, Role
from services.scheduler.directory import Directory

MAX_EDGES = 8  #: that are named: they share what one edge has, and each is in every answer to a report while that drains


def edge_endpoints(directory: Directory) -> tuple[Endpoint, ...]:
    """Every listener of the edges that take sessions, of the least loaded `MAX_EDGES`."""
    edges = [record for record in directory.nodes() if record.role is Role.EDGE and directory.state_of(record) == "joined"]
    edges.sort(key=lambda record: (record.load.sessions, record.node))
    return tuple(endpoint for record in edges[:MAX_EDGES] for endpoint in record.endpoints)
