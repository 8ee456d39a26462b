"""Reports are compared with the directory after they are answered: one node at a time, and of each node only the newest.

A node lives by the answers: where none comes it leaves and joins again, and has everybody told of both. So whatever is asked goes
first, and a scheduler that has more to do than it can compares less often. Then a join costs no more than a report does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from services.scheduler.members import Members, Session

log = logging.getLogger(__name__)


class Comparisons:
    """Sessions whose newest report is to be compared. Run `run` as a task of the scheduler."""

    def __init__(self, members: Members, compare: Callable[[Session, bool], None]) -> None:
        """Compare by `compare`, those of `members` only; it is told whether the node has joined just now."""
        self._members = members
        self._compare = compare
        self._waiting: dict[Session, None] = {}  # in the order in which they came
        self._wake = asyncio.Event()

    def ask(self, session: Session) -> None:
        """A report has been taken in and answered."""
        self._waiting[session] = None
        self._wake.set()

    async def run(self) -> None:
        """Compare without end."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                session = next(iter(self._waiting))
                del self._waiting[session]
                self._take(session)
                await asyncio.sleep(0)  # all that is to be answered now

    def _take(self, session: Session) -> None:
        if not self._members.is_open(session):
            return
        has_joined, session.is_compared = not session.is_compared, True
        try:
            self._compare(session, has_joined)
        except Exception:  # a bug of ours must not cost all nodes their reminders
            log.exception("what %s holds could not be compared", session.node.name)
