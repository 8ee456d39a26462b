"""How much of a cluster the streams of one application may use.

The schedulers add up what all edges report and tell every edge, about once a second. An edge counts what it has let in since on
top, so one edge alone never goes over a limit; several at the same moment may, by what each lets in until all have heard of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from lalmesh.runtime.authorisation._request import Action
from lalmesh.runtime.authorisation._verdict import AccessRefused

MAX_LIMITS: Final = 1000
MAX_LIMIT_CHARS: Final = 2048
MAX_VALUE: Final = 10**15
RETRY_AFTER_S: Final = 5.0
TOLD_LASTS_S: Final = 10.0  #: that what the scheduler told counts; after that an edge knows only of itself
_NAMES: Final = ("publishers", "players", "egress_bps")


@dataclass(slots=True, frozen=True, kw_only=True)
class AppLimit:
    """What the streams of each application that matches may use together; 0: no limit."""

    pattern: str
    publishers: int = 0
    players: int = 0
    egress_bps: int = 0


def parse_limit(text: str) -> AppLimit:
    """A limit as it is written: ``live publishers=10 players=500 egress_bps=100000000``.

    Raises:
        ValueError: it is none; the message says what is wrong.
    """
    pattern, *rest = text.split() or [""]
    if not pattern or not rest or len(text) > MAX_LIMIT_CHARS:
        raise ValueError(f"a limit is APP NAME=NUMBER..., with names of {', '.join(_NAMES)}")
    values: dict[str, int] = {}
    for word in rest:
        name, _, number = word.partition("=")
        if name not in _NAMES or not (number.isascii() and number.isdigit()) or int(number[:20]) > MAX_VALUE:
            raise ValueError(f"{word[:50]!r} is no limit: {', '.join(_NAMES)}")
        values[name] = int(number)
    return AppLimit(pattern=pattern, **values)


def limit_of(limits: Sequence[AppLimit], app: str) -> AppLimit | None:
    """The first that matches `app`; None where there is none."""
    return next((limit for limit in limits if fnmatchcase(app, limit.pattern)), None)


@dataclass(slots=True, frozen=True, kw_only=True)
class Usage:
    """What the streams of an application use in the whole cluster."""

    publishers: int = 0
    players: int = 0
    egress_bps: int = 0


NOTHING: Final = Usage()


class AppLimits:
    """The limits at one edge."""

    def __init__(self, limits: Sequence[AppLimit], here: Callable[[str, Action], int], clock: Callable[[], float]) -> None:
        """Keep `limits`; `here` counts the publishers or players of an application at this edge, `clock` gives seconds."""
        self.limits = tuple(limits)
        self._here = here
        self._clock = clock
        self._told: Mapping[str, Usage] = {}
        self._told_at_s = float("-inf")
        self._before: Counter[tuple[str, Action]] = Counter()  # here, when it was told

    def told(self, usage: Mapping[str, Usage]) -> None:
        """The scheduler says what all edges together have."""
        self._told, self._told_at_s = dict(usage), self._clock()
        self._before = Counter({(app, action): self._here(app, action) for app in usage for action in Action})

    def check(self, app: str, action: Action) -> None:
        """Return if one more fits.

        Raises:
            AccessRefused: it does not.
        """
        limit = limit_of(self.limits, app)
        if limit is None:
            return
        usage = self._told.get(app, NOTHING) if self._clock() - self._told_at_s < TOLD_LASTS_S else NOTHING
        here = self._here(app, action)
        told = usage.publishers if action is Action.PUBLISH else usage.players
        count = max(here, told + here - self._before[app, action])
        most = limit.publishers if action is Action.PUBLISH else limit.players
        is_full = action is Action.PLAY and 0 < limit.egress_bps <= usage.egress_bps
        if 0 < most <= count or is_full:
            detail = f"{app} has {count} {'publishers' if action is Action.PUBLISH else 'players'}, {usage.egress_bps} bit/s"
            raise AccessRefused.full(detail, RETRY_AFTER_S)
