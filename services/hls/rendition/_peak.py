"""The bit rate that a multivariant playlist promises."""

from __future__ import annotations

from collections import deque

from lalmesh.media import TICKS_PER_SECOND


class PeakBitRate:
    """The highest bit rate of any segments in a row that last half to one and a half target durations together (RFC 8216 §4.1).

    So it is not that of one short segment, which may be a key picture alone.
    """

    def __init__(self, target: int) -> None:
        """Nothing is known; `target` is the target duration in ticks."""
        self.bps = 0  #: 0: nothing has lasted long enough yet
        self._shortest, self._longest = target // 2, target * 3 // 2
        self._newest: deque[tuple[int, int]] = deque()  # bytes and ticks of what may be in a row with the next, the newest first

    def add(self, size_bytes: int, duration: int) -> None:
        """Let the next segment count, of `duration` ticks."""
        self._newest.appendleft((size_bytes, duration))
        total_bytes = total = number = 0
        for size_bytes, duration in self._newest:
            if total + duration > self._longest:
                break
            number, total_bytes, total = number + 1, total_bytes + size_bytes, total + duration
            if total >= self._shortest:
                self.bps = max(self.bps, total_bytes * 8 * TICKS_PER_SECOND // total)
        while len(self._newest) > number:
            self._newest.pop()
