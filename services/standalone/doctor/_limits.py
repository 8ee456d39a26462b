"""How many files and sockets the process may have open."""

from __future__ import annotations

import math
import resource
from collections.abc import Iterator, Sequence

from lalmesh.runtime.config import UDP_PAIR, EdgeConfig
from services.standalone.doctor._finding import Finding, failed, ok, warning
from services.standalone.doctor._place import Place
from services.standalone.doctor._udp_ports import TRACKS, udp_ports
from services.standalone.workers import worker_count

PLAIN = 2  #: of a player: its connection, and what blocks go past that by (`services.edge.direct`)
UNDER_TLS = 1  #: of a player: no block goes past that
ASKING = 2  #: of a player of HLS: its connection, and one to an hls node that is asked for it
SECURE = frozenset(("rtmps", "rtsps", "https"))
WITH_HLS = frozenset(("http", "https"))
BY_UDP = 1 + UDP_PAIR * TRACKS  #: of a client of RTSP: its connection, which no block goes past, and its ports
SPARE = 256  #: descriptors beyond those of clients: links, files, logs
LEAST = 1024  #: with fewer no role gets far


def judge_descriptors(hard: int, needed: int, stated: int, keys: Sequence[str]) -> Iterator[Finding]:
    """Whether a process that may have `hard` descriptors can take what it is told to.

    Args:
        hard: the limit; nodes raise theirs to it on start.
        needed: by what is stated, else by all that the listeners are told to let in.
        stated: sessions of `edge.capacity`; 0: not stated.
        keys: that say how many the listeners let in.
    """
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
        edge = config.edge
        of_each = math.ceil(edge.limits.connections / workers)
        of_clients = of_each * sum(max(of_player(each), ASKING if each in WITH_HLS else 0) for each in edge.listeners)
        found["edge.limits.connections"] = of_clients + _more_by_udp(edge, of_each, workers)
    if place.has("hls"):
        found["hls.limits.connections"] = config.hls.limits.connections * (2 if config.hls.https_enabled else 1)
    if place.has("scheduler"):
        found["scheduler.http.limits.connections"] = config.scheduler.http.limits.connections
    return found


def descriptors_of_sessions(edge: EdgeConfig, workers: int) -> int:
    """What each of `workers` processes needs for the sessions that are stated, of which players of HLS are none."""
    of_each = math.ceil(edge.capacity.sessions / workers)
    return of_each * max(map(of_player, edge.listeners), default=0) + _more_by_udp(edge, of_each, workers)


def of_player(listener: str) -> int:
    """What a player of live streams needs who comes to an edge's `listener`; publishers need no more, but by UDP."""
    return UNDER_TLS if listener in SECURE else PLAIN


def _more_by_udp(edge: EdgeConfig, clients: int, workers: int) -> int:
    """What is needed beyond that where as many of `clients` as get ports use UDP; those that all share are few."""
    ports = udp_ports(edge, workers)
    if ports is None or ports.is_shared:
        return 0
    pairs = math.ceil(len(ports.pairs) / workers)
    return min(clients, math.ceil(pairs / TRACKS)) * (BY_UDP - PLAIN)


async def check_limits(place: Place) -> list[Finding]:
    """The process may open as many sockets as it is told to let in."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        return [ok("nofile", "no limit")]
    edge, workers = place.config.edge, worker_count(place.config, place.role)
    stated = edge.capacity.sessions if place.has("edge") else 0
    let_in = descriptors_of(place, workers)
    needed = SPARE + (descriptors_of_sessions(edge, workers) if stated else sum(let_in.values()))
    return list(judge_descriptors(hard, needed, stated, list(let_in)))
