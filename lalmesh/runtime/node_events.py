"""The outbox of a node, with the way to its scheduler."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from lalmesh.runtime.event_kinds import EventKind
from lalmesh.runtime.event_outbox import EventOutbox
from lalmesh.runtime.events import Event, Facts
from lalmesh.runtime.member import Member
from lalmesh.runtime.scheduling import SchedulerClient

TELL_DEADLINE_S = 3.0
LEAVE_S = 1.5  #: for the last events to be taken when the node stops
AGAIN_AFTER = 5  #: sweeps, a second each: whoever told of the end of what the node had may just be at it
AGAIN_AT_ONCE = 1000  #: of one sweep, and that wait: news come first


class NodeEvents:
    """What a node tells of. Run `run` as a task of it, call `sweep` once a second.

    Where its lease ran out while it was cut off, its sessions were said to be over. They go on, so once it is back under another
    lease it tells of them again: they have begun anew for whoever listens.
    """

    def __init__(self, scheduler: SchedulerClient, member: Member) -> None:
        """Tell `scheduler`, in the name of `member`."""
        self._scheduler = scheduler
        self._member = member
        self._lease = 0  # the last one under which everything was told
        self._sweeps_left = AGAIN_AFTER
        self._again: deque[Callable[[], None]] = deque()
        self.outbox = EventOutbox(member.address.node, self._tell)

    def started(self, facts: Facts) -> None:
        """Tell that the process has started, and listens."""
        self.outbox.add(EventKind.SERVER_START, facts=facts)

    async def run(self) -> None:
        """Tell, without end."""
        await self.outbox.run()

    def sweep(self) -> None:
        """Tell again of sessions, where they were said to be over."""
        lease = self._member.lease
        if not self._lease or lease == self._lease:
            self._lease, self._sweeps_left = lease, AGAIN_AFTER
        elif self._sweeps_left:
            self._sweeps_left -= 1
        else:
            self._lease = lease
            self._again = deque(self._sessions_again())
        room = AGAIN_AT_ONCE - len(self.outbox)
        for _ in range(min(len(self._again), room)):
            self._again.popleft()()

    def _sessions_again(self) -> Iterable[Callable[[], None]]:
        """What tells of each session that is here, unless it has ended meanwhile."""
        return ()

    async def leave(self) -> None:
        """Wait until the last events were taken, or for `LEAVE_S`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self.outbox.emptied()

    async def _tell(self, events: Sequence[Event]) -> None:
        await self._scheduler.tell_events(self._member.address, events, TELL_DEADLINE_S)
