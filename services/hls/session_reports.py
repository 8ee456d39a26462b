"""Telling the scheduler of players, and carrying out what operators say of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.blacklist import AddressBlacklist
from lalmesh.runtime.listener import Admission
from lalmesh.runtime.ownership import NodeAddress
from lalmesh.runtime.scheduling import HlsSchedulerClient, NodeCommand
from lalmesh.runtime.scheduling.control import Blacklist, KickSessions
from lalmesh.runtime.sessions import SessionTouch, codecs_of
from services.hls.sessions import Players
from services.hls.workers import Workers

log = logging.getLogger(__name__)

TOUCH_S = 5.0  #: between two words to the session directory
FIRST_S = 1.0  #: ... and from a look that finds nobody to the next one
TOUCH_DEADLINE_S = 3.0


class PlayerReports:
    """Those of one hls node. Run `run` as a task."""

    def __init__(
        self,
        players: Players,
        scheduler: HlsSchedulerClient,
        address: Callable[[], NodeAddress],
        workers: Workers,
        admissions: Callable[[], Iterable[Admission]],
    ) -> None:
        """Tell `scheduler` of `players` in the name of the node at `address`, who listens with `admissions`."""
        self.blacklist = AddressBlacklist()
        self._players = players
        self._scheduler = scheduler
        self._address = address
        self._workers = workers
        self._admissions = admissions
        self._wake = asyncio.Event()

    def handle(self, command: NodeCommand) -> None:
        """Carry out what operators say."""
        match command:
            case KickSessions(session_ids):
                self._players.kick(session_ids)
            case Blacklist(entries):
                self.blacklist.replace(entries)
                if not len(self.blacklist):
                    return
                self._players.end_those(self.blacklist.blocks)
                for admission in self._admissions():
                    admission.expire_blocked()
            case _:
                return
        self._wake.set()

    async def run(self) -> None:
        """Tell without end."""
        while True:
            touches = self._players.touches(self._codecs)
            if touches:
                await self._tell(touches)
            try:
                async with asyncio.timeout(TOUCH_S if touches else FIRST_S):
                    await self._wake.wait()
            except TimeoutError:
                continue
            self._wake.clear()

    def _codecs(self, stream: StreamKey) -> tuple[str, ...]:
        """What a stream is coded with that is segmented here; players of others are told of without."""
        worker = self._workers.get(stream)
        return codecs_of(worker.tracks) if worker is not None else ()

    async def _tell(self, touches: list[SessionTouch]) -> None:
        try:
            await self._scheduler.touch_sessions(self._address(), touches, TOUCH_DEADLINE_S)
        except Unavailable as error:
            log.warning("players not counted, and are when that works: %s", error)
            self._players.not_told(touches)
        except Exception:  # one that cannot be told of must not end the word about all others
            log.exception("players not counted")
