"""Limits of applications at an edge: who publishes and plays here, and what the scheduler says of all edges."""

from __future__ import annotations

import asyncio
from collections import Counter

from lalmesh.runtime.authorisation import Action, AppLimit, AppLimits, Usage
from lalmesh.runtime.scheduling.control import AppUsage
from lalmesh.runtime.sessions import SessionRole
from services.edge.session import Session, Sessions

_ACTIONS = {SessionRole.PUBLISHER: Action.PUBLISH, SessionRole.PLAYER: Action.PLAY}


class EdgeLimits:
    """Counts sessions by application: a `SessionWatcher`. Relays are the operator's own, and are not limited."""

    def __init__(self, limits: tuple[AppLimit, ...], sessions: Sessions) -> None:
        """Keep `limits` over the clients of `sessions`."""
        self._counts: Counter[tuple[str, Action]] = Counter()
        self._limits = AppLimits(limits, self._count, asyncio.get_running_loop().time)
        sessions.watchers.append(self)

    def apply(self, limits: tuple[AppLimit, ...]) -> None:
        """Keep other limits from now on."""
        self._limits.limits = limits

    def check(self, app: str, action: Action) -> None:
        """Return if one more client fits.

        Raises:
            AccessRefused: it does not.
        """
        self._limits.check(app, action)

    def told(self, usage: AppUsage) -> None:
        """The scheduler says what applications use in the whole cluster."""
        self._limits.told(
            {app.app: Usage(publishers=app.publishers, players=app.players, egress_bps=app.egress_bps) for app in usage.apps}
        )

    def opened(self, session: Session) -> None:
        """See `SessionWatcher.opened`."""
        self._add(session, 1)

    def closed(self, session: Session, reason: str) -> None:
        """See `SessionWatcher.closed`."""
        self._add(session, -1)

    def _add(self, session: Session, count: int) -> None:
        action = _ACTIONS.get(session.role)
        if action is not None:
            key = (session.stream.app, action)
            self._counts[key] += count
            if not self._counts[key]:
                del self._counts[key]

    def _count(self, app: str, action: Action) -> int:
        return self._counts[app, action]
