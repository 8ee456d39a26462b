"""How often something happens, or how much of it, within spans of time of one length."""

from __future__ import annotations

from collections.abc import Callable


class WindowCount:
    """A count that begins anew with the first of what comes after its window is over."""

    __slots__ = ("_begun_s", "_clock", "_count", "_window_s")

    def __init__(self, window_s: float, clock: Callable[[], float]) -> None:
        """Begin with nothing; `clock` gives seconds."""
        self._window_s = window_s
        self._clock = clock
        self._begun_s = clock()
        self._count = 0

    def add(self, amount: int = 1) -> int:
        """So many more; gives how many that makes in this window."""
        now_s = self._clock()
        if now_s - self._begun_s >= self._window_s:
            self._count, self._begun_s = 0, now_s
        self._count += amount
        return self._count
