"""How many files and sockets the process may have open."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Sequence

from lalmesh.runtime.config import Config
from services.standalone.doctor._finding import Finding, failed, ok, warning
from services.standalone.doctor._place import Place
from services.standalone.doctor._ports import edge_listeners

SPARE = 256  #: descriptors beyond those of clients: links, files, logs
LEAST = 1024  #: with fewer no role gets far


def judge_descriptors(hard: int, connections: int, stated: int, keys: Sequence[str]) -> Iterator[Finding]:
    """Whether a process that may have `hard` descriptors can take what it is told to.

    Args:
        hard: the limit; nodes raise theirs to it on start.
        connections: what the listeners are told to let in together.
        stated: sessions of `edge.capacity`; 0: not stated.
        keys: that say how many the listeners let in.
    """
    remedy = "LimitNOFILE= of the systemd unit, `nofile` in /etc/security/limits.conf, or --ulimit nofile= of the container"
    if hard < LEAST:
        yield failed("nofile", f"at most {hard} open files and sockets", f"allow {max(connections + SPARE, LEAST)}: {remedy}")
    elif stated + SPARE > hard:
        yield failed(
            "nofile",
            f"at most {hard}, and edge.capacity.sessions is {stated}",
            f"allow {stated + SPARE}, or state less capacity: {remedy}",
        )
    elif not stated and connections + SPARE > hard:
        yield warning(
            "nofile",
            f"at most {hard}, and the listeners may let in {connections}",
            f"allow {connections + SPARE}, or lower {' and '.join(keys)}: {remedy}",
        )
    else:
        yield ok("nofile", f"{hard}, for {stated or connections} connections")


def connections_of(config: Config, place: Place) -> dict[str, int]:
    """What the listeners of the role may let in, by the key that says so."""
    found = {}
    if place.has("edge"):
        found["edge.limits.connections"] = config.edge.limits.connections * len(edge_listeners(config))
    if place.has("hls"):
        found["hls.limits.connections"] = config.hls.limits.connections
    if place.has("scheduler"):
        found["scheduler.http.limits.connections"] = config.scheduler.http.limits.connections
    return found


async def check_limits(place: Place) -> list[Finding]:
    """The process may open as many sockets as it is told to let in."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    stated = place.config.edge.capacity.sessions if place.has("edge") else 0
    if hard == resource.RLIM_INFINITY:
        return [ok("nofile", "no limit")]
    connections = connections_of(place.config, place)
    return list(judge_descriptors(hard, sum(connections.values()), stated, list(connections)))
