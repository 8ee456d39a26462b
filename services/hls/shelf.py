"""The files of a stream that are in memory: what is not stored yet, and the newest, which players ask for most.

Where the node holds too much, what storage has goes first, of whatever stream; then a stream loses its own oldest.
"""

from __future__ import annotations

from services.hls.rendition import MadeFile

NEWEST = 4  #: segments that stay in memory when they are stored: those whose parts are listed, and one more


class Budget:
    """What all shelves of a node may hold together."""

    def __init__(self, limit_bytes: int) -> None:
        """Allow `limit_bytes`."""
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._spare: dict[Shelf, None] = {}  # shelves that hold what storage has, whose turn it is first

    @property
    def is_over(self) -> bool:
        """Whether something has to go."""
        return self.used_bytes > self.limit_bytes

    def relieve(self) -> None:
        """While too much is held, have the shelves in turn give up what storage has."""
        while self.is_over and self._spare:
            shelf = next(iter(self._spare))
            del self._spare[shelf]
            if shelf.give_up_stored():
                self._spare[shelf] = None

    def offer(self, shelf: Shelf) -> None:
        """`shelf` holds something that storage has."""
        self._spare[shelf] = None

    def forget(self, shelf: Shelf) -> None:
        """`shelf` holds nothing any more."""
        self._spare.pop(shelf, None)


class Shelf:
    """One worker's files in memory, by name."""

    def __init__(self, budget: Budget) -> None:
        """Start empty."""
        self._budget = budget
        self._files: dict[str, bytes] = {}
        self._numbers: dict[int, list[str]] = {}  # names by the number of their segment
        self._stored_until = -1  # number of the last segment that is stored, with all before it

    def __len__(self) -> int:
        """How many files there are."""
        return len(self._files)

    def get(self, name: str) -> bytes | None:
        """The file of that name, None where it is not in memory."""
        return self._files.get(name)

    def put(self, file: MadeFile) -> list[int]:
        """Keep a file. Gives the numbers of unstored segments that had to go for it, the oldest first."""
        self._files[file.name] = file.data
        self._numbers.setdefault(file.number, []).append(file.name)
        self._budget.used_bytes += len(file.data)
        self._budget.relieve()
        lost = []
        while self._budget.is_over and len(self._numbers) > 1:
            lost.append(min(self._numbers))
            self._remove(lost[-1])
        return lost

    def give_up_stored(self) -> bool:
        """Give up the oldest segment, if storage has it and it is not the newest. False where there is none to give up."""
        number = min(self._numbers, default=self._stored_until + 1)
        if number > self._stored_until or len(self._numbers) < 2:
            return False
        self._remove(number)
        return True

    def stored(self, number: int) -> None:
        """Storage has the segment, and all before it."""
        self._stored_until = max(self._stored_until, number)
        for old in sorted(self._numbers)[:-NEWEST]:
            if old <= self._stored_until:
                self._remove(old)
        self._budget.offer(self)

    def clear(self) -> None:
        """Give all up."""
        for number in list(self._numbers):
            self._remove(number)
        self._budget.forget(self)

    def _remove(self, number: int) -> None:
        for name in self._numbers.pop(number):
            self._budget.used_bytes -= len(self._files.pop(name))
