"""What operators say of the clients of an edge: end these sessions, let nobody in from these addresses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial

from lalmesh.runtime.blacklist import AddressBlacklist
from lalmesh.runtime.each_alone import for_each_alone
from lalmesh.runtime.hls_sessions import PlayerReports
from lalmesh.runtime.listener import BLACKLISTED, Admission
from lalmesh.runtime.scheduling import NodeCommand
from lalmesh.runtime.scheduling.control import Blacklist, KickSessions
from services.edge.session import NOT_CLOSED, Sessions

log = logging.getLogger(__name__)

GOODBYE_S = 0.5  #: for those who are closed to take in why, before what is left of their connections is


class Orders:
    """Carries them out on `sessions` and on the listeners that `admissions` gives."""

    def __init__(
        self,
        sessions: Sessions,
        blacklist: AddressBlacklist,
        admissions: Callable[[], Iterable[Admission]],
        players: PlayerReports,
    ) -> None:
        """Keep the addresses in `blacklist`; `players` are those of HLS, which are on no connection."""
        self._sessions = sessions
        self._blacklist = blacklist
        self._admissions = admissions
        self._players = players

    def handle(self, command: NodeCommand) -> None:
        """Carry out what is one of them."""
        match command:
            case KickSessions(session_ids, reason):
                for_each_alone(session_ids, partial(self._kick, reason), NOT_CLOSED)
                self._players.kick(session_ids)
            case Blacklist(entries):
                self._blacklist.replace(entries)
                self._close_blocked()
            case _:
                pass

    def _kick(self, reason: str, session_id: str) -> None:
        if (session := self._sessions.get(session_id)) is not None:
            session.was_kicked = True
            session.close(reason)

    def _close_blocked(self) -> None:
        if not len(self._blacklist):
            return
        blocked = [session for session in self._sessions if self._blacklist.blocks(session.address)]
        for_each_alone(blocked, lambda session: session.close(BLACKLISTED), NOT_CLOSED)
        self._players.end_those(self._blacklist.blocks)
        if blocked:
            log.info("blacklist: %d sessions closed", len(blocked))
        asyncio.get_running_loop().call_later(GOODBYE_S, self._close_connections)

    def _close_connections(self) -> None:
        for admission in self._admissions():
            admission.expire_blocked()
