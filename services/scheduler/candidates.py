"""Nodes that something may be given to, how full they are, and which of a few is taken for a stream.

A node states what it can carry in any of five dimensions, and its load is its share of the one that is fullest. Rendezvous hashing
ranks the nodes for a stream, so that the same few are tried first whoever asks and a lost or new node moves no other stream; of
the first two the less loaded is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NodeAddress
from lalmesh.runtime.scheduling.model import Capacity, Load

STREAM_BPS = 4_000_000  #: what a stream is taken to send until a report shows it: 1080p of common encoders


class Use(NamedTuple):
    """How much of one dimension is used."""

    dimension: str
    used: float
    limit: float

    @property
    def share(self) -> float:
        """1 is full."""
        return self.used / self.limit


@dataclass(slots=True, frozen=True, kw_only=True)
class Candidate:
    """An origin that new groups may go to, or an hls node that streams may be given to."""

    address: NodeAddress
    machine: str
    zone: str = ""
    streams: int = 0  #: groups that it has or is being given, or streams that it segments
    unseen: int = 0  #: those of them that `load` cannot show yet
    capacity: Capacity = field(default_factory=Capacity)
    load: Load = field(default_factory=Load)
    lease_id: int = 0

    @property
    def name(self) -> str:
        """Name of the node."""
        return self.address.node.name

    @property
    def has_room(self) -> bool:
        """Whether no dimension is full."""
        return all(use.used < use.limit for use in self.uses())

    @property
    def fullest(self) -> Use | None:
        """The dimension with the largest share; None where no capacity is stated."""
        return max(self.uses(), key=lambda use: use.share, default=None)

    def uses(self) -> Iterator[Use]:
        """Every dimension whose capacity is stated."""
        capacity, load = self.capacity, self.load
        if capacity.streams:
            yield Use("streams", self.streams, capacity.streams)
        if capacity.egress_bps:
            yield Use("bit/s", load.egress_bps + self.unseen * STREAM_BPS, capacity.egress_bps)
        if capacity.sessions:
            yield Use("sessions", load.sessions, capacity.sessions)
        if capacity.cpu_fraction:
            yield Use("processor", load.cpu_fraction, capacity.cpu_fraction)
        if capacity.memory_bytes:
            yield Use("memory", load.memory_bytes, capacity.memory_bytes)


def weight(stream: StreamKey, node: str) -> int:
    """The rank of a node for a stream, highest first: random to look at, and the same for all who ask."""
    return int.from_bytes(blake2b(f"{stream}\0{node}".encode(), digest_size=8).digest(), "big")


def choose_less_loaded(first_two: Sequence[Candidate], where: str = "") -> tuple[Candidate, str]:
    """The first, unless the second is less loaded; and why, with what else there is to say of `where` they are."""
    first, *others = first_two
    if not others:
        return first, f"{first.name} is the only one with room{where}"
    second = others[0]
    if _is_less_loaded(second, first):
        return second, f"{second.name} is second by hash, but carries less than {first.name} ({_loads(second, first)}){where}"
    return first, f"{first.name} is first by hash and carries no more than {second.name} ({_loads(first, second)}){where}"


def _is_less_loaded(one: Candidate, other: Candidate) -> bool:
    """Compare shares of the fullest dimension where both state a capacity, otherwise counts."""
    use, other_use = one.fullest, other.fullest
    if use is not None and other_use is not None:
        return use.share < other_use.share
    return one.streams < other.streams


def _loads(*candidates: Candidate) -> str:
    return " to ".join(map(_describe, candidates))


def _describe(candidate: Candidate) -> str:
    use = candidate.fullest
    return f"{candidate.streams} streams" if use is None else f"{use.share:.1%} of its {use.dimension}"
