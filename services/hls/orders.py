"""What operators say of the players of an hls node: end these sessions, let nobody in from these addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lalmesh.runtime.blacklist import AddressBlacklist
from lalmesh.runtime.hls_sessions import PlayerReports
from lalmesh.runtime.listener import Admission
from lalmesh.runtime.scheduling import NodeCommand
from lalmesh.runtime.scheduling.control import Blacklist, KickSessions


class Orders:
    """Carries them out on the players of `reports` and on the listeners that `admissions` gives."""

    def __init__(self, reports: PlayerReports, admissions: Callable[[], Iterable[Admission]]) -> None:
        """Begin with nobody kept out."""
        self.blacklist = AddressBlacklist()
        self._reports = reports
        self._admissions = admissions

    def handle(self, command: NodeCommand) -> None:
        """Carry out what is one of them."""
        match command:
            case KickSessions(session_ids):
                self._reports.kick(session_ids)
            case Blacklist(entries):
                self.blacklist.replace(entries)
                if not len(self.blacklist):
                    return
                self._reports.end_those(self.blacklist.blocks)
                for admission in self._admissions():
                    admission.expire_blocked()
            case _:
                pass
