"""Which origin carries a stream, which one is its heir, and which hls node segments it.

Every origin with room is given a rank for the stream by rendezvous hashing, so that the same few are tried first whoever asks, and
a lost or new origin moves no other stream. The less loaded of the first two becomes the origin, and the next on another machine
the heir. The machine of the publishing edge comes last: it must not take stream and publisher at once. Hls nodes are chosen in the
same way; they have no heirs, since whoever comes next finds in shared storage what it needs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from hashlib import blake2b

from lalmesh.errors import NoOriginAvailable
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NodeAddress

RETRY_AFTER_S = 1.0  #: an origin that comes back, or a group that ends, is known within this


@dataclass(slots=True, frozen=True, kw_only=True)
class Candidate:
    """An origin that new groups may go to, or an hls node that streams may be given to."""

    address: NodeAddress
    machine: str
    streams: int  #: groups that it has, or streams that it segments
    capacity: int = 0  #: how many it can have; 0 not stated
    lease_id: int = 0

    @property
    def name(self) -> str:
        """Name of the node."""
        return self.address.node.name

    @property
    def has_room(self) -> bool:
        """Whether one more fits."""
        return not self.capacity or self.streams < self.capacity


@dataclass(slots=True, frozen=True)
class Decision:
    """Where a group goes, and why."""

    origin: Candidate
    heir: Candidate | None
    reason: str


def place(
    stream: StreamKey,
    candidates: Iterable[Candidate],
    *,
    publisher_machine: str = "",
    avoid: Collection[str] = (),
    prefer: str = "",
) -> Decision:
    """Choose origin and heir.

    Args:
        stream: what is to be placed.
        candidates: origins that are joined and not draining, with or without room.
        publisher_machine: where the publishing edge is; empty: not known.
        avoid: names of origins that must not be chosen, nor as heir.
        prefer: name of the origin to take where it is a candidate with room: the heir of a lost origin.

    Raises:
        NoOriginAvailable: no candidate is left.
    """
    usable = [candidate for candidate in candidates if candidate.has_room and candidate.name not in avoid]
    if not usable:
        raise NoOriginAvailable(f"no origin has room for {stream}", retry_after_s=RETRY_AFTER_S)
    ranked = sorted(usable, key=lambda each: (each.machine == publisher_machine, -_weight(stream, each.name)))
    origin, reason = _choose(ranked, publisher_machine, prefer)
    return Decision(origin, choose_heir(ranked, origin), reason)


def heir_of(
    stream: StreamKey, origin: Candidate, candidates: Iterable[Candidate], *, publisher_machine: str = ""
) -> Candidate | None:
    """The heir of a group that stays where it is."""
    usable = [candidate for candidate in candidates if candidate.has_room]
    ranked = sorted(usable, key=lambda each: (each.machine == publisher_machine, -_weight(stream, each.name)))
    return choose_heir(ranked, origin)


def choose_worker(stream: StreamKey, candidates: Iterable[Candidate]) -> tuple[Candidate, str] | None:
    """The hls node that is to segment a stream, and why it; None where none has room."""
    usable = [candidate for candidate in candidates if candidate.has_room]
    ranked = sorted(usable, key=lambda each: -_weight(stream, each.name))
    return _less_loaded(ranked[:2], "") if ranked else None


def choose_heir(ranked: Iterable[Candidate], origin: Candidate) -> Candidate | None:
    """The first that does not share the machine of `origin`."""
    return next((each for each in ranked if each.machine != origin.machine and each.name != origin.name), None)


def _choose(ranked: list[Candidate], publisher_machine: str, prefer: str) -> tuple[Candidate, str]:
    for candidate in ranked:
        if prefer and candidate.name == prefer:
            return candidate, f"{candidate.name} is the heir"
    apart = [candidate for candidate in ranked if candidate.machine != publisher_machine]
    where = "" if apart or not publisher_machine else ", on the publisher's machine for want of another"
    return _less_loaded((apart or ranked)[:2], where)


def _less_loaded(first_two: list[Candidate], where: str) -> tuple[Candidate, str]:
    """The first, unless the second carries less; and why."""
    first, *others = first_two
    if not others:
        return first, f"{first.name} is the only one with room{where}"
    second = others[0]
    if _is_less_loaded(second, first):
        return second, f"{second.name} is second by hash, but carries less than {first.name} ({_loads(second, first)}){where}"
    return first, f"{first.name} is first by hash and carries no more than {second.name} ({_loads(first, second)}){where}"


def _is_less_loaded(one: Candidate, other: Candidate) -> bool:
    """Compare shares of capacity where both state theirs, otherwise counts."""
    if one.capacity and other.capacity:
        return one.streams * other.capacity < other.streams * one.capacity
    return one.streams < other.streams


def _loads(*candidates: Candidate) -> str:
    return " to ".join(f"{each.streams}/{each.capacity}" if each.capacity else str(each.streams) for each in candidates)


def _weight(stream: StreamKey, node: str) -> int:
    return int.from_bytes(blake2b(f"{stream}\0{node}".encode(), digest_size=8).digest(), "big")
