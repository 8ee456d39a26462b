"""What whole answers may take in memory while they come and while clients take them: one bound for all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

MAX_HELD_BYTES = 256 << 20  #: a hundred segments of 2.6 MB: beyond, answers pass through instead, as fast as each client takes them


class HeldBodies:
    """Counts the bytes of answers that are on their way, each body once however many take it."""

    def __init__(self, max_bytes: int = MAX_HELD_BYTES) -> None:
        """Let so much be held."""
        self._max_bytes = max_bytes
        self._bytes = 0
        self._users: dict[int, int] = {}  # by id of the body, which lives as long as it is used

    @property
    def size_bytes(self) -> int:
        """What is held now."""
        return self._bytes

    def take(self, size: int) -> bool:
        """Let `size` bytes more be held; gives whether there is room."""
        if self._bytes + size > self._max_bytes:
            return False
        self._bytes += size
        return True

    def give_back(self, size: int) -> None:
        """They are held no more."""
        self._bytes -= size

    @contextlib.contextmanager
    def using(self, body: bytes) -> Iterator[bool]:
        """Hold `body` for as long as the context lasts, where there is room; gives whether there is."""
        users = self._users.get(id(body), 0)
        if not users and not self.take(len(body)):
            yield False
            return
        self._users[id(body)] = users + 1
        try:
            yield True
        finally:
            self._users[id(body)] -= 1
            if not self._users[id(body)]:
                del self._users[id(body)]
                self.give_back(len(body))
