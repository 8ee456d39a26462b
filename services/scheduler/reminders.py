"""Nodes are told once more what they have not done, as far as their reports show: notices get lost with the streams they go by."""

from __future__ import annotations

from lalmesh.runtime.scheduling.model import MAX_ITEMS, HeldStream, ReclaimWanted, Role, StreamFenced
from services.scheduler.claims import is_outdated
from services.scheduler.directory import Directory
from services.scheduler.forgotten import is_forgotten, is_overtaken, is_unclaimed
from services.scheduler.members import Session
from services.scheduler.notices import Notices


class Reminders:
    """Compares reports with the directory."""

    def __init__(self, directory: Directory, notices: Notices) -> None:
        """Look into `directory`; what a move is told by comes from `notices`."""
        self._directory = directory
        self._notices = notices

    def check(self, session: Session, *, at_once: bool = False) -> bool:
        """Tell a node whose newest report shows that it does not know how its streams stand, or that the registry does not.

        Args:
            session: of a member.
            at_once: whether what differs for the first time counts already: of a node that comes back.

        Returns:
            Whether a claim is missing that the node is to write again: the cluster settles on for it. It does not for a group,
            which waits for the end of the settling itself where its origin has gone.
        """
        if not self._directory.is_listed or session.report.role is Role.HLS:
            return False
        different = [stream for stream, held in session.held.items() if self._differs(session, held)]
        due = session.differences.due(different, at_once=at_once)
        forgotten = [stream for stream in due if is_forgotten(session.held[stream], self._directory)]
        session.wanted_back = session.wanted_back.intersection(different).union(forgotten)
        for start in range(0, len(forgotten), MAX_ITEMS):
            session.send(ReclaimWanted(tuple(forgotten[start : start + MAX_ITEMS])))
        for stream in due:
            self._tell(session, session.held[stream])
        return any(is_unclaimed(session.held[stream], self._directory) for stream in forgotten)

    def _differs(self, session: Session, held: HeldStream) -> bool:
        return (
            is_overtaken(held, self._directory) or is_forgotten(held, self._directory) or self._is_fenced(session, held) is not None
        )

    def _is_fenced(self, session: Session, held: HeldStream) -> StreamFenced | None:
        claim = self._directory.claim(held.stream)
        if session.report.role is not Role.EDGE or claim is None or claim.edge.node == session.node:
            return None
        return StreamFenced(held.stream, claim.epoch) if is_outdated(held, claim) else None

    def _tell(self, session: Session, held: HeldStream) -> None:
        group, fenced = self._directory.group(held.stream), self._is_fenced(session, held)
        if group is not None and is_overtaken(held, self._directory):
            session.send(self._notices.moved(group, session))
        if fenced is not None:
            session.send(fenced)
