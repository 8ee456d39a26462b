"""How many relays there may be, and how many of those that somebody's wish began may have brought nothing yet. A pure core.

Whoever asks for streams at random has a rule begin a pull for each name, and each is an entry of the registry, and dials to a
source.
"""

from __future__ import annotations

from lalmesh.runtime.recording import RuleError
from lalmesh.runtime.scheduling.control import MAX_RELAY_JOBS
from services.scheduler.directory import Directory
from services.scheduler.relay_records import RelayRecord

MAX_WAITING = 1000  #: pulls on demand of a cluster whose streams are not there: so many dials at a time, perhaps in vain
COUNTED_US = 1_000_000  #: after so long all are counted again, which takes 13 ms where there are 10,000


class RelaysFullError(RuleError):
    """There are too many relays for one more; later there may not be."""


class RelayRoom:
    """What is left, as one replica knows: others may begin some within `COUNTED_US` that it has not counted."""

    def __init__(self, directory: Directory) -> None:
        """Count in `directory`."""
        self._directory = directory
        self._relays = directory.relaying
        self._counted_us = -COUNTED_US
        self._all = self._waiting = 0

    def take(self, wall_us: int, *, on_demand: bool = False) -> None:
        """One relay begins, for somebody who wants it where it is `on_demand`.

        Raises:
            RelaysFullError: it must not.
        """
        if not 0 <= wall_us - self._counted_us < COUNTED_US:
            self._count(wall_us)
        if self._all >= MAX_RELAY_JOBS:
            raise RelaysFullError("urls", f"{MAX_RELAY_JOBS} relays are there already")
        if on_demand and self._waiting >= MAX_WAITING:
            raise RelaysFullError("urls", f"{MAX_WAITING} streams that somebody wants are being fetched, and not there yet")
        self._all += 1
        self._waiting += on_demand

    def _count(self, wall_us: int) -> None:
        pulls = self._relays.pulls()
        self._counted_us = wall_us
        self._all = len(pulls) + len(self._relays.pushes())
        self._waiting = sum(map(self._waits, pulls))

    def _waits(self, pull: RelayRecord) -> bool:
        rule = self._relays.rule(pull.rule) if pull.rule else None
        return rule is not None and rule.on_demand and self._directory.claim(pull.stream) is None
