"""The events of an edge: its outbox, and what fills it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lalmesh.names import StreamKey
from lalmesh.runtime.event_outbox import EventOutbox
from lalmesh.runtime.events import Event
from lalmesh.runtime.ownership import NodeAddress
from lalmesh.runtime.scheduling import SchedulerClient
from services.edge.alarms import Alarms, AlarmSettings
from services.edge.client_events import ClientEvents
from services.edge.publisher import Publishers
from services.edge.session import Sessions

TELL_DEADLINE_S = 3.0
LEAVE_S = 1.5  #: for the last events to be taken when the edge stops


@dataclass(slots=True, frozen=True, kw_only=True)
class EventSettings:
    """What an edge tells of."""

    raw_query: bool = False
    alarms: AlarmSettings = field(default_factory=AlarmSettings)


class EdgeEvents:
    """What an edge tells of. Run `run` as a task, call `sweep` once a second."""

    def __init__(
        self,
        scheduler: SchedulerClient,
        address: Callable[[], NodeAddress],
        sessions: Sessions,
        publishers: Publishers,
        settings: EventSettings,
    ) -> None:
        """Tell `scheduler`, in the name of the node at `address`."""
        self._scheduler = scheduler
        self._address = address
        self._sessions = sessions
        self._publishers = publishers
        self.outbox = EventOutbox(address().node, self._tell)
        #: what clients do
        self.clients = ClientEvents(self.outbox, raw_query=settings.raw_query)
        self._alarms = Alarms(settings.alarms, self.outbox, self._publisher_of, asyncio.get_running_loop().time)
        sessions.watchers.append(self.clients)

    async def run(self) -> None:
        """Tell, without end."""
        await self.outbox.run()

    def sweep(self) -> None:
        """Look for alarms."""
        self._alarms.sweep((publishing.stream, publishing.core) for publishing in self._publishers)

    def apply(self, settings: EventSettings) -> None:
        """Go by other settings from now on."""
        self.clients.raw_query, self._alarms.settings = settings.raw_query, settings.alarms

    async def leave(self) -> None:
        """Wait until the last events were taken, or for `LEAVE_S`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self.outbox.emptied()

    async def _tell(self, events: Sequence[Event]) -> None:
        await self._scheduler.tell_events(self._address(), events, TELL_DEADLINE_S)

    def _publisher_of(self, stream: StreamKey) -> str:
        return next((each.session_id for each in self._sessions if each.stream == stream and each.is_input), "")
