"""Who is told of what: changes of the view, as commands to the nodes that joined this replica.

What is gone may come back, so nobody is told to let go for that; a node that was at no replica when something changed is told when
it joins.
"""

from __future__ import annotations

from collections.abc import Callable

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import NO_EPOCH, HlsOwner
from lalmesh.runtime.scheduling.hls import HlsAssigned, RecordingRules
from lalmesh.runtime.scheduling.model import GroupMoved, Role, StreamFenced
from services.scheduler.changes import Change, ClaimChanged, GroupChanged, HlsChanged, NodeChanged
from services.scheduler.claims import is_outdated
from services.scheduler.directory import Directory
from services.scheduler.hls_records import HlsRecord
from services.scheduler.members import Members, Session
from services.scheduler.recording_rules import RulesChanged
from services.scheduler.records import ClaimRecord, GroupRecord, NodeRecord


class Notices:
    """Tells the members of this replica."""

    def __init__(
        self,
        directory: Directory,
        members: Members,
        *,
        evict: Callable[[Session, str], None],
        signed: Callable[[HlsOwner], HlsOwner],
    ) -> None:
        """Tell `members`; `evict` ends the membership of one, `signed` vouches for who segments a stream."""
        self._directory = directory
        self._members = members
        self._evict = evict
        self._signed = signed

    def tell(self, change: Change) -> None:
        """Tell those whom a change of the view is for."""
        match change:
            case GroupChanged(_, now) if now is not None:
                self._tell_moved(now)
            case ClaimChanged(before, now) if now is not None:
                self._tell_fenced(before, now)
            case HlsChanged(before, now) if now is not None:
                self._tell_assigned(before, now)
            case NodeChanged(_, now) if now is not None:
                self._tell_evicted(now)
            case RulesChanged(rules):
                for session in self._members:
                    if session.report.role is Role.HLS:
                        session.send(RecordingRules(rules))
            case _:
                pass

    def tell_missed(self, session: Session) -> None:
        """Tell a node what has become of its streams while it was at no replica, or at one that did not hear of it."""
        if session.report.role is Role.HLS:
            self._tell_missed_hls(session)
        for stream, held in session.held.items():
            group, claim = self._directory.group(stream), self._directory.claim(stream)
            if group is not None and group.place > held.place:
                session.send(GroupMoved(group.location))
            if session.report.role is not Role.EDGE or claim is None or claim.edge.node == session.node:
                continue
            if is_outdated(held, claim):
                session.send(StreamFenced(stream, claim.epoch))

    def _tell_missed_hls(self, session: Session) -> None:
        """What is recorded; what it segments and does not say so, and what it says it segments and another does."""
        if self._directory.is_listed:  # before, the rules are not known; then all are told
            session.send(RecordingRules(self._directory.recording.rules.rules))
        for stream in sorted({*self._directory.hls.owned(session.node), *session.held}):
            record, held = self._directory.hls.record(stream), session.held.get(stream)
            if record is not None and (held is None or held.epoch < record.epoch):
                self._assign(record, session)

    def _tell_moved(self, now: GroupRecord) -> None:
        for session in self._members.holders(now.stream):
            session.send(GroupMoved(now.location))

    def _tell_fenced(self, before: ClaimRecord | None, now: ClaimRecord) -> None:
        """Tell the edge that had the claim, and any that says it writes under an earlier epoch, to let go."""
        outdated = [session for session in self._edges(now.stream) if is_outdated(session.held[now.stream], now)]
        holder = self._members.of(before.edge.node) if before is not None else None
        if holder is not None and holder not in outdated:
            outdated.append(holder)
        for session in outdated:
            if session.node != now.edge.node:
                session.send(StreamFenced(now.stream, now.epoch))

    def _tell_assigned(self, before: HlsRecord | None, now: HlsRecord) -> None:
        """Tell the new owner; where there was another, every hls node: each may be asking that one, and waiting for its answer."""
        if now.owner is None or (before is not None and (before.owner, before.epoch) == (now.owner, now.epoch)):
            return
        had_owner = before is not None and before.epoch != NO_EPOCH
        for session in self._members:
            held = session.held.get(now.stream)
            is_concerned = had_owner or session.node == now.owner.node or (held is not None and held.epoch < now.epoch)
            if session.report.role is Role.HLS and is_concerned:
                self._assign(now, session)

    def _assign(self, record: HlsRecord, session: Session) -> None:
        answer = record.answer()
        if answer is not None:
            session.send(HlsAssigned(self._signed(answer)))

    def _edges(self, stream: StreamKey) -> list[Session]:
        """The edges that carry the stream."""
        return [session for session in self._members.holders(stream) if session.report.role is Role.EDGE]

    def _tell_evicted(self, now: NodeRecord) -> None:
        session = self._members.named(now.node.name)
        if session is not None and session.node != now.node:
            self._evict(session, f"another incarnation of {now.node.name} has joined")
