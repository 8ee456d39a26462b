"""What a living node has given up without the registry knowing is no longer its own: claims, groups, streams to be segmented.

See `forgotten.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from lalmesh.runtime.ownership import NodeId
from lalmesh.runtime.scheduling.model import Released, Role
from services.scheduler.forgotten import find_absent
from services.scheduler.members import Session
from services.scheduler.ownership import Ownership
from services.scheduler.parallel import for_each
from services.scheduler.segmenting import Segmenting
from services.scheduler.view import View

log = logging.getLogger(__name__)

TIME_S = 5.0  #: for one of them; the next report has it tried again


class Abandoned:
    """Gives back for nodes what they do not hold."""

    def __init__(
        self,
        view: View,
        ownership: Ownership,
        segmenting: Segmenting,
        spawn: Callable[[Callable[[], Awaitable[None]]], asyncio.Task[None]],
    ) -> None:
        """Look into `view`, give back by `ownership` and `segmenting`; `spawn` runs tasks until they end or the scheduler stops."""
        self._clock, self._directory = view.clock, view.directory
        self._release = {
            Role.EDGE: ownership.release_claim,
            Role.ORIGIN: ownership.release_group,
            Role.HLS: segmenting.give_up,
        }
        self._spawn = spawn
        self._busy: set[str] = set()

    def check(self, session: Session) -> None:
        """Give back what the reports of a member have not shown for a while."""
        role = session.report.role
        due = session.absences.due(find_absent(session.node, role, session.held, self._directory), self._clock())
        if due and session.node.name not in self._busy:
            self._busy.add(session.node.name)
            self._spawn(partial(self._give_back, session.node, role, due))

    async def _give_back(self, node: NodeId, role: Role, absent: list[Released]) -> None:
        release = self._release[role]
        now = asyncio.get_running_loop().time
        try:
            done = await for_each(absent, lambda each: release(each, node, now() + TIME_S))
        finally:
            self._busy.discard(node.name)
        given = [result is True for result in done].count(True)
        log.warning("%s does not hold %d streams that are its own: %d were given back", node.name, len(absent), given)
