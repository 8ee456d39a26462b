"""How much silence may be made where sound is missing.

Silence is made of nothing that came: units of a few bytes that say they are ten seconds apart would make hundreds of frames each.
So there is no more of it than sound can have been missing: some at once, and then as much as time passes. A hole beyond that stays
one. A file that is sent faster than it plays has ten seconds of it filled in all; where it plays as it is sent, every hole is.
"""

from __future__ import annotations

from typing import Final

from lalmesh.media import TICKS_PER_SECOND, us_to_ticks

#: made at once: the longest hole that is filled, 10 s, and 1 s by which units may come before it has passed
MAX_SILENCE_TICKS: Final = 11 * TICKS_PER_SECOND
#: by which the clock that is gone by may be set back before what it then lacks is forgiven
MAX_AHEAD_TICKS: Final = 120 * TICKS_PER_SECOND


class SilenceCredit:
    """Silence that one stream may still be filled up with."""

    __slots__ = ("_ticks", "_wall_us")

    def __init__(self) -> None:
        """Begin with all that is made at once."""
        self._ticks = MAX_SILENCE_TICKS
        self._wall_us: int | None = None

    def covers(self, ticks: int, wall_us: int) -> bool:
        """Whether so much may be made before a unit that came at `wall_us` (Unix µs).

        Where that is before a time that was told earlier, what passed until then had not, and is taken back.
        """
        if self._wall_us is not None:
            passed = us_to_ticks(wall_us - self._wall_us)
            self._ticks = max(-MAX_AHEAD_TICKS, min(MAX_SILENCE_TICKS, self._ticks + passed))
        self._wall_us = wall_us
        return ticks <= self._ticks

    def spend(self, ticks: int) -> None:
        """So much has been made."""
        self._ticks -= ticks
