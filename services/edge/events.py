"""The events of an edge: what fills its outbox."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from lalmesh.names import StreamKey
from lalmesh.runtime.hls_sessions import PlayerEvents
from lalmesh.runtime.member import Member
from lalmesh.runtime.node_events import NodeEvents
from lalmesh.runtime.scheduling import SchedulerClient
from services.edge.alarms import Alarms, AlarmSettings
from services.edge.client_events import ClientEvents
from services.edge.publisher import Publishers
from services.edge.session import Session, Sessions


@dataclass(slots=True, frozen=True, kw_only=True)
class EventSettings:
    """What an edge tells of."""

    raw_query: bool = False
    alarms: AlarmSettings = field(default_factory=AlarmSettings)


class EdgeEvents(NodeEvents):
    """What an edge tells of. Run `run` as a task, call `sweep` once a second."""

    def __init__(
        self,
        scheduler: SchedulerClient,
        member: Member,
        sessions: Sessions,
        publishers: Publishers,
        settings: EventSettings,
    ) -> None:
        """Tell `scheduler` of `sessions` and `publishers`, in the name of `member`."""
        super().__init__(scheduler, member)
        self._sessions = sessions
        self._publishers = publishers
        #: what clients do
        self.clients = ClientEvents(self.outbox, raw_query=settings.raw_query)
        self._alarms = Alarms(settings.alarms, self.outbox, self._publisher_of, asyncio.get_running_loop().time)
        sessions.watchers.append(self.clients)
        #: what players of HLS do
        self.players = PlayerEvents(self.outbox)
        #: gives what tells of each of them that is counted now, unless it has left meanwhile
        self.players_again: Callable[[], Iterable[Callable[[], None]]] = tuple

    def sweep(self) -> None:
        """Look for alarms; see `NodeEvents.sweep`."""
        super().sweep()
        self._alarms.sweep((each.stream, each.core) for each in self._publishers if not each.has_left)

    def _sessions_again(self) -> Iterable[Callable[[], None]]:
        return [*(partial(self._tell_again, session) for session in self._sessions), *self.players_again()]

    def _tell_again(self, session: Session) -> None:
        if self._sessions.get(session.session_id) is session:
            self.clients.opened(session)

    def apply(self, settings: EventSettings) -> None:
        """Go by other settings from now on."""
        self.clients.raw_query, self._alarms.settings = settings.raw_query, settings.alarms

    def _publisher_of(self, stream: StreamKey) -> Session | None:
        return next((each for each in self._sessions if each.stream == stream and each.is_input), None)
