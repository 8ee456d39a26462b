"""Where the players and publishers of an edge that drains may go."""

from __future__ import annotations

from lalmesh.runtime.ownership import NodeId
from lalmesh.runtime.scheduling.model import Endpoint, Role
from services.scheduler.directory import Directory

MAX_EDGES = 8  #: that are named: they share what one edge has, and each is in every answer to a report while that drains


def edge_endpoints(directory: Directory, drained: NodeId) -> tuple[Endpoint, ...]:
    """Every listener of the edges that take sessions, of the least loaded `MAX_EDGES`, never of `drained`.

    The registry may not say yet that this one drains.
    """
    edges = [
        record
        for record in directory.nodes()
        if record.role is Role.EDGE and record.node != drained and directory.state_of(record) == "joined"
    ]
    edges.sort(key=lambda record: (record.load.sessions, record.node))
    return tuple(endpoint for record in edges[:MAX_EDGES] for endpoint in record.endpoints)
