"""A player of a fan-out that takes nothing of what waits for it until a test says so."""

from __future__ import annotations

import socket
from typing import cast

from services.edge.feed import PlayerFeed


class StuckPlayer:
    """`waiting` is what its transport says; it has a socket of its own, and a transport that keeps what it is given, or not."""

    def __init__(self, *, has_socket: bool, keeps_objects: bool = True, plays_again: bool = False) -> None:
        """With something waiting; it has one feed, or more where it `plays_again`."""
        self.waiting = 1
        self._own = cast(socket.socket, object()) if has_socket else None
        self._keeps_objects = keeps_objects
        self._taker = self if plays_again else None
        self.feed = self.another_feed()

    def another_feed(self) -> PlayerFeed:
        """One more, of the same transport."""
        return PlayerFeed(
            lambda _data: None,
            lambda: self.waiting,
            lambda _reason: None,
            self._own,
            keeps_objects=self._keeps_objects,
            taker=self._taker,
        )
