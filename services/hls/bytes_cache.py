"""What was made of something large and may be asked for again, bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)


class BytesCache(Generic[_Key]):
    """Bytes by what they were made of; the ones not asked for the longest go first."""

    def __init__(self, max_bytes: int) -> None:
        """Keep so much at most."""
        self._max_bytes = max_bytes
        self._made: OrderedDict[_Key, tuple[bytes, int]] = OrderedDict()
        self._bytes = 0

    @property
    def size_bytes(self) -> int:
        """What is kept now."""
        return self._bytes

    def get(self, key: _Key) -> bytes | None:
        """What was made of `key`, None where that is not known any more."""
        found = self._made.get(key)
        if found is None:
            return None
        self._made.move_to_end(key)
        return found[0]

    def put(self, key: _Key, made: bytes, *, key_bytes: int = 0) -> None:
        """Keep what was made of `key`, which itself takes `key_bytes`, unless both are more than may be kept in all."""
        self._drop(key)
        size = len(made) + key_bytes
        if size > self._max_bytes:
            return
        self._made[key] = made, size
        self._bytes += size
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._made)))

    def forget(self, is_useless: Callable[[_Key], bool]) -> None:
        """Drop what is made of anything that `is_useless`."""
        for key in [key for key in self._made if is_useless(key)]:
            self._drop(key)

    def _drop(self, key: _Key) -> None:
        found = self._made.pop(key, None)
        if found is not None:
            self._bytes -= found[1]
