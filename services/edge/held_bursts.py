"""What players were given as they joined, and what it may take in memory until they have taken it: one bound for all of an edge.

What is cached is written to a player as one object, which its transport keeps whole until the last byte is sent. Players that join
before the next block share one; the next block makes another. Where a player has no socket of its own, it has a copy of its own
too: that is what TLS encrypts. What slow players hold beyond that is counted by `HeldCopies`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from services.edge.feed import PlayerFeed
from services.edge.held_copies import HeldCopies

MAX_HELD_BYTES = 256 << 20  #: eight times what is cached of a stream at most, by default: beyond, joins wait


class HeldBursts:
    """Counts the bytes that players were given as they joined and have not taken, each object once however many share it."""

    def __init__(self, max_bytes: int = MAX_HELD_BYTES) -> None:
        """Let so much be held."""
        self.refused = 0  #: joins that there was no room for; only rises
        self.copies = HeldCopies()
        self._max_bytes = max_bytes
        self._bytes = 0
        self._held: dict[Hashable, tuple[PlayerFeed, Hashable, bytes]] = {}  # by taker, with what is counted, see `_counted`
        self._users: Counter[Hashable] = Counter()  # by that

    @property
    def size_bytes(self) -> int:
        """What is held now."""
        return self._bytes

    def has_room(self, feed: PlayerFeed, burst: bytes) -> bool:
        """Whether a player may be given `burst`: not while it has not taken another, as one has that pauses and plays again.

        There always is room for one alone, which its cache has bounded.
        """
        if feed.taker in self._held:
            return False
        return not self._bytes or self._users[_counted(feed, burst)] > 0 or self._bytes + len(burst) <= self._max_bytes

    def begin(self, feed: PlayerFeed, burst: bytes) -> bool:
        """A player is about to be given `burst`; gives whether there is room."""
        self.look(feed)
        if not self.has_room(feed, burst):
            self.refused += 1
            return False
        counted = _counted(feed, burst)
        self._held[feed.taker] = feed, counted, burst
        self._users[counted] += 1
        if self._users[counted] == 1:
            self._bytes += len(burst)
        return True

    def look(self, feed: PlayerFeed) -> None:
        """Where nothing waits for a player any more, it has taken what it was given."""
        if feed.taker not in self._held or feed.backlog():
            return
        _, counted, burst = self._held.pop(feed.taker)
        self._users[counted] -= 1
        if not self._users[counted]:
            del self._users[counted]
            self._bytes -= len(burst)

    def sweep(self) -> None:
        """Look at all, once a second: a transport goes on holding what it was given when its player has left."""
        for feed, _, _ in list(self._held.values()):
            self.look(feed)
        self.copies.sweep()


def _counted(feed: PlayerFeed, burst: bytes) -> Hashable:
    """What is counted once: the burst, by its id, or, where the player has a copy, the player."""
    return feed.taker if feed.has_copies else id(burst)
