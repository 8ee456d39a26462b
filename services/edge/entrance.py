"""Who is let in: everybody, or nobody new while the edge drains or is full; and where whoever is not may go instead.

Requests are refused in the words of their protocol, and sent to another edge where the scheduler knows one that speaks it and the
protocol has a word for that: HTTP 302, the redirect of RTMP's connect, RTSP 302. A client that has come in may find the edge full
all the same, when it says what it wants: others were faster. It is refused then, and asks again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from enum import Enum

from lalmesh.errors import Unavailable
from lalmesh.runtime.addresses import host_port
from lalmesh.runtime.scheduling import Endpoint

RETRY_AFTER_S = 1.0  #: what clients are told that cannot be sent elsewhere: whoever spreads them has others at hand


class Closed(Enum):
    """Why nobody new is let in."""

    DRAINING = "the edge drains"
    FULL = "the edge is full"

    @property
    def label(self) -> str:
        """What metrics count it by."""
        return self.name.lower()


class TurnedAway(Unavailable):
    """An edge that lets nobody new in."""

    def __init__(self, closed: Closed) -> None:
        """Say why."""
        self.label = closed.label
        super().__init__(closed.value, retry_after_s=RETRY_AFTER_S)


class Entrance:
    """Whether an edge lets clients in, and where others are."""

    def __init__(self, elsewhere: Callable[[], Sequence[Endpoint]] = tuple, is_full: Callable[[], bool] = lambda: False) -> None:
        """Open while there is room; `elsewhere` gives the listeners of other edges."""
        self.drains = False
        self._is_full = is_full
        self._elsewhere = elsewhere

    def drain(self) -> None:
        """Let nobody in from now on."""
        self.drains = True

    @property
    def closed(self) -> Closed | None:
        """Why nobody new is let in now; None while somebody is."""
        if self.drains:
            return Closed.DRAINING
        return Closed.FULL if self._is_full() else None

    def check(self) -> None:
        """Let a new session pass.

        Raises:
            TurnedAway: the edge drains or is full.
        """
        if (closed := self.closed) is not None:
            raise TurnedAway(closed)

    @property
    def knows_others(self) -> bool:
        """Whether the scheduler has named other edges."""
        return bool(self._elsewhere())

    def url(self, protocol: str, path: str) -> str:
        """Where to ask for `path` (with a slash in front) instead; empty where nothing is known or nobody is to go."""
        known = [each for each in self._elsewhere() if each.protocol == protocol] if self.closed is not None else []
        if not known:
            return ""
        other = random.choice(known)
        return f"{protocol}://{host_port(other.host, other.port)}{path}"
