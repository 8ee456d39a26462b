"""What slow players hold in copies of their own, and what it may take in memory: one bound for all of an edge.

A block that waits for many players is one object, as long as their transports keep what they are given as it is. Under TLS it is
encrypted for each of them at once; and the transports of asyncio put what waits together, each for itself.

TLS hands all that waits on as soon as what was handed on before has gone, and says then that nothing waits. So that counts until it
says so again, or until nothing has waited for a while.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.edge.feed import PlayerFeed

MAX_COPIED_BYTES = 512 << 20  #: as much as 64 players may have waiting by default: beyond, those that lag skip
EMPTY_LOOKS = 2  #: in a row, a second apart, that see nothing wait: what was handed on has gone


@dataclass(slots=True)
class _Copies:
    """Of one player."""

    waiting_bytes: int = 0  #: written while it lagged
    handed_bytes: int = 0  #: of what TLS handed on last
    empty_looks: int = 0  #: in a row


class HeldCopies:
    """Counts what was written to players that lag and have copies, until it has gone."""

    def __init__(self, max_bytes: int = MAX_COPIED_BYTES) -> None:
        """Let so much be held."""
        self.size_bytes = 0  #: what is held now
        self._max_bytes = max_bytes
        self._copies: dict[PlayerFeed, _Copies] = {}

    def handed_bytes(self, feed: PlayerFeed) -> int:
        """What a player holds of which its transport says nothing."""
        copies = self._copies.get(feed)
        return copies.handed_bytes if copies is not None else 0

    def begin(self, feed: PlayerFeed, size_bytes: int) -> bool:
        """A player that lags is about to be written to; gives whether there is room."""
        if not feed.has_copies:
            return True
        if self.size_bytes + size_bytes > self._max_bytes:
            return False
        self._copies.setdefault(feed, _Copies()).waiting_bytes += size_bytes
        self.size_bytes += size_bytes
        return True

    def drained(self, feed: PlayerFeed) -> None:
        """Its transport says that nothing waits: what was handed on has gone, and what waited is handed on."""
        copies = self._copies.get(feed)
        if copies is not None:
            self.size_bytes -= copies.handed_bytes
            copies.waiting_bytes, copies.handed_bytes, copies.empty_looks = 0, copies.waiting_bytes, 0

    def sweep(self) -> None:
        """Look at all, once a second."""
        for feed, copies in list(self._copies.items()):
            copies.empty_looks = 0 if feed.backlog() else copies.empty_looks + 1
            if copies.empty_looks >= EMPTY_LOOKS:
                del self._copies[feed]
                self.size_bytes -= copies.waiting_bytes + copies.handed_bytes
