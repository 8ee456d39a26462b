"""The outbox of a node, with the way to its scheduler."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from lalmesh.runtime.event_outbox import EventOutbox
from lalmesh.runtime.events import Event
from lalmesh.runtime.ownership import NodeAddress
from lalmesh.runtime.scheduling import SchedulerClient

TELL_DEADLINE_S = 3.0
LEAVE_S = 1.5  #: for the last events to be taken when the node stops


class NodeEvents:
    """What a node tells of. Run `run` as a task of it."""

    def __init__(self, scheduler: SchedulerClient, address: Callable[[], NodeAddress]) -> None:
        """Tell `scheduler`, in the name of the node at `address`."""
        self._scheduler = scheduler
        self._address = address
        self.outbox = EventOutbox(address().node, self._tell)

    async def run(self) -> None:
        """Tell, without end."""
        await self.outbox.run()

    async def leave(self) -> None:
        """Wait until the last events were taken, or for `LEAVE_S`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self.outbox.emptied()

    async def _tell(self, events: Sequence[Event]) -> None:
        await self._scheduler.tell_events(self._address(), events, TELL_DEADLINE_S)
