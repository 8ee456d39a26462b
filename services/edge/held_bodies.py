"""What whole answers may take in memory while they come and while clients take them: one bound for all."""

from __future__ import annotations

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

    def using(self, body: bytes) -> Using:
        """Hold `body` for as long as the context lasts, where there is room; it gives whether there is."""
        return Using(self, body)

    def begin(self, body: bytes) -> bool:
        """Somebody takes `body`; gives whether there is room."""
        users = self._users.get(id(body), 0)
        if not users and not self.take(len(body)):
            return False
        self._users[id(body)] = users + 1
        return True

    def end(self, body: bytes) -> None:
        """Who took it has it."""
        users = self._users[id(body)] - 1
        if users:
            self._users[id(body)] = users
        else:
            del self._users[id(body)]
            self.give_back(len(body))


class Using:
    """One answer on its way to one client. A class, as there is one for every playlist: a generator costs more than it does."""

    __slots__ = ("_bodies", "_body", "_has_room")

    def __init__(self, bodies: HeldBodies, body: bytes) -> None:
        """Of `bodies`, for `body`."""
        self._bodies, self._body, self._has_room = bodies, body, False

    def __enter__(self) -> bool:
        """Whether there is room."""
        self._has_room = self._bodies.begin(self._body)
        return self._has_room

    def __exit__(self, *_: object) -> None:
        """The client has it, or has gone."""
        if self._has_room:
            self._bodies.end(self._body)
