"""Which media sequence numbers a worker may use, and where it begins: a pure core (docs/design.md §5, Fencing).

A number is never used for two contents, whoever dies. What is stored shows how far a worker has come; it may be `AHEAD` numbers
further, and beyond that it has the registry count them as used first: it asks one segment before it needs them. So a successor
knows a number that is free without asking the dead, and numbers rarely have holes. For one whose storage does not answer the
registry is told from time to time how far a worker has come.
"""

from __future__ import annotations

from dataclasses import dataclass

AHEAD = 3  #: numbers beyond the stored ones that are used without a word: the open segment, one that is being stored, and one more
MAX_STEP = 20  #: numbers that are asked for at once: a minute of segments without storage
BEHIND = 20  #: numbers that the registry may be behind those that are used and stored: a word a minute


@dataclass(slots=True, frozen=True)
class First:
    """Where a worker begins."""

    number: int
    resumes: bool  #: whether it goes on in the segment that the worker before had open


def first_number(*, limit: int, exact: bool, stored_next: int | None, fresh: int, is_known: bool = True) -> First:
    """The first number of a worker.

    Args:
        limit: of the registry: numbers below it may have been used; 0 none is known.
        exact: `limit` is the very next number: the worker before has handed over.
        stored_next: the number after the last one that is stored; None: nothing is.
        fresh: where to begin if nothing is known at all.
        is_known: whether `stored_next` is: a worker whose storage keeps up uses numbers far above its limit.
    """
    if not is_known:  # the clock helps where the registry could not be told
        return First(max(limit, fresh) + BEHIND + AHEAD, resumes=False)
    if stored_next is None:
        return First(limit or fresh, resumes=False)
    if exact or limit <= stored_next + AHEAD:
        return First(max(limit if exact else 0, stored_next), resumes=limit <= stored_next + AHEAD)
    return First(limit, resumes=False)


def fresh_number(unix_s: float, segment_ms: int) -> int:
    """Where numbers begin if nothing is known: so high that a server without memory never goes back.

    Segments are at least as long as the setting, but for the last before a discontinuity, so time outruns their numbers.
    """
    return int(unix_s * 1000) // segment_ms


class Numbers:
    """What one worker may use."""

    def __init__(self, limit: int, first: int) -> None:
        """Begin with `first`, where numbers below `limit` count as used."""
        self._limit = limit
        self._stored_next = first

    def stored(self, number: int) -> None:
        """All up to `number` is stored."""
        self._stored_next = max(self._stored_next, number + 1)

    def raised(self, limit: int) -> None:
        """The registry counts all below `limit` as used."""
        self._limit = max(self._limit, limit)

    def limit_for(self, number: int) -> int | None:
        """The limit to have raised when `number` begins, for the numbers after it; None where that is not needed yet.

        As many numbers are asked for as are not stored, so the first time few: a publisher that changes closes two segments at
        once, and a limit far beyond them would make a successor leave the numbers below it out, and begin the playlist anew. What
        only tells the registry how far it has come is below what a successor finds stored.
        """
        following = number + 1
        if following >= max(self._limit, self._stored_next + AHEAD):
            return following + min(MAX_STEP, number - self._stored_next)
        return following if following >= self._limit + BEHIND else None
