"""What signals to end mean, one after the other."""

from __future__ import annotations

from enum import Enum

SAME_SIGNAL_S = 0.5  #: some who stop a process tell it and then its whole group: the same word said twice


class Word(Enum):
    """What a process is told by one of them."""

    END = "end"
    AT_ONCE = "at once"
    NOTHING = "nothing"  #: new


class EndSignals:
    """Those that one process is sent."""

    def __init__(self) -> None:
        """None was yet."""
        self._told_at: float | None = None

    def told(self, now: float) -> Word:
        """What one means that comes `now`, in seconds of any clock that does not step."""
        if self._told_at is None:
            self._told_at = now
            return Word.END
        return Word.NOTHING if now - self._told_at < SAME_SIGNAL_S else Word.AT_ONCE
