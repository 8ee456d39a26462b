"""When a relay tries again, and where: a pure core.

Sources are tried in their order, each at once after the one before; when all have failed there is a pause, which doubles up to a
bound and is drawn from its upper half, so that a thousand relays do not come back to a server in one moment. A relay that ran for a
while begins anew: with the first source, soon, and with all its retries.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from lalmesh.runtime.relay_rules import ENDLESS


@dataclass(slots=True, frozen=True, kw_only=True)
class RetrySettings:
    """How long to wait."""

    first_pause_s: float = 0.5
    longest_pause_s: float = 30.0
    steady_s: float = 5.0  #: who ran so long was well; who ended before counts as one that failed


class Attempts:
    """Of one relay."""

    def __init__(self, sources: int, retries: int, settings: RetrySettings, rng: random.Random) -> None:
        """Begin with the first of `sources`.

        Args:
            sources: how many there are, at least one.
            retries: rounds over all of them after one that failed; `ENDLESS`.
            settings: how long to wait.
            rng: draws the pauses.
        """
        self.source = 0  #: the one to try
        self.failed = 0  #: attempts since it ran last
        self._sources = sources
        self._retries = retries
        self._settings = settings
        self._rng = rng
        self._rounds = 0

    def ended(self, ran_s: float) -> float | None:
        """An attempt is over, in which media flowed for `ran_s` seconds.

        Returns:
            Seconds until the next, with `source`; None: no attempt is left.
        """
        settings = self._settings
        if ran_s >= settings.steady_s:
            self.source = self.failed = self._rounds = 0
            return self._rng.uniform(0, settings.first_pause_s)
        self.failed += 1
        self.source = (self.source + 1) % self._sources
        if self.source:
            return 0.0
        self._rounds += 1
        if self._retries != ENDLESS and self._rounds > self._retries:
            return None
        pause_s = min(settings.longest_pause_s, settings.first_pause_s * 2.0 ** min(self._rounds - 1, 30))
        return pause_s * self._rng.uniform(0.5, 1.0)
