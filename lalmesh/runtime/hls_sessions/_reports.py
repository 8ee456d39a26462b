"""Telling the scheduler of players of HLS, and ending those that operators have done with."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Final

from lalmesh.errors import Unavailable
from lalmesh.runtime.hls_sessions._players import Players
from lalmesh.runtime.ownership import NodeAddress
from lalmesh.runtime.scheduling import SchedulerClient
from lalmesh.runtime.sessions import SessionTouch

log = logging.getLogger(__name__)

TOUCH_S: Final = 5.0  #: between two words to the session directory
FIRST_S: Final = 1.0  #: ... and from a look that finds nobody to the next one
TOUCH_DEADLINE_S: Final = 3.0
LEAVE_S: Final = 1.5  #: for the last words when the node stops, however slowly they are taken
CHUNK: Final = 250  #: players of one word: some 3 ms of the loop


class PlayerReports:
    """Those of one node. Run `run` as a task."""

    def __init__(self, players: Players, scheduler: SchedulerClient, address: Callable[[], NodeAddress]) -> None:
        """Tell `scheduler` of `players` in the name of the node at `address`."""
        self._players = players
        self._scheduler = scheduler
        self._address = address
        self._wake = asyncio.Event()

    def kick(self, session_ids: Iterable[str]) -> None:
        """Answer these no more, and say soon that they are over."""
        self._players.kick(session_ids)
        self._wake.set()

    def end_those(self, blocks: Callable[[str], bool]) -> None:
        """Count nobody any more whose address it `blocks`, and say soon that they are over."""
        self._players.end_those(blocks)
        self._wake.set()

    async def run(self) -> None:
        """Tell without end."""
        while True:
            has_told = bool(self._players.untold)
            await self._tell_all()
            try:
                async with asyncio.timeout(TOUCH_S if has_told else FIRST_S):
                    await self._wake.wait()
            except TimeoutError:
                continue
            self._wake.clear()

    async def leave(self) -> None:
        """Say what was not said yet, as far as that can be said once and in `LEAVE_S`: players go on elsewhere."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self._tell_all()

    async def _tell_all(self) -> None:
        """Forget who has left, and tell of all that were seen, in words that hold up nobody else."""
        while self._players.expire(CHUNK):  # noqa: ASYNC110 -- nothing is waited for: others have their turn
            await asyncio.sleep(0)
        for _ in range(0, self._players.untold, CHUNK):
            if not await self._tell(self._players.touches(CHUNK)):
                return
            await asyncio.sleep(0)

    async def _tell(self, touches: list[SessionTouch]) -> bool:
        """Gives whether the scheduler can be told more."""
        if not touches:
            return True
        try:
            await self._scheduler.touch_sessions(self._address(), touches, TOUCH_DEADLINE_S)
        except Unavailable as error:
            log.warning("players not counted, and are when that works: %s", error)
            self._players.not_told(touches)
            return False
        except Exception:  # one that cannot be told of must not end the word about all others
            log.exception("players not counted")
        return True
