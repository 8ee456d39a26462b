"""Nodes by what they do for the first stream at the moment."""

from __future__ import annotations

from services.origin.events import GroupState
from simulation.cluster import Cluster
from simulation.nodes import EdgeNode, Node, OriginNode, SchedulerNode

DUTIES = ("origin", "heir", "publisher", "reader", "segmenter")  #: and, where a plan names them, "spare" and "host"


def node(cluster: Cluster, whom: str) -> Node | None:
    """A node by its name, or one of `DUTIES`: by what it does for the first stream now.

    A ``spare`` is the origin that is neither origin nor heir, the ``host`` the scheduler that the publishing edge is a member of.
    """
    match whom:
        case "origin":
            return origin_of(cluster)
        case "heir":
            return heir_of(cluster)
        case "spare":
            busy = (origin_of(cluster), heir_of(cluster))
            return next((origin for origin in cluster.origins if origin not in busy), None)
        case "publisher":
            return publisher_of(cluster)
        case "host":
            return host_of(cluster)
        case "segmenter":
            return next((each for each in cluster.segmenters if each.is_running and len(each.app.workers)), None)
        case "reader":
            publishing = publisher_of(cluster)
            return next((edge for edge in cluster.edges if edge.players and edge is not publishing), None)
        case _:
            return next((each for each in cluster.nodes if each.name == whom), None)


def origin_of(cluster: Cluster) -> OriginNode | None:
    """The origin that takes the first stream in."""
    stream = cluster.streams[0]
    for origin in cluster.origins:
        if origin.is_running and any(group.stream == stream and group.state is GroupState.LIVE for group in origin.app.groups):
            return origin
    return None


def heir_of(cluster: Cluster) -> Node | None:
    publishing = next((encoder.publishing for encoder in cluster.encoders if encoder.is_live), None)
    grant = publishing.grant if publishing is not None else None
    return None if grant is None or grant.heir is None else node(cluster, grant.heir.node.name)


def publisher_of(cluster: Cluster) -> EdgeNode | None:
    """The edge that the first stream is published at."""
    return next((encoder.edge for encoder in cluster.encoders if encoder.is_live and encoder.stream == cluster.streams[0]), None)


def host_of(cluster: Cluster) -> SchedulerNode | None:
    """The scheduler that the edge with the first stream is a member of."""
    edge = publisher_of(cluster)
    if edge is None:
        return None
    running = (scheduler for scheduler in cluster.schedulers if scheduler.is_running)
    return next((each for each in running if any(session.node.name == edge.name for session in each.service.members)), None)
