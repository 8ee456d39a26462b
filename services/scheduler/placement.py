"""Which origin carries a stream, and which one is its heir. A pure core.

Origins with room are ranked for the stream: those that share the machine of the publishing edge come last, for it must not take
stream and publisher at once; then those of the publisher's zone come first; among equals the hash decides (`candidates.py`). The
less loaded of the first two becomes the origin, and the next on another machine the heir.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from lalmesh.errors import NoOriginAvailable
from lalmesh.names import StreamKey
from services.scheduler.candidates import Candidate, choose_less_loaded, weight

RETRY_AFTER_S = 1.0  #: an origin that comes back, or a group that ends, is known within this


class Publisher(NamedTuple):
    """Where the publishing edge is; empty: not known."""

    machine: str = ""
    zone: str = ""


NOWHERE = Publisher()


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
    publisher: Publisher = NOWHERE,
    avoid: Collection[str] = (),
    prefer: str = "",
) -> Decision:
    """Choose origin and heir.

    Args:
        stream: what is to be placed.
        candidates: origins that are joined and not draining, with or without room.
        publisher: where the publishing edge is.
        avoid: names of origins that must not be chosen, nor as heir.
        prefer: name of the origin to take where it is a candidate with room: the heir of a lost origin.

    Raises:
        NoOriginAvailable: no candidate is left.
    """
    ranked = _ranked(stream, candidates, publisher, avoid)
    if not ranked:
        raise NoOriginAvailable(f"no origin has room for {stream}", retry_after_s=RETRY_AFTER_S)
    origin, reason = _choose(ranked, publisher, prefer)
    return Decision(origin, _choose_heir(ranked, origin), reason)


def heir_of(
    stream: StreamKey,
    origin: Candidate,
    candidates: Iterable[Candidate],
    *,
    publisher: Publisher = NOWHERE,
    avoid: Collection[str] = (),
) -> Candidate | None:
    """The heir of a group that is at `origin` whatever placement says; see `place`."""
    return _choose_heir(_ranked(stream, candidates, publisher, avoid), origin)


def _ranked(stream: StreamKey, candidates: Iterable[Candidate], publisher: Publisher, avoid: Collection[str]) -> list[Candidate]:
    usable = [candidate for candidate in candidates if candidate.has_room and candidate.name not in avoid]
    return sorted(usable, key=lambda each: (_distance(each, publisher), -weight(stream, each.name)))


def _distance(candidate: Candidate, publisher: Publisher) -> tuple[bool, bool]:
    """Whether it shares the publisher's machine, and whether it is in another zone."""
    return candidate.machine == publisher.machine, bool(publisher.zone) and candidate.zone != publisher.zone


def _choose(ranked: list[Candidate], publisher: Publisher, prefer: str) -> tuple[Candidate, str]:
    for candidate in ranked:
        if prefer and candidate.name == prefer:
            return candidate, f"{candidate.name} is the heir"
    nearest = _distance(ranked[0], publisher)
    equals = [candidate for candidate in ranked if _distance(candidate, publisher) == nearest]
    return choose_less_loaded(equals[:2], _describe(nearest, publisher))


def _describe(distance: tuple[bool, bool], publisher: Publisher) -> str:
    shares_machine, is_elsewhere = distance
    machine = ", on the publisher's machine for want of another" if shares_machine and publisher.machine else ""
    if not publisher.zone:
        return machine
    return machine + (f", none of zone {publisher.zone} being left" if is_elsewhere else f", in zone {publisher.zone}")


def _choose_heir(ranked: Iterable[Candidate], origin: Candidate) -> Candidate | None:
    """The first that does not share the machine of `origin`."""
    return next((each for each in ranked if each.machine != origin.machine and each.name != origin.name), None)
