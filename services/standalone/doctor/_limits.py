"""How many files and sockets the process may have open."""

from __future__ import annotations

import math
import resource
from collections.abc import Iterator, Sequence

from services.standalone.doctor._finding import Finding, failed, ok, warning
from services.standalone.doctor._place import Place
from services.standalone.doctor._ports import edge_listeners
from services.standalone.workers import worker_count

PER_PLAYER = 2  #: its connection, and what blocks go past that by, which those under TLS are without
SPARE = 256  #: descriptors beyond those of clients: links, files, logs
LEAST = 1024  #: with fewer no role gets far


def judge_descriptors(hard: int, let_in: int, stated: int, workers: int, keys: Sequence[str]) -> Iterator[Finding]:
    """Whether a process that may have `hard` descriptors can take what it is told to.

    Args:
        hard: the limit; nodes raise theirs to it on start.
        let_in: descriptors of all that the listeners of the process are told to let in.
        stated: sessions of `edge.capacity`; 0: not stated.
        workers: processes that share them.
        keys: that say how many the listeners let in.
    """
    needed = SPARE + (PER_PLAYER * math.ceil(stated / workers) if stated else let_in)
    remedy = "LimitNOFILE= of the systemd unit, `nofile` in /etc/security/limits.conf, or --ulimit nofile= of the container"
    if hard < LEAST:
        yield failed("nofile", f"at most {hard} open files and sockets", f"allow {max(needed, LEAST)}: {remedy}")
    elif needed <= hard:
        yield ok("nofile", f"{hard}, of which up to {needed} are needed")
    elif stated:
        yield failed(
            "nofile",
            f"at most {hard}, and edge.capacity.sessions, which is {stated}, needs up to {needed} in each process",
            f"allow {needed}, or state less capacity: {remedy}",
        )
    else:
        yield warning(
            "nofile",
            f"at most {hard}, and all that the listeners may let in needs up to {needed} in each process",
            f"allow {needed}, or lower {' and '.join(keys)}: {remedy}",
        )


def descriptors_of(place: Place, workers: int) -> dict[str, int]:
    """What each of `workers` processes needs for all that the listeners of the role may let in, by the key that says how many."""
    config, found = place.config, dict[str, int]()
    if place.has("edge"):
        of_each = math.ceil(config.edge.limits.connections / workers)
        found["edge.limits.connections"] = PER_PLAYER * of_each * len(edge_listeners(config))
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
    workers = worker_count(place.config, place.role)
    let_in = descriptors_of(place, workers)
    return list(judge_descriptors(hard, sum(let_in.values()), stated, workers, list(let_in)))
