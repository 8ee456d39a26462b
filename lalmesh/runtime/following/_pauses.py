"""Pauses that grow, in which a reader does nothing but wait."""

from __future__ import annotations

import random

FIRST_RETRY_S = 0.05  #: before an origin is tried again, and before the scheduler is asked again
MAX_RETRY_S = 1.0  #: pauses double up to this
MAX_BELOW_S = 30.0  #: and up to this where units come, though from a lower place than was seen: notices tell of a higher one sooner
ASK_AGAIN_S = 1.0  #: after an answer, where the origin that it names does not give the stream
STEADY_S = 5.0  #: a subscription that was followed for so long was no failure


class Pause:
    """Until something is done again."""

    def __init__(self, rng: random.Random) -> None:
        """Begin with none; `rng` spreads those of many readers."""
        self.at_s: float | None = None  #: when it is over
        self._rng = rng
        self._next_s = FIRST_RETRY_S

    def begin(self, now_s: float, longest_s: float, at_least_s: float = 0.0) -> None:
        """Pause from `now_s` on; the next pause is twice as long, up to `longest_s`."""
        self.at_s = now_s + max(at_least_s, self._next_s * self._rng.uniform(0.5, 1.0))
        self._next_s = min(longest_s, self._next_s * 2)

    def shorten(self) -> None:
        """The next pause is a first one."""
        self._next_s = FIRST_RETRY_S

    def end(self) -> None:
        """Wait no more, and not for long the next time."""
        self.at_s, self._next_s = None, FIRST_RETRY_S

    def is_over(self, now_s: float) -> bool:
        """Whether it ends by `now_s`; it is none any more then."""
        if self.at_s is None or now_s < self.at_s:
            return False
        self.at_s = None
        return True
