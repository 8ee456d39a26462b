"""A player of a fan-out that takes nothing of what waits for it until a test says so."""

from __future__ import annotations

import socket
from typing import cast

from services.edge.feed import PlayerFeed


class StuckPlayer:
    """`waiting` is what its transport says; it has a socket of its own, and a transport that keeps what it is given, or not."""

    def __init__(self, *, has_socket: bool, keeps_objects: bool = True) -> None:
        """With something waiting."""
        self.waiting = 1
        own = cast(socket.socket, object()) if has_socket else None
        self.feed = PlayerFeed(lambda _data: None, lambda: self.waiting, lambda _reason: None, own, keeps_objects=keeps_objects)
