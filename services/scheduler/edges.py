"""Edges that clients may be sent to: how much of each is used, and draws among them by what they can carry. A pure core."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from lalmesh.runtime.scheduling.model import Capacity, Endpoint, Load
from services.scheduler.candidates import STREAM_BPS
from services.scheduler.expected import NOBODY, Coming
from services.scheduler.records import NodeRecord

NOMINAL_SESSIONS = 1000  #: what an edge that states neither sessions nor bit/s is taken to carry; it is never full by that
GOLDEN = (5**0.5 - 1) / 2  #: steps of this around a circle leave no gap much larger than another, however many there are
MEASURED_FROM = 10  #: sessions from which on what an edge says of all of them tells what one takes


class Usage(NamedTuple):
    """How much of an edge is used, with what is on its way to it."""

    share: float  #: of the dimension that is fullest; 1 is full
    dimension: str
    is_full: bool

    def __str__(self) -> str:
        """``12.5% of its sessions``."""
        return f"{self.share:.1%} of its {self.dimension}"


class Edge(NamedTuple):
    """An edge at one of its listeners."""

    record: NodeRecord
    endpoint: Endpoint

    @property
    def name(self) -> str:
        """Name of the node."""
        return self.record.node.name


def usage_of(capacity: Capacity, load: Load, coming: Coming, doubted: Coming = NOBODY) -> Usage:
    """How much of an edge is used.

    Args:
        capacity: as it states it.
        load: as it reported it last.
        coming: what was sent there since: each takes what the sessions that are there take each, or that of a common stream.
        doubted: what may come beside that: it counts for the share, and does not make the edge full.
    """
    share, dimension = _fullest(capacity, load, coming)
    is_full = share >= 1
    if doubted is not NOBODY:
        coming = Coming(coming.sessions + doubted.sessions, coming.plays + doubted.plays)
        share, dimension = _fullest(capacity, load, coming)
    if not (capacity.sessions or capacity.egress_bps) and (nominal := (load.sessions + coming.sessions) / NOMINAL_SESSIONS) > share:
        share, dimension = nominal, "sessions"
    return Usage(share, dimension, is_full)


def _fullest(capacity: Capacity, load: Load, coming: Coming) -> tuple[float, str]:
    """The share that is used of the fullest dimension that has a limit; below 0 where none has. Plain: it is asked for six edges
    with each route.
    """
    share, dimension = -1.0, ""
    if capacity.sessions:
        share, dimension = (load.sessions + coming.sessions) / capacity.sessions, "sessions"
    if capacity.egress_bps:
        each_bps = _each(load.egress_bps - load.hls_egress_bps, load.sessions) or STREAM_BPS
        used = (load.egress_bps + coming.plays * each_bps) / capacity.egress_bps
        if used > share:
            share, dimension = used, "bit/s"
    if capacity.cpu_fraction:
        used = (load.cpu_fraction + coming.sessions * _each(load.cpu_fraction, load.sessions)) / capacity.cpu_fraction
        if used > share:
            share, dimension = used, "processor"
    if capacity.memory_bytes and (used := load.memory_bytes / capacity.memory_bytes) > share:
        share, dimension = used, "memory"
    return share, dimension


def _each(total: float, sessions: int) -> float:
    """What one session takes, 0 where that cannot be told."""
    return total / sessions if sessions >= MEASURED_FROM else 0.0


def weight_of(capacity: Capacity) -> float:
    """What an edge can carry, in sessions of a common stream: how often it is drawn."""
    limits = [float(capacity.sessions)] if capacity.sessions else []
    if capacity.egress_bps:
        limits.append(capacity.egress_bps / STREAM_BPS)
    return min(limits, default=float(NOMINAL_SESSIONS))


class Pool:
    """Edges that listen for the same."""

    def __init__(self, edges: Sequence[Edge], begin: float = 0.0) -> None:
        """Draw among `edges`; `begin`, from 0 to 1, is another one for each replica, so that they do not all draw the same."""
        self.edges = {edge.record.node: edge for edge in edges}
        self.full_until = float("-inf")  #: when it is worth another look whether one has room
        self._roomy: Pool | None = None  # those of them that had room when all were looked at last
        self._roomy_until = float("-inf")
        self._drawn = list(self.edges.values())
        self._ends = list(accumulate(weight_of(edge.record.capacity) for edge in self._drawn))
        self._turn = begin

    def __len__(self) -> int:
        """How many there are."""
        return len(self._drawn)

    @property
    def weight(self) -> float:
        """What all of them can carry, in sessions of a common stream."""
        return self._ends[-1] if self._ends else 0.0

    def drawn_from(self, now: float) -> Pool:
        """Those to draw among: all, or those that are known to be worth it until `now` has gone on far enough."""
        if self._roomy is not None and now >= self._roomy_until:
            self._roomy = None
        return self if self._roomy is None else self._roomy

    def narrow(self, edges: Sequence[Edge], until: float) -> None:
        """Of those that were drawn among these have room; all are looked at again at `until`, or when that was due before."""
        if self._roomy is None:
            self._roomy_until = until
        self._roomy = Pool(edges, self._turn)

    def draw_two(self, rng: random.Random) -> list[Edge]:
        """Two of them, each as often as it can carry more than the others; the only one where there is no second.

        The first takes turns, the second is by chance: so a small edge, which chance alone leaves out for long, falls behind by
        hardly more than one session before it is drawn.
        """
        if len(self._drawn) < 2:
            return list(self._drawn)
        self._turn = (self._turn + GOLDEN) % 1.0
        first = self._at(self._turn * self._ends[-1])
        begin, end = self._ends[first - 1] if first else 0.0, self._ends[first]
        place = rng.random() * (self._ends[-1] - (end - begin))
        second = self._at(place if place < begin else place + (end - begin))
        if second == first:  # the sums are rounded
            second = first - 1 if first else 1
        return [self._drawn[first], self._drawn[second]]

    def _at(self, place: float) -> int:
        return min(bisect_right(self._ends, place), len(self._drawn) - 1)
