"""One player of a fan-out: where its bytes go, and how far it has come."""

from __future__ import annotations

import socket
from collections.abc import Callable, Hashable
from enum import Enum

from lalmesh.media import TrackSet

WRITE_HIGH_WATER_BYTES = 64 << 10  #: a transport that is written through and holds more than this has a player that lags
NOT_CLOSED = "player could not be closed"


class FeedState(Enum):
    """Where a player is."""

    WAITING = "waiting"  #: for a random access point
    LIVE = "live"
    LAGGING = "lagging"  #: its transport is full; what is written waits there
    SKIPPING = "skipping"  #: over its bound; nothing is written until it has drained


class PlayerFeed:
    """One player of a fan-out: where its bytes go, and how far it has come."""

    __slots__ = (
        "_live_from",
        "_sent",
        "allowance_bytes",
        "backlog",
        "close",
        "first_us",
        "has_copies",
        "is_full",
        "lagging_since",
        "skips",
        "socket",
        "state",
        "taker",
        "tracks",
        "write",
    )

    def __init__(
        self,
        write: Callable[[bytes], None],
        backlog: Callable[[], int],
        close: Callable[[str], None],
        own_socket: socket.socket | None = None,
        *,
        keeps_objects: bool = True,
        taker: Hashable = None,
    ) -> None:
        """Make the feed of a transport.

        Args:
            write: takes bytes and never blocks.
            backlog: how many of them wait in user space.
            close: ends the player, with a reason.
            own_socket: the feed's own, where blocks may go past the transport while nothing waits in it; the
                transport then reports itself full as soon as anything does.
            keeps_objects: whether the transport of that socket keeps what waits as it was given; one that encrypts never does.
            taker: who takes what it is given; the same for all feeds of a client that plays a stream again on its connection.
                None: there is no other of it.
        """
        self.write = write
        self.backlog = backlog
        self.close = close
        self.taker: Hashable = self if taker is None else taker
        self.socket = own_socket
        self.has_copies = own_socket is None or not keeps_objects  #: whether what waits for it is no object that others share
        self.state = FeedState.WAITING
        self.is_full = False  # whether something waits in its transport
        self.tracks: TrackSet | None = None  # those that it was told of, where it is not live; None: it has nothing yet
        self.lagging_since: float | None = None  # when its transport filled and has not drained since
        self.allowance_bytes = 0  # added to its bound until it has drained once: what its join gave it
        self.skips = 0
        self.first_us = 0  # Unix microseconds when media began to go out; 0: not yet
        self._sent = 0
        self._live_from = 0

    def release(self) -> None:
        """Give the socket back; the feed is of no more use."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def count(self, size: int) -> None:
        """Note `size` bytes written to this player alone."""
        self._sent += size

    def count_from(self, total: int) -> None:
        """From now on it gets everything; `total` is what everyone got so far."""
        self._live_from = total

    def got_more(self, total: int) -> bool:
        """Whether it got something of everyone's since `count_from`."""
        return total > self._live_from

    def count_until(self, total: int) -> None:
        """It gets everything no more; `total` is what everyone got so far."""
        self._sent += total - self._live_from

    def sent(self, total: int) -> int:
        """All bytes written to this player; `total` is what everyone got so far."""
        return self._sent + (total - self._live_from if self.state is FeedState.LIVE else 0)
